/**
 * The address of a view: `#run=...&ep=412&step=37&speed=2`. A link restores that
 * moment, paused; without an episode it means the run as it goes. Behind these stand the
 * settings of the panels, each under a short name of its own, where they are not the usual ones.
 *
 * @typedef {{run: string | null, episode: number | null, step: number | null,
 *            speed: import("../types.js").Speed | null, view: Record<string, string>}} Route
 */

const OWN = new Set(["run", "ep", "step", "speed"]);
/** A link is typed, mailed and cut off: settings longer than this are no settings. */
const LONGEST = 500;

/** The protocol's own bounds: a speed beyond them is none, and the rest of the link holds. */
const [SLOWEST, FASTEST] = [0.1, 1000];

/** @param {string} hash @returns {Route} */
export function parse(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const speed = fields.get("speed");
  return {
    run: fields.get("run"),
    episode: whole(fields.get("ep")),
    step: whole(fields.get("step")),
    speed: speed === "max" ? "max" : positive(speed),
    view: Object.fromEntries([...fields].filter(([name, value]) => !OWN.has(name) && value.length <= LONGEST)),
  };
}

/** @param {Partial<Route>} route */
export function format(route) {
  const fields = new URLSearchParams();
  if (route.run) fields.set("run", route.run);
  if (isCount(route.episode)) {
    fields.set("ep", String(route.episode));
    fields.set("step", String(route.step ?? 0));
  }
  if (route.speed && route.speed !== 1) fields.set("speed", String(route.speed));
  for (const [name, value] of Object.entries(route.view ?? {})) if (value && !OWN.has(name)) fields.set(name, value);
  const text = fields.toString();
  return text ? `#${text}` : "";
}

/** @param {string | null} text */
function whole(text) {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** @param {string | null} text */
function positive(text) {
  const value = Number(text);
  return text !== null && value >= SLOWEST && value <= FASTEST ? value : null;
}

/** @param {unknown} value @returns {value is number} */
function isCount(value) {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}
