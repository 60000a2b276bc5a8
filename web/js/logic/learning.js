/**
 * Time travel through a training: which moment comes next when the learning is played.
 * Moments are starts of episodes.
 */

/** Moments that a whole training is played in, and how fast. */
export const FRAMES = 120;
export const FRAME_MS = 90;

/** The episodes that a run of so many has, as a slider's greatest value. @param {import("./state.js").State} state */
export function lastEpisode(state) {
  const told = state.metrics && state.metrics.run === state.run?.run ? state.metrics.episodes : 0;
  return Math.max(0, Math.max(told, state.run?.episodes ?? 0, (state.episode ?? 0) + 1) - 1);
}

/** @param {import("./state.js").State} state @returns {"acted" | "pinned" | "change"} */
export function modeOf(state) {
  if (state.since !== null) return "change";
  return state.moment === null ? "acted" : "pinned";
}

/** @param {import("./state.js").State} state @param {"acted" | "pinned" | "change"} mode */
export function setMode(state, mode) {
  const here = state.moment ?? state.episode ?? 0;
  if (mode === "acted") Object.assign(state, { moment: null, since: null });
  else if (mode === "pinned") Object.assign(state, { moment: here, since: null });
  else Object.assign(state, { moment: here, since: 0 });
}

/**
 * The moment after one, of about `FRAMES` spread over the run.
 * @param {number} moment @param {number} last @returns {number | null}  null at the end
 */
export function nextMoment(moment, last) {
  if (moment >= last) return null;
  // Early on an agent learns most: the first moments lie closer together.
  const at = last > 0 ? Math.sqrt(moment / last) : 0;
  const next = Math.round(((at + 1 / FRAMES) ** 2) * last);
  return Math.min(last, Math.max(moment + 1, next));
}

/**
 * The moment that a key on the scrubber goes to; null where the key is none of its.
 * @param {string} key @param {number} moment @param {number} last @returns {number | null}
 */
export function keyed(key, moment, last) {
  const tenth = Math.max(1, Math.round(last / 10));
  /** @type {Record<string, number>} */
  const to = { ArrowLeft: moment - 1, ArrowDown: moment - 1, ArrowRight: moment + 1, ArrowUp: moment + 1, PageDown: moment - tenth, PageUp: moment + tenth, Home: 0, End: last };
  return Object.hasOwn(to, key) ? Math.max(0, Math.min(last, to[key])) : null;
}

/** A number as a person types it: "1,234". @param {string} text @param {number} last @returns {number | null} */
export function typed(text, last) {
  const plain = text.replace(/[\s,.']/g, "");
  return /^\d+$/.test(plain) ? Math.min(last, Number(plain)) : null;
}
