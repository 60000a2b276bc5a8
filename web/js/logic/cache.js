/**
 * The steps of one episode as far as they came, in contiguous spans. A seek opens a new
 * span; what plays on from it extends it. Late, doubled and overlapping batches are
 * harmless: a row that is known is not written twice.
 */

import { decodeColumn, GrowingColumn, rowOf } from "./columns.js";

/**
 * @typedef {object} Span
 * @property {number} from   step of its first row
 * @property {number} count  rows
 * @property {Map<string, GrowingColumn>} columns
 * @property {number | null} before  return earned before its first row, null while unknown
 * @property {number[]} earned       running sum of rewards, one longer than the rows
 *
 * @typedef {{step: number, observation: any, action: any, reward: number | undefined,
 *            channels: Record<string, any>}} Row
 */

/** Rows kept at most: enough to scrub, little enough to watch a month of live training. */
const MOST_ROWS = 50_000;

export class EpisodeCache {
  constructor() {
    /** @type {number | null} */
    this.episode = null;
    /** @type {Span[]} */
    this.spans = [];
    /** @type {number | null} null while the episode runs */
    this.length = null;
    /** The observation after the last step. @type {any} */
    this.final = undefined;
    /** The sum that the next batch starting at `from` stands on. */
    this.base = { from: 0, sum: 0 };
    /** Rises with every change, so that drawers know when to look again. */
    this.version = 0;
  }

  /** @param {number | null} episode */
  clear(episode) {
    this.episode = episode;
    this.spans = [];
    this.length = null;
    this.final = undefined;
    this.base = { from: 0, sum: 0 };
    this.version += 1;
  }

  /**
   * Takes an `episode_start`. The same episode keeps its rows: a seek is no reason to forget.
   * @param {Record<string, any>} start
   */
  start(start) {
    if (start.episode !== this.episode) this.clear(start.episode);
    if (start.length !== null && start.length !== undefined) this.length = start.length;
    this.base = { from: start.from ?? 0, sum: start.return_before ?? 0 };
  }

  /**
   * Takes the body of a `steps` message, from the socket or from HTTP.
   * @param {Record<string, any>} steps
   */
  add(steps) {
    if (steps.episode !== this.episode || !(steps.count > 0)) return;
    const { from, count } = steps;
    /** @type {[string, import("./columns.js").Column][]} */
    const columns = Object.entries(steps.columns).map(([name, wire]) => [name, decodeColumn(/** @type {any} */ (wire))]);
    let span = this.spans.find((s) => from >= s.from && from <= s.from + s.count);
    if (!span) {
      const before = from === 0 ? 0 : from === this.base.from ? this.base.sum : null;
      span = { from, count: 0, columns: new Map(), before, earned: [0] };
      this.spans.push(span);
    }
    const skip = span.from + span.count - from;
    if (skip < count) this.#append(span, columns, skip, count);
    this.#tidy(span);
    this.version += 1;
  }

