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
 * then that one of them ended. Null where they never part.
 * @param {Steps} a
 * @param {Steps} b
 * @returns {{step: number, what: "observation" | "action" | "length"} | null}
 */
export function divergence(a, b) {
  const [last, other] = [a.length ?? 0, b.length ?? 0];
  const shorter = Math.min(last, other);
  for (let step = 0; step <= shorter; step += 1) {
    if (!alike(a.observation(step), b.observation(step))) return { step, what: "observation" };
    if (step < shorter && !alike(a.value("action", step), b.value("action", step))) return { step, what: "action" };
  }
  return last === other ? null : { step: shorter, what: "length" };
}

/** Of plain values. NaN is like NaN. @param {any} a @param {any} b @returns {boolean} */
function alike(a, b) {
  if (Object.is(a, b) || a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && alike(a[key], b[key]));
}
