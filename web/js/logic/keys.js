/**
 * Keys to commands. One table serves the handler and the help dialog, so that neither
 * can promise what the other lacks.
 *
 * @typedef {{key: string, shiftKey?: boolean, ctrlKey?: boolean, altKey?: boolean, metaKey?: boolean}} KeyPress
 * @typedef {{name: string, by?: number, fraction?: number}} Command
 * @typedef {{tag: string, type?: string, editable?: boolean, pressable?: boolean, oneOf?: boolean}} Focus  `oneOf`: a radio button
 */

/** @type {{keys: string[], label: string, group: string}[]} */
export const HELP = [
  { group: "Playback", keys: ["Space", "K"], label: "Play or pause" },
  { group: "Playback", keys: ["←", "→"], label: "One step, and pause" },
  { group: "Playback", keys: ["Shift ←", "Shift →"], label: "Ten steps, and pause" },
  { group: "Playback", keys: ["Home", "End"], label: "First and last step" },
  { group: "Playback", keys: ["0", "–", "9"], label: "Jump to 0 … 90 percent" },
  { group: "Playback", keys: ["<", ">"], label: "Slower, faster" },
  { group: "Playback", keys: ["="], label: "Normal speed" },
  { group: "Playback", keys: ["O"], label: "Loop: off, episode, A to B" },
  { group: "Playback", keys: ["A", "B"], label: "Set a point of the A-B loop" },
  { group: "Moving about", keys: ["L"], label: "Return to live" },
  { group: "Moving about", keys: ["↑", "P"], label: "Previous episode" },
  { group: "Moving about", keys: ["↓", "N"], label: "Next episode" },
  { group: "Moving about", keys: ["[", "]"], label: "Previous, next event" },
  { group: "Moving about", keys: ["/"], label: "Search the episodes" },
  { group: "Moving about", keys: ["C"], label: "Compare two episodes" },
  { group: "Page", keys: ["V"], label: "Next overlay" },
  { group: "Page", keys: ["T"], label: "Move through training" },
  { group: "Page", keys: ["F"], label: "Full screen" },
  { group: "Page", keys: ["?"], label: "This help" },
  { group: "Page", keys: ["Esc"], label: "Close" },
];

/** @type {Record<string, Command>} */
const PLAIN = {
  " ": { name: "toggle" },
  k: { name: "toggle" },
  Home: { name: "first" },
  End: { name: "last" },
  "<": { name: "slower" },
  ">": { name: "faster" },
  "=": { name: "normal" },
  l: { name: "live" },
  o: { name: "loop" },
  a: { name: "pointA" },
  b: { name: "pointB" },
  "[": { name: "event", by: -1 },
  "]": { name: "event", by: 1 },
  c: { name: "compare" },
  ArrowUp: { name: "episode", by: -1 },
  p: { name: "episode", by: -1 },
  ArrowDown: { name: "episode", by: 1 },
  n: { name: "episode", by: 1 },
  "/": { name: "search" },
  v: { name: "overlay" },
  t: { name: "training" },
  f: { name: "fullscreen" },
  "?": { name: "help" },
  Escape: { name: "close" },
};

/**
 * @param {KeyPress} press
 * @param {Focus} focus  the element that has the focus
 * @returns {Command | null}
 */
export function command(press, focus) {
  if (press.ctrlKey || press.altKey || press.metaKey) return null;
  if (press.key === "Escape") return PLAIN.Escape;
  if (focus.editable || focus.tag === "select") return null;
  // A focused button is pressed by these; the page must not play and press at once.
  if (focus.pressable && (press.key === " " || press.key === "Enter")) return null;
  // Where one of several is chosen the arrows choose: by Tab no one gets to the others.
  const beside = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[press.key];
  if (focus.oneOf && beside && !press.shiftKey) return { name: "choose", by: beside };
  if (press.key === "ArrowLeft") return { name: "step", by: press.shiftKey ? -10 : -1 };
  if (press.key === "ArrowRight") return { name: "step", by: press.shiftKey ? 10 : 1 };
  if (/^[0-9]$/.test(press.key)) return { name: "percent", fraction: Number(press.key) / 10 };
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  return Object.hasOwn(PLAIN, key) ? PLAIN[key] : null;
}

/** @type {import("../types.js").Speed[]} */
export const SPEEDS = [0.25, 0.5, 1, 2, 5, 10, 50, "max"];

/**
 * The next speed of the menu. Fixed stops: up and down again is where one was.
 * @param {import("../types.js").Speed} speed
 * @param {1 | -1} direction
 */
export function nextSpeed(speed, direction) {
  const value = speed === "max" ? Infinity : speed;
  const values = SPEEDS.map((s) => (s === "max" ? Infinity : s));
  const index =
    direction > 0 ? values.findIndex((v) => v > value) : values.length - 1 - [...values].reverse().findIndex((v) => v < value);
  return SPEEDS[index] ?? (direction > 0 ? "max" : SPEEDS[0]);
}
