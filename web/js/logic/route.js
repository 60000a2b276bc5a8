/**
 * The address of a view: `#run=...&ep=412&step=37&speed=2`. A link restores that
 * moment, paused; without an episode it means the run as it goes. `loop=ab&a=3&b=12` and `auto=1`
 * say how it plays on. Behind these stand the settings of the panels, each under a short name
 * of its own, where they are not the usual ones.
 *
 * @typedef {{a: number | null, b: number | null}} Points
 * @typedef {{run: string | null, episode: number | null, step: number | null,
 *            speed: import("../types.js").Speed | null, loop: import("../types.js").Loop,
 *            points: Points, autoplay: boolean, view: Record<string, string>}} Route
 */

const OWN = new Set(["run", "ep", "step", "speed", "loop", "a", "b", "auto"]);
/** A link is typed, mailed and cut off: settings longer than this are no settings. */
const LONGEST = 500;

/** The protocol's own bounds: a speed beyond them is none, and the rest of the link holds. */
const [SLOWEST, FASTEST] = [0.1, 1000];

/** @param {string} hash @returns {Route} */
export function parse(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const speed = fields.get("speed");
  const loop = fields.get("loop");
  const points = { a: whole(fields.get("a")), b: whole(fields.get("b")) };
  return {
    run: fields.get("run"),
    episode: whole(fields.get("ep")),
    step: whole(fields.get("step")),
    speed: speed === "max" ? "max" : positive(speed),
    loop: loop === "episode" ? loop : loop === "ab" ? (stretchOf(points) ?? "off") : "off",
    points,
    autoplay: fields.get("auto") === "1",
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
  if (isCount(route.episode)) {
    const { a = null, b = null } = route.points ?? {};
    if (a !== null) fields.set("a", String(a));
    if (b !== null) fields.set("b", String(b));
  }
  if (route.loop && route.loop !== "off") fields.set("loop", typeof route.loop === "object" ? "ab" : route.loop);
  if (route.autoplay) fields.set("auto", "1");
  if (route.speed && route.speed !== 1) fields.set("speed", String(route.speed));
  for (const [name, value] of Object.entries(route.view ?? {})) if (value && !OWN.has(name)) fields.set(name, value);
  const text = fields.toString();
  return text ? `#${text}` : "";
}

/** What two points of a loop span; null where one is missing. @param {Points} points */
export function stretchOf({ a, b }) {
  if (a === null || b === null || a === b) return null;
  return { from: Math.min(a, b), to: Math.max(a, b) };
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
