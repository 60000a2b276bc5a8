/**
 * Q-tables: what the agent thought of every state at a moment of its training.
 *
 * `TableAt` is one as the server gave it. `EpisodeTable` is the table *as acted*, at a
 * step of the episode that is shown: a row changes only by a step from its state, so from
 * the playhead to the state's next visit it is what that visit recorded, and behind the
 * last visit it is what it is at the episode's end. With all steps here and the table of
 * the end, that is exact, and moving the playhead asks the server for nothing.
 *
 * @typedef {{q_values: [number, number], value: [number, number], visits: number}} RunRange
 * @typedef {{base: TableAt | null, cache: import("./cache.js").EpisodeCache | null, key: string, step: number, indexed: number}} Mark
 */

import { decodeColumn } from "./columns.js";

export class TableAt {
  /** @param {Record<string, any>} message  the data of a `qtable` message */
  constructor(message) {
    const q = decodeColumn(message.columns.q_values);
    this.run = /** @type {string} */ (message.run);
    this.episode = /** @type {number | null} */ (message.episode);
    /** Global step: the steps before it are learned from. */
    this.step = /** @type {number} */ (message.step);
    this.start = /** @type {number} */ (message.start ?? 0);
    this.exact = message.exact === true;
    this.actions = q.width;
    this.states = q.rows;
    this.values = q.data;
    this.visits = decodeColumn(message.columns.visits).data;
    /** @type {RunRange} */
    this.range = message.range;
  }

  /** The row of a state; undefined where nothing is known of it. @param {number} observation @returns {number[] | undefined} */
  row(observation) {
    const state = observation - this.start;
    if (!(state >= 0 && state < this.states)) return undefined;
    const from = state * this.actions;
    const row = new Array(this.actions);
    let known = false;
    for (let a = 0; a < this.actions; a += 1) {
      row[a] = this.values[from + a];
      known ||= !Number.isNaN(row[a]);
    }
    return known ? row : undefined;
  }

  /** Steps taken from a state before. @param {number} observation */
  visitsOf(observation) {
    return this.visits[observation - this.start] ?? 0;
  }

  /** What `changedSince` compares with: this table stays as it is. */
  mark() {
    return this;
  }

  /** @param {unknown} mark @returns {number[] | null} */
  changedSince(mark) {
    return mark === this ? [] : null;
  }

  /**
   * Both at once, for who reads thousands in a frame: no object is made.
   * @param {number} observation
   * @param {Float64Array} into  takes the row; NaN where nothing is known
   * @returns {number} visits
   */
  read(observation, into) {
    const state = observation - this.start;
    const known = state >= 0 && state < this.states;
    for (let a = 0; a < into.length; a += 1) into[a] = known && a < this.actions ? this.values[state * this.actions + a] : Number.NaN;
    return this.visits[state] ?? 0;
  }
}

export class EpisodeTable {
  constructor() {
    /** @type {TableAt | null} */
    this.base = null;
    /** For each state the steps of the episode that left it, rising. @type {Map<number, number[]>} */
    this.left = new Map();
    /** What the index was made of. */
    this.key = "";
    /** @type {import("./cache.js").EpisodeCache | null} */
    this.cache = null;
    this.firstStep = 0;
    this.step = 0;
    this.from = 0;
    /** Steps from `from` up to here are in the index. */
    this.indexed = 0;
  }

  clear() {
    this.base = null;
    this.left.clear();
    this.key = "";
    this.cache = null;
  }

  /**
   * @param {import("./cache.js").EpisodeCache} cache
   * @param {number} firstStep  global step of the episode's step 0
   * @param {number} step       where the playhead is
   */
  moveTo(cache, firstStep, step) {
    const from = cache.contiguousFrom(step);
    const key = `${cache.episode}/${from}`;
    const known = this.key === key && this.cache === cache ? this.indexed : from;
    if (known === from) this.left.clear();
    this.cache = cache;
    this.key = key;
    this.firstStep = firstStep;
    this.step = step;
    this.from = from;
    let t = known;
    for (; cache.has(t); t += 1) {
      const observation = cache.value("observation", t);
      if (typeof observation !== "number") continue;
      const visits = this.left.get(observation);
      if (visits) visits.push(t);
      else this.left.set(observation, [t]);
    }
    this.indexed = t;
  }

  /** Whether rows and visits are those of the moment, not merely near it. */
  get exact() {
    const { base } = this;
    if (!base?.exact) return false;
    const at = base.step - this.firstStep;
    return at === this.step || (at > this.step && at <= this.indexed);
  }

