/**
 * Two episodes side by side: which step of the second belongs to one of the first, and where
 * they part.
 *
 * @typedef {"step" | "percent"} Align
 * @typedef {{length: number | null, observation: (step: number) => any, value: (name: string, step: number) => any}} Steps
 */

/**
 * The position of the second episode beside a position of the first.
 * @param {number} step
 * @param {number | null} length  of the first; null while it runs
 * @param {number} other  length of the second
 * @param {Align} align
 */
export function beside(step, length, other, align) {
  if (align === "percent" && length !== null && length > 0) return Math.round((step / length) * other);
  return Math.min(step, other);
}

/**
 * The first position at which two episodes are not alike: what was seen, then what was done,
 * then that one of them ended. Null where they never part. Of steps that are not here nothing
 * is known: the first of them is told as `unread`.
 * @param {Steps} a
 * @param {Steps} b
 * @returns {{step: number, what: "observation" | "action" | "length" | "unread"} | null}
 */
export function divergence(a, b) {
  const [last, other] = [a.length ?? 0, b.length ?? 0];
  const shorter = Math.min(last, other);
  for (let step = 0; step <= shorter; step += 1) {
    if (unread(a, step) || unread(b, step)) return { step, what: "unread" };
    if (!alike(a.observation(step), b.observation(step))) return { step, what: "observation" };
    if (step < shorter && !alike(a.value("action", step), b.value("action", step))) return { step, what: "action" };
  }
  return last === other ? null : { step: shorter, what: "length" };
}

/**
 * The same of two of which one or both still run: as far as both are known. Null where they are
 * alike so far.
 * @param {Steps & {known: () => number}} a
 * @param {Steps & {known: () => number}} b
 */
export function divergenceSoFar(a, b) {
  if (a.known() === 0 || b.known() === 0) return null;
  const found = divergence(sofar(a), sofar(b));
  // The end of one that runs is no end.
  const open = (/** @type {Steps & {known: () => number}} */ steps) => steps.length === null && steps.known() - 1 === found?.step;
  return found?.what === "length" && (open(a) || open(b)) ? null : found;
}

/** One that runs, up to its newest position. @param {Steps & {known: () => number}} steps @returns {Steps} */
function sofar(steps) {
  if (steps.length !== null) return steps;
  return { length: Math.max(0, steps.known() - 1), observation: (step) => steps.observation(step), value: (name, step) => steps.value(name, step) };
}

/** Whether a step is missing. What stands behind the last one need not have been recorded. @param {Steps} steps @param {number} step */
function unread(steps, step) {
  return step < (steps.length ?? 0) && steps.observation(step) === undefined;
}

/** Of plain values. NaN is like NaN. @param {any} a @param {any} b @returns {boolean} */
function alike(a, b) {
  if (Object.is(a, b) || a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && alike(a[key], b[key]));
}
