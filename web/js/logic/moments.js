/**
 * Which Q-tables the page needs, and asking for them: one question at a time, the newest
 * wish behind it, as with seeks. Answers are kept, a few of them, so that going back and
 * forth over training asks once.
 *
 * @typedef {{episode: number, step: number}} Moment
 * @typedef {import("./state.js").State} State
 */

import { Difference, EpisodeTable, TableAt } from "./tables.js";

const KEPT = 24;
const KEPT_VALUES = 4_000_000;
/** While steps come in, the table of the episode is asked for anew this often. */
const AGAIN_MS = 400;

/** Sends the questions of all stages, and hands each the answer to its own. */
export class Desk {
  /**
   * @param {(data: Record<string, any>) => number | null} ask  sends `qtable`, answers with its id, null when offline
   * @param {() => number} now  milliseconds
   */
  constructor(ask, now) {
    this.ask = ask;
    this.now = now;
    /** Tables by run and moment: what one stage has read, the others need not ask for. @type {Map<string, TableAt>} */
    this.kept = new Map();
    /** @type {Map<number, Moments>} */
    this.waiting = new Map();
  }

  moments() {
    /** @type {Moments} */
    const moments = new Moments((data) => {
      const id = this.ask(data);
      if (id !== null) this.waiting.set(id, moments);
      return id;
    }, this.now, this.kept);
    return moments;
  }

  /** Takes a `qtable` or an `error` message. @param {Record<string, any>} data @returns {boolean} whether it answers one of ours */
  answer(data) {
    const asked = this.waiting.get(data.id);
    if (!asked) return false;
    this.waiting.delete(data.id);
    if (data.columns) asked.receive(data);
    else asked.refuse(data);
    return true;
  }

  /** The connection is gone, and the answers with it. */
  forget() {
    for (const moments of this.waiting.values()) moments.inAir = null;
    this.waiting.clear();
  }
}

export class Moments {
  /**
   * @param {(data: Record<string, any>) => number | null} ask  sends `qtable`, answers with its id, null when offline
   * @param {() => number} now  milliseconds
   * @param {Map<string, TableAt>} [kept]
   */
  constructor(ask, now, kept = new Map()) {
    this.ask = ask;
    this.now = now;
    this.acted = new EpisodeTable();
    this.kept = kept;
    /** @type {{id: number, key: string} | null} */
    this.inAir = null;
    this.askedAt = -Infinity;
    /** Why there is no table, in the server's words. @type {string | null} */
    this.refused = null;
    /** What cannot be had, so that it is not asked for again. @type {Set<string>} */
    this.missing = new Set();
    /** @type {import("./tables.js").RunRange | null} */
    this.range = null;
    this.run = "";
    this.version = 0;
    /** @type {TableAt | null} */
    this.lastPinned = null;
  }

  /** Another run; a stage that follows one says it with every frame. @param {string} run */
  setRun(run) {
    if (run === this.run) return;
    this.run = run;
    this.acted.clear();
    this.missing.clear();
    this.inAir = null;
    this.refused = null;
    this.range = null;
    this.askedAt = -Infinity;
    this.version += 1;
  }

  /** Takes a `qtable` message. @param {Record<string, any>} data @returns {boolean} whether it was ours */
  receive(data) {
    if (!this.inAir || data.id !== this.inAir.id) return false;
    const { key } = this.inAir;
    this.inAir = null;
    if (data.run !== this.run) return true;
    const table = new TableAt(data);
    this.kept.set(key, table);
    const most = Math.max(2, Math.min(KEPT, Math.floor(KEPT_VALUES / table.values.length)));
    for (const old of this.kept.keys()) {
      if (this.kept.size <= most) break;
      this.kept.delete(old);
    }
    this.range = table.range;
    this.version += 1;
    return true;
  }

  /** Takes an `error` message. @param {Record<string, any>} data @returns {boolean} whether it was ours */
  refuse(data) {
    if (!this.inAir || data.id !== this.inAir.id) return false;
    this.missing.add(this.inAir.key);
    this.inAir = null;
    if (data.code === "no_qtable") this.refused = data.message;
    return true;
  }

  /**
   * The table to draw, and asks for what it lacks.
   * @param {State} state @param {import("./cache.js").EpisodeCache} cache
   * @param {number | null} step  the position shown
   * @returns {EpisodeTable | TableAt | Difference | null}
   */
  table(state, cache, step) {
    const since = state.since === null ? null : this.#at({ episode: state.since, step: 0 });
    const pinned = state.moment === null ? null : this.#pinned(state.moment);
    // Behind what is drawn: the inspector looks at it whatever that is.
    const acted = this.#acted(state, cache, step);
    const now = state.moment === null ? acted : pinned;
    if (state.since === null) return now;
    return since && now ? new Difference(now, since) : null;
  }

  /** The episode's own table, whatever is drawn: the inspector's. @param {State} state @param {import("./cache.js").EpisodeCache} cache @param {number | null} step */
  #acted(state, cache, step) {
    const { acted } = this;
    if (step === null || cache.episode !== state.episode || state.info?.first_step === undefined) return acted.cache ? acted : null;
    acted.moveTo(cache, state.info.first_step, step);
    const whole = cache.complete();
    const want = { episode: /** @type {number} */ (state.episode), step: whole ? /** @type {number} */ (cache.length) : step };
    const resting = whole || (!state.playing && !state.live);
    const key = this.#keyOf(want);
    const here = this.kept.get(key);
    if (here) this.range ??= here.range;
    if (here) acted.base = here;
    else if (resting || this.now() - this.askedAt > AGAIN_MS) this.#ask(want, key);
    if (!here) this.#nearest(acted);
    return acted;
  }

  /** Until the table asked for is here, the newest that is not of later serves. */
  #nearest(/** @type {EpisodeTable} */ acted) {
    const bound = acted.firstStep + acted.step;
    let best = null;
    for (const table of this.kept.values()) if (table.run === this.run && table.step <= bound && (!best || table.step > best.step)) best = table;
    acted.base = best;
  }

  /** @param {number} episode */
  #pinned(episode) {
    const table = this.#at({ episode, step: 0 });
    if (table) this.lastPinned = table;
    // While the next moment is on its way, the last one stays: a scrub must not flicker.
    return table ?? (this.lastPinned?.run === this.run ? this.lastPinned : null);
  }

  /** @param {Moment} moment @returns {TableAt | null} */
  #at(moment) {
    const key = this.#keyOf(moment);
    const here = this.kept.get(key);
    if (!here) this.#ask(moment, key);
    return here ?? null;
  }

  /** Whether a moment is here. @param {number} episode */
  has(episode) {
    const key = this.#keyOf({ episode, step: 0 });
    return this.kept.has(key) || this.missing.has(key);
  }

  /** @param {Moment} moment @param {string} key */
  #ask(moment, key) {
    if (this.inAir || this.refused || this.missing.has(key)) return;
    const id = this.ask({ run: this.run, ...moment });
    if (id === null) return;
    this.askedAt = this.now();
    this.inAir = { id, key };
  }

  /** @param {Moment} moment */
  #keyOf({ episode, step }) {
    return `${this.run}/${episode}/${step}`;
  }
}