  /**
   * @param {Span} span
   * @param {[string, import("./columns.js").Column][]} columns
   * @param {number} skip
   * @param {number} count
   */
  #append(span, columns, skip, count) {
    for (const [name, column] of columns) {
      let grown = span.columns.get(name);
      if (!grown) {
        grown = new GrowingColumn(column);
        span.columns.set(name, grown);
      }
      grown.append(column, skip);
      if (name !== "reward") continue;
      for (let i = skip; i < count; i += 1) span.earned.push(span.earned[span.earned.length - 1] + rowOf(column, i));
    }
    span.count += count - skip;
  }

  /**
   * Drops spans that another one covers, then the oldest ones over the limit.
   * @param {Span} touched
   */
  #tidy(touched) {
    const end = touched.from + touched.count;
    this.spans = this.spans.filter((s) => s === touched || s.from < touched.from || s.from + s.count > end);
    let rows = this.spans.reduce((sum, s) => sum + s.count, 0);
    while (rows > MOST_ROWS && this.spans.length > 1) {
      const victim = this.spans.findIndex((s) => s !== touched);
      rows -= this.spans[victim].count;
      this.spans.splice(victim, 1);
    }
    if (rows > MOST_ROWS) this.spans = [halve(touched)];
  }

  /**
   * Takes an `episode_end`.
   * @param {Record<string, any>} end
   */
  finish(end) {
    if (end.episode !== this.episode) return;
    this.length = end.length;
    if (end.final_observation) this.final = rowOf(decodeColumn(end.final_observation), 0);
    this.version += 1;
  }

  /** @param {number} step */
  #span(step) {
    return this.spans.find((s) => step >= s.from && step < s.from + s.count);
  }

  /** Whether the picture at this position can be drawn from what is here. @param {number} step */
  has(step) {
    return this.#span(step) !== undefined || (step === this.length && this.final !== undefined);
  }

  /** Numbers that a step takes; 1 before the first is here. */
  get width() {
    let width = 0;
    for (const column of this.spans[0]?.columns.values() ?? []) width += column.width;
    return Math.max(1, width);
  }

  /** Whether every step of the episode is here. */
  complete() {
    return this.length !== null && this.spans.some((s) => s.from === 0 && s.count === this.length);
  }

  /** One step, or undefined. @param {number} step @returns {Row | undefined} */
  row(step) {
    const span = this.#span(step);
    if (!span) return undefined;
    /** @type {Row} */
    const row = { step, observation: undefined, action: undefined, reward: undefined, channels: {} };
    for (const [name, column] of span.columns) {
      const value = rowOf(column, step - span.from);
      if (name === "observation" || name === "action" || name === "reward") row[name] = value;
      else row.channels[name] = value;
    }
    return row;
  }

  /** One value of one column, without making the whole row. @param {string} name @param {number} step */
  value(name, step) {
    const span = this.#span(step);
    const column = span?.columns.get(name);
    return span && column ? rowOf(column, step - span.from) : undefined;
  }

  /** The numbers of a row of one column, NaN where there are none. @param {string} name @param {number} step @param {Float64Array} into */
  read(name, step, into) {
    const span = this.#span(step);
    const column = span?.columns.get(name);
    const from = span && column ? (step - span.from) * column.width : 0;
    for (let i = 0; i < into.length; i += 1) into[i] = column && i < column.width ? column.data[from + i] : Number.NaN;
  }

  /** The observation shown at a position: position `length` shows the final one. @param {number} step */
  observation(step) {
    if (step === this.length && this.final !== undefined) return this.final;
    return this.value("observation", step);
  }

  /** The nearest position at or before `step` that can be drawn; null when there is none. @param {number} step */
  nearest(step) {
    if (this.has(step)) return step;
    let best = -1;
    for (const s of this.spans) {
      const last = Math.min(step, s.from + s.count - 1);
      if (last >= s.from && last > best) best = last;
    }
    return best >= 0 ? best : null;
  }

  /** Rewards earned before a position; undefined where the sum is not known. @param {number} step */
  returnBefore(step) {
    for (const s of this.spans) {
      if (s.before !== null && step >= s.from && step <= s.from + s.count) return s.before + s.earned[step - s.from];
    }
    return step === 0 ? 0 : undefined;
  }

  /** The first step from which all up to `step` are here. @param {number} step */
  contiguousFrom(step) {
    return (this.#span(step) ?? this.#span(step - 1))?.from ?? step;
  }

  /** Steps known so far: the length, or one past the newest row of a running episode. */
  known() {
    return this.length ?? this.spans.reduce((most, s) => Math.max(most, s.from + s.count), 0);
  }
}

/**
 * The newer half of a span that outgrew the limit: one very long episode, watched to its end.
 * @param {Span} span
 * @returns {Span}
 */
function halve(span) {
  const cut = Math.floor(span.count / 2);
  /** @type {Map<string, GrowingColumn>} */
  const columns = new Map();
  for (const [name, column] of span.columns) {
    const half = new GrowingColumn({ ...column, rows: span.count - cut });
    half.append(column, cut);
    columns.set(name, half);
  }
  const before = span.before === null ? null : span.before + span.earned[cut];
  const earned = span.earned.slice(cut).map((sum) => sum - span.earned[cut]);
  return { from: span.from + cut, count: span.count - cut, columns, before, earned };
}
