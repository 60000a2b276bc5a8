/**
 * What the page knows of the server's trainings. Messages in, a list out; no DOM.
 *
 * @typedef {object} Training
 * @property {string} training
 * @property {string | null} run
 * @property {"starting" | "running" | "paused" | "stopping" | "ended" | "failed"} state
 * @property {Record<string, any>} parameters
 * @property {number} started_at
 * @property {boolean} silent
 * @property {{per_second: number | null, unit: "step" | "episode"}} speed
 * @property {Record<string, any>} figures
 * @property {string | null} outcome
 * @property {Record<string, any>} totals
 * @property {string | null} problem
 * @property {string[]} log
 */

import { compact } from "./format.js";

/** @param {Training | null | undefined} training */
export const isOver = (training) => !training || training.state === "ended" || training.state === "failed";

export class Trainings {
  constructor() {
    /** @type {Map<string, Training>} */
    this.known = new Map();
    /** Whether the server may train, and why not. */
    this.allowed = false;
    /** @type {string | null} */
    this.reason = null;
    /** Messages about trainings so far. */
    this.told = 0;
    /** The last of them about each, and the last that told all of it. @type {Map<string, {any: number, whole: number}>} */
    this.toldOf = new Map();
  }

  /**
   * The list as the server had it: what it has told since it was asked is newer.
   * @param {any} overview @param {number} [since]  `told` when it was asked
   */
  listed(overview, since = this.told) {
    this.allowed = overview.allowed;
    this.reason = overview.reason;
    const before = this.known;
    this.known = new Map(overview.trainings.map((/** @type {Training} */ one) => [one.training, one]));
    for (const [id, one] of before) {
      const told = this.toldOf.get(id);
      const listed = this.known.get(id);
      if (!told || told.any <= since) continue;
      if (listed && told.whole <= since) update(listed, one);
      else this.known.set(id, one);
    }
  }

  /** One that was started from here, as the answer has it: what is known of it is newer. @param {Training} one */
  started(one) {
    if (!this.known.has(one.training)) this.known.set(one.training, one);
  }

  /**
   * @param {import("../types.js").Message} message
   * @returns {boolean} whether it was about training
   */
  receive({ type, data }) {
    if (type === "training_update") {
      const one = this.known.get(data.training);
      if (!one) return true;
      update(one, { ...data, silent: false });
      this.#note(data.training, false);
      return true;
    }
    if (type !== "training" && !/^training_(started|stopped|complete)$/.test(type)) return false;
    const { id: _, ...training } = data;
    this.known.set(data.training, /** @type {any} */ (training));
    this.#note(data.training, true);
    return true;
  }

  /** @param {string} id @param {boolean} whole */
  #note(id, whole) {
    this.told += 1;
    this.toldOf.set(id, { any: this.told, whole: whole ? this.told : (this.toldOf.get(id)?.whole ?? 0) });
  }

  /** @returns {Training[]} the newest first */
  get all() {
    return [...this.known.values()].sort((a, b) => b.started_at - a.started_at);
  }

  /** The one of a run. @param {string | null | undefined} run */
  of(run) {
    return run ? (this.all.find((one) => one.run === run) ?? null) : null;
  }
}

/** What an update tells of a training. @param {Training} one @param {any} told */
function update(one, { state, figures, run, silent }) {
  Object.assign(one, { state, figures, run, silent });
}

/** How far it is, 0 to 1. @param {Training} training */
export function progress({ figures, state, outcome }) {
  if (state === "ended" && outcome === "complete") return 1;
  return figures.episodes ? Math.min(1, (figures.episode ?? 0) / figures.episodes) : 0;
}

/** Positions of the slider of the training speed: a second's steps or episodes, last is full speed. */
export const PACES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, null];

/** @param {number | null} perSecond @returns {number} the position nearest to a pace */
export function paceAt(perSecond) {
  if (perSecond === null) return PACES.length - 1;
  const found = PACES.findIndex((pace) => pace === null || pace >= perSecond);
  return Math.min(found, PACES.length - 2);
}

/** @param {number | null} perSecond @returns {string} a pace as it is, also between two positions */
export const paceText = (perSecond) => (perSecond === null ? "full" : `${perSecond < 10 ? perSecond : compact(perSecond)}/s`);
