/**
 * What lies under a pointer on the curve, in words, and opening it. A point stands for one
 * episode, or for several of which the least and the greatest are drawn: then it is the one that
 * made what is seen.
 */

import { api } from "../net/api.js";
import { count, ending, fixed, reward } from "../logic/format.js";

/** @typedef {"episode_return" | "length" | "epsilon"} Metric */
/** @type {Record<Metric, string>} */
export const NAMES = { episode_return: "return", length: "length", epsilon: "epsilon" };
/** How the list is sorted that begins with the least, and the greatest. @type {Record<Metric, [string, string]>} */
const SORTS = { episode_return: ["worst", "best"], length: ["shortest", "longest"], epsilon: ["epsilon", "-epsilon"] };
const PREVIEW_MS = 120;

/**
 * @typedef {object} Under
 * @property {string} key      of all that follows
 * @property {string} run
 * @property {number} episode  the one at that place
 * @property {Metric} metric
 * @property {number} value    what is seen
 * @property {number} of       how many episodes the point stands for
 * @property {"" | "least" | "greatest"} end  which of them
 * @property {{sort: string, filter: string} | null} ask  how to find out which that is; null: `episode` is
 */

/**
 * @param {string} run
 * @param {any} answer  of `/curve`
 * @param {number} i  the point
 * @param {number} episode  at that place, in proportion
 * @param {(value: number) => number} far  how far the pointer is from a value
 * @returns {Under}
 */
export function underPointer(run, { metric, bucket, points, to }, i, episode, far) {
  const [low, high] = [points.min[i], points.max[i]];
  if (bucket === 1 || low === null || high === null) return { key: `${run}/${episode}`, run, episode, metric, value: points.mean[i], of: 1, end: "", ask: null };
  const greatest = far(high) <= far(low);
  const [first, stop] = [points.episode[i], points.episode[i + 1] ?? to];
  const [value, end] = greatest ? [high, "greatest"] : [low, "least"];
  const ask = { sort: SORTS[/** @type {Metric} */ (metric)][greatest ? 1 : 0], filter: `episode >= ${first} and episode < ${stop}` };
  return { key: `${run}/${metric}/${first}/${stop}/${end}/${value}`, run, episode, metric, value, of: points.count[i], end: /** @type {any} */ (end), ask };
}

export class CurvePointer {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {() => void} known  called when there is more to say
   */
  constructor(session, known) {
    this.session = session;
    this.known = known;
    /** What was asked for last. @type {{key: string, row: import("../types.js").EpisodeRow | null}} */
    this.last = { key: "", row: null };
    /** What is to be asked for, until that is answered. */
    this.wanted = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** What to say of it; more is asked for once the pointer has stayed there. @param {Under} under */
  words(under) {
    const row = this.last.key === under.key ? this.last.row : null;
    this.#want(under);
    const which = under.end ? [`${under.end} of ${count(under.of)}`] : [];
    if (!row) return [...(under.ask ? [] : [`episode ${count(under.episode)}`]), `${NAMES[under.metric]} ${fixed(under.value)}`, ...which].join(" · ");
    return [`episode ${count(row.episode)}`, `return ${reward(row.episode_return)}`, `${count(row.length)} steps`, ending(row, this.session.state.run?.presentation).word, ...which].join(" · ");
  }

  /** @param {Under} under */
  #want(under) {
    const wanted = under.run && this.last.key !== under.key ? under.key : "";
    // A hand is never quite still: only another place begins anew.
    if (wanted === this.wanted) return;
    clearTimeout(this.timer);
    this.wanted = wanted;
    if (!wanted) return;
    const over = () => {
      if (this.wanted === wanted) this.wanted = "";
    };
    this.timer = setTimeout(() => void this.#row(under).finally(over).then(this.known, () => {}), PREVIEW_MS);
  }

  /** @param {Under} under */
  async open(under) {
    // What cannot be found out is the one at that place.
    const row = under.ask ? await this.#row(under).catch(() => null) : null;
    if (this.session.state.run?.run === under.run) this.session.openEpisode(row?.episode ?? under.episode);
  }

  /** @param {Under} under @returns {Promise<import("../types.js").EpisodeRow | null>} */
  async #row({ key, run, episode, ask }) {
    if (this.last.key === key) return this.last.row;
    const row = ask ? (await api.episodes(run, ask.sort, { filter: ask.filter, words: "" }, null, 1)).episodes[0] : await api.episode(run, episode);
    this.last = { key, row: row ?? null };
    return this.last.row;
  }
}
