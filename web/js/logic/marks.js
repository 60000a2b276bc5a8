/**
 * What a person would want to jump to within an episode: rewards that differ from the usual
 * one, what the run's timeline marks, and the end. The slider draws these, and the keys for
 * the previous and the next event walk them.
 *
 * @typedef {import("../types.js").RunEvent} RunEvent
 * @typedef {{step: number, kind: "up" | "down" | "event" | "gap" | "split" | "end", text: string}} Mark
 */

import { count } from "./format.js";

/** Reward ticks beyond this many would be a smear. */
export const MOST_TICKS = 2_000;

/** The commonest value; 0 where there is none. @param {(number | undefined)[]} values */
export function usual(values) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const v of values) if (v !== undefined) counts.set(v, (counts.get(v) ?? 0) + 1);
  let best = 0;
  let most = -1;
  for (const [v, n] of counts) {
    if (n > most) [best, most] = [v, n];
  }
  return best;
}

/**
 * The marks of one episode, in order. A reward stands at the position it led to.
 * @param {object} episode
 * @param {number | null} episode.episode
 * @param {number} episode.known       steps known so far
 * @param {number | null} episode.length  null while it runs
 * @param {number} episode.firstStep   global step of its step 0
 * @param {(step: number) => number | undefined} episode.reward
 * @param {RunEvent[]} events  of the run
 * @param {number | null} [parting]  where it parts from the one it is compared with
 * @returns {Mark[]}
 */
export function marksOf({ episode, known, length, firstStep, reward }, events, parting = null) {
  /** @type {Mark[]} */
  const marks = [];
  if (known <= MOST_TICKS) {
    const rewards = Array.from({ length: known }, (_, t) => reward(t));
    const common = usual(rewards);
    rewards.forEach((r, t) => {
      if (r === undefined || r === common) return;
      marks.push({ step: t + 1, kind: r > common ? "up" : "down", text: `reward ${r}` });
    });
  }
  for (const event of events) {
    if (event.episode !== episode) continue;
    const step = Math.max(0, Math.min(event.global_step - firstStep, length ?? Infinity));
    marks.push({ step, kind: event.kind === "gap" ? "gap" : "event", text: event.text || event.kind });
  }
  if (parting !== null) marks.push({ step: parting, kind: "split", text: "first difference" });
  if (length !== null && length > 0) marks.push({ step: length, kind: "end", text: "end" });
  return marks.sort((a, b) => a.step - b.step);
}

/**
 * The nearest mark before or behind a position; undefined where there is none.
 * @param {Mark[]} marks  in order
 * @param {number} step
 * @param {number} direction
 */
export function nextMark(marks, step, direction) {
  return direction > 0 ? marks.find((mark) => mark.step > step) : marks.findLast((mark) => mark.step < step);
}

/**
 * The nearest event of another episode, in that direction.
 * @param {RunEvent[]} events  oldest first
 * @param {number} episode
 * @param {number} direction
 */
export function nextEvent(events, episode, direction) {
  return direction > 0 ? events.find((event) => event.episode > episode) : events.findLast((event) => event.episode < episode);
}

/**
 * What is not marked, for who looks for it among the marks; null where all is.
 * @param {RunEvent[]} events  oldest first
 * @param {number} unmarked  how many are older than those
 */
export function leftOut(events, unmarked) {
  if (unmarked <= 0) return null;
  const marked = `Only the newest ${count(events.length)} of this run's ${count(events.length + unmarked)} events are marked`;
  return events.length > 0 ? `${marked}: those from episode ${count(events[0].episode)} on` : marked;
}
