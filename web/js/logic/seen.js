/**
 * Q-values as this page saw them: for each observation the row on which the agent last
 * acted. Rows of later steps than the playhead are withheld, so that going back in time
 * never shows what the agent had yet to learn.
 *
 * It answers `lookup(observation)`, and so may any other source of a whole Q-table.
 */

import { LockedRange } from "./scales.js";

/** Observations kept at most. */
const MOST = 20_000;

export class SeenValues {
  constructor() {
    /** @type {Map<number, {at: number, q: number[]}>} rows of other episodes than the one shown */
    this.past = new Map();
    /** @type {Map<number, {at: number, q: number[]}>} rows of the episode shown, up to the playhead */
    this.now = new Map();
    this.range = new LockedRange();
    /** @type {number | null} */
    this.episode = null;
    this.firstStep = 0;
    this.upTo = -1;
  }

  clear() {
    this.past.clear();
    this.now.clear();
    this.range = new LockedRange();
    this.episode = null;
    this.upTo = -1;
  }

  /**
   * Moves to a position, reading what the cache holds up to it.
   * @param {import("./cache.js").EpisodeCache} cache
   * @param {number} firstStep  global step of the episode's step 0
   * @param {number} step
   */
  moveTo(cache, firstStep, step) {
    if (cache.episode !== this.episode) {
      this.#fold();
      this.episode = cache.episode;
      this.firstStep = firstStep;
      this.upTo = -1;
    }
    if (step < this.upTo) {
      this.now.clear();
      this.upTo = -1;
    }
    const from = Math.max(this.upTo + 1, cache.contiguousFrom(step));
    for (let t = from; t <= step; t += 1) {
      const q = cache.value("q_values", t);
      const observation = cache.value("observation", t);
      if (!Array.isArray(q) || typeof observation !== "number") continue;
      this.now.set(observation, { at: firstStep + t, q });
      this.range.widen(q);
    }
    // A position that is not here yet is looked at again when it has come.
    this.upTo = cache.has(step) ? step : Math.min(this.upTo, step);
  }

  #fold() {
    for (const [observation, entry] of this.now) {
      const known = this.past.get(observation);
      if (!known || known.at < entry.at) this.past.set(observation, entry);
    }
    this.now.clear();
    if (this.past.size > MOST) this.past.clear();
  }

  /** @param {number} observation @returns {number[] | undefined} */
  lookup(observation) {
    const now = this.now.get(observation);
    if (now) return now.q;
    const past = this.past.get(observation);
    return past && past.at < this.firstStep ? past.q : undefined;
  }
}