  /** @param {number} observation @returns {number[] | undefined} */
  row(observation) {
    const visits = this.left.get(observation);
    const step = visits ? this.#recorded(visits, firstFrom(visits, this.step)) : null;
    return step === null ? this.base?.row(observation) : this.cache?.value("q_values", step);
  }

  /** The step whose record is a state's row now; null where the table of the base is. @param {number[]} visits @param {number} next  of them, from the playhead on */
  #recorded(visits, next) {
    if (next < visits.length) return visits[next];
    const at = this.base ? this.base.step - this.firstStep : Number.NEGATIVE_INFINITY;
    const last = visits[next - 1];
    // A table of before that visit knows less than what the visit recorded.
    return at < this.step && last !== undefined && last >= at ? last : null;
  }

  /** Steps taken from a state before the playhead. @param {number} observation */
  visitsOf(observation) {
    const visits = this.left.get(observation);
    const told = this.base?.visitsOf(observation) ?? 0;
    return visits ? this.#visits(told, visits, firstFrom(visits, this.step)) : told;
  }

  /** @param {number} told  by the base @param {number[]} visits @param {number} next */
  #visits(told, visits, next) {
    const at = this.base ? this.base.step - this.firstStep : 0;
    return Math.max(0, told + next - firstFrom(visits, at));
  }

  /** The moment that the rows are of. @returns {Mark} */
  mark() {
    const { base, cache, key, step, indexed } = this;
    return { base, cache, key, step, indexed };
  }

  /**
   * The observations whose row or visits may be other than at a mark, some of them twice;
   * null where that may be any. A row changes only by a step from its state: by those
   * between the two moments, and by those that were not here yet.
   * @param {any} mark  as `mark` gave it, of this table or of another one
   * @returns {number[] | null}
   */
  changedSince(mark) {
    const { base, cache, key, step, indexed } = this;
    if (!cache || mark?.base !== base || mark.cache !== cache || mark.key !== key || mark.indexed > indexed) return null;
    const changed = [];
    const [low, high] = step < mark.step ? [step, mark.step] : [mark.step, step];
    for (let t = low; t < high; t += 1) changed.push(cache.value("observation", t));
    for (let t = mark.indexed; t < indexed; t += 1) changed.push(cache.value("observation", t));
    return changed;
  }

  /** As of a `TableAt`. @param {number} observation @param {Float64Array} into @returns {number} visits */
  read(observation, into) {
    const told = this.base?.read(observation, into) ?? 0;
    if (!this.base) into.fill(Number.NaN);
    const visits = this.left.get(observation);
    if (!visits) return told;
    const next = firstFrom(visits, this.step);
    const step = this.#recorded(visits, next);
    if (step !== null) this.cache?.read("q_values", step, into);
    return this.#visits(told, visits, next);
  }
}

/** How many of rising numbers are below a bound: the index of the first from it on. @param {number[]} sorted @param {number} bound */
function firstFrom(sorted, bound) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** What changed from one moment to another: rows of differences. */
export class Difference {
  /** @param {{row(o: number): number[] | undefined, visitsOf(o: number): number}} now @param {TableAt} before */
  constructor(now, before) {
    this.now = now;
    this.before = before;
  }

  /** @param {number} observation @returns {number[] | undefined} */
  row(observation) {
    const [now, before] = [this.now.row(observation), this.before.row(observation)];
    if (!now) return undefined;
    return now.map((value, action) => value - (before?.[action] ?? 0));
  }

  /** How much more the best action is worth. @param {number} observation */
  value(observation) {
    const [now, before] = [this.now.row(observation), this.before.row(observation)];
    return now ? greatest(now) - (before ? greatest(before) : 0) : Number.NaN;
  }

  /** @param {number} observation */
  visitsOf(observation) {
    return this.now.visitsOf(observation) - this.before.visitsOf(observation);
  }
}

/** The greatest of a row's numbers, NaN where it has none. @param {ArrayLike<number>} row */
export function greatest(row) {
  let best = Number.NaN;
  for (let i = 0; i < row.length; i += 1) if (!(row[i] <= best) && !Number.isNaN(row[i])) best = row[i];
  return best;
}

/** The actions that share the greatest value. @param {ArrayLike<number>} row @returns {number[]} */
export function bestActions(row) {
  const best = greatest(row);
  const actions = [];
  for (let i = 0; i < row.length; i += 1) if (row[i] === best) actions.push(i);
  return actions;
}
