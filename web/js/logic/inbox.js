/**
 * The receiving half of a viewer: messages in, state changed. It holds no socket, no
 * clock and no DOM; what it needs of them is handed in.
 *
 * Transitions of `status`, told by the server and mirrored here:
 *   live -> paused | playing   pause, seek, step or speed while following
 *   paused <-> playing, playing -> ended, ended -> playing (from step 0)
 *   any -> live                return to live;  live -> waiting -> live between episodes
 */

import { EpisodeCache } from "./cache.js";
import { Seeks } from "./seeks.js";
import { initialState } from "./state.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {"run" | "episode" | "end" | "over" | "metrics" | "runs" | "moved" | "error" | "gap" | "qtable"} Event
 * @typedef {{run?: string | null, episode?: number | null, step?: number | null, live?: boolean,
 *            playing?: boolean, speed?: import("../types.js").Speed}} Target
 */

const PROTOCOL = 1;

const MIRRORED = /** @type {const} */ (["status", "playing", "live", "speed", "loop", "autoplay", "behind"]);

const MOVING = new Set(["state", "steps", "episode_start", "episode_end"]);

export class Inbox {
  /**
   * @param {(type: string, data: Record<string, any>) => boolean} send  false when not connected
   * @param {(event: Event, detail?: any) => void} notify
   * @param {() => number} now  milliseconds, monotonic
   */
  constructor(send, notify, now) {
    this.send = send;
    this.notify = notify;
    this.now = now;
    /** @type {State} */
    this.state = initialState();
    this.cache = new EpisodeCache();
    this.ids = 0;
    /** When the server last said where the playhead is. */
    this.movedAt = 0;
    /** Id of the newest `control`. */
    this.wished = 0;
    /** Id of the `control` that left live and stays where that was. */
    this.left = 0;
    /** Id of the `open` whose answer is due. @type {number | null} */
    this.opening = null;
    /** How it is to play, chosen while no run is open, as while the page connects: what opens takes it along. @type {Record<string, any>} */
    this.held = {};
    /** @type {Target} */
    this.target = {};
    this.seeks = new Seeks((place) => this.sendSeek(place), now);
  }

  /** @param {import("../types.js").Message} message */
  receive({ type, data }) {
    if (type === "hello") this.state.newer = data.protocol > PROTOCOL ? data.protocol : null;
    // Nothing is certain of what a newer server says: better to show none of it.
    if (this.state.newer !== null) return this.notify("moved");
    const late = data.epoch !== undefined && data.epoch < this.state.epoch;
    if (late) return;
    if (MOVING.has(type)) this.movedAt = this.now();
    switch (type) {
      case "run":
        return this.#run(data);
      case "state":
        return this.#state(data);
      case "episode_start":
        return this.#start(data);
      case "steps":
        return this.#steps(data);
      case "episode_end":
        return this.#end(data);
      case "gap":
        return this.#gap(/** @type {any} */ (data));
      case "metrics":
        return this.#metrics(data);
      case "qtable":
        return this.notify("qtable", data);
      case "status":
        return this.notify("runs", data);
      case "error":
        return this.#error(data);
      default:
      // Types of a newer protocol are none of our business: the specification says ignore.
    }
  }

  /** @param {any} run */
  #run(run) {
    const { state } = this;
    const other = state.run?.run !== run.run;
    this.held = {};
    Object.assign(state, { run, problem: null, empty: false, gone: false });
    if (other) {
      this.cache.clear(null);
      Object.assign(state, { episode: null, step: 0, length: null, info: null, metrics: null, gap: null, missing: null, holes: [], events: [], unmarked: 0, pausedLive: null });
      state.points = { a: null, b: null };
    }
    this.notify("run", other);
  }

  /** @param {any} data */
  #state(data) {
    const { state } = this;
    state.epoch = data.epoch ?? state.epoch;
    if (data.id !== undefined && data.id === this.opening) this.opening = null;
    this.seeks.answer(data.id);
    // What the server says while a seek is due describes a place that was left already.
    if (this.seeks.due) return;
    const { live, episode } = state;
    // An answer to a wish that was followed by another is as old as the wish.
    const old = typeof data.id === "number" && data.id < this.wished;
    if (!old) for (const field of MIRRORED) if (data[field] !== undefined) /** @type {any} */ (state)[field] = data[field];
    if (state.live) state.pausedLive = null;
    else if (live) state.pausedLive = episode;
    state.empty = !data.run && state.run === null && state.status === "waiting";
    state.waitingSince = null;
    if (typeof data.episode === "number") this.#moveTo(data.episode, data.step ?? 0, data.length ?? null);
    // Until the server heard of it live may have gone on to another episode: that one is left.
    if (data.id !== undefined && data.id === this.left) state.pausedLive = state.episode;
    if (state.info?.running && state.length !== null) {
      // It ended behind the position that is shown, and the server does not say how.
      state.info = { ...state.info, running: false };
      this.notify("over", state.episode);
    }
    this.notify("moved");
  }

  /** How an episode ended that was shown while it ran. @param {string} run @param {import("../types.js").EpisodeRow} row */
  told(run, row) {
    const { state } = this;
    if (state.run?.run !== run || state.episode !== row.episode || row.running) return;
    state.info = { ...state.info, ...row };
    this.notify("end");
  }

  /** @param {number} episode @param {number} step @param {number | null} length */
  #moveTo(episode, step, length) {
    const { state } = this;
    const other = state.episode !== episode;
    state.episode = episode;
    state.step = step;
    state.length = length ?? (other ? null : state.length);
    if (!other) return;
    state.info = null;
    state.missing = null;
    state.holes = [];
    if (this.cache.episode !== episode) this.cache.clear(episode);
    this.notify("episode", episode);
  }

  /** @param {any} data */
  #start(data) {
    const { state } = this;
    if (this.seeks.due) return;
    this.cache.start(data);
    if (state.episode !== data.episode) this.#moveTo(data.episode, data.from ?? 0, data.length ?? null);
    state.length = data.length ?? null;
    state.missing = null;
    state.info = { ...data, running: data.length === null || data.length === undefined };
    this.notify("moved");
  }

  /** @param {any} data */
  #steps(data) {
    const { state } = this;
    if (this.cache.episode !== data.episode) return;
    this.cache.add(data);
    if (this.seeks.due || state.episode !== data.episode) return;
    state.step = data.at ?? data.from + data.count - 1;
    state.waitingSince = null;
    this.notify("moved");
  }

  /** @param {any} data */
  #end(data) {
    const { state } = this;
    this.cache.finish(data);
    if (this.seeks.due || state.episode !== data.episode) return;
    state.length = data.length;
    state.step = data.length;
    state.info = { ...(state.info ?? { episode: data.episode }), ...data, running: false };
    state.waitingSince = null;
    this.notify("end");
    this.notify("moved");
  }

  /** @param {import("../types.js").Gap} data */
  #gap(data) {
    const { state } = this;
    state.gap = { ...data, at: this.now() };
    const shown = state.episode !== null && data.from_episode <= state.episode && state.episode <= data.to_episode;
    const { from_step: from, to_step: to } = data;
    if (shown && from !== undefined && to !== undefined) {
      // The episode goes on behind it.
      if (!state.holes.some((hole) => hole.from === from && hole.to === to)) state.holes = [...state.holes, { from, to }];
      state.waitingSince = null;
    } else if (shown && data.reason !== "skipped") {
      state.missing = data;
      state.waitingSince = null;
    }
    this.notify("gap", data);
  }

  /** @param {any} data */
  #metrics(data) {
    if (this.state.run && data.run !== this.state.run.run) return;
    this.state.metrics = data;
    this.notify("metrics", data);
  }

  /** @param {any} data */
  #error(data) {
    const { state } = this;
    if (data.id !== undefined && data.id === this.opening) {
      this.opening = null;
      state.waitingSince = null;
      // Nothing recorded yet is not a fault: the page waits for the first run.
      if (data.code === "unknown_run" && !this.target.run) state.empty = true;
      else this.#fail(data);
    } else if (data.id !== undefined && data.id === this.seeks.inAir?.id) {
      this.seeks.clear();
      state.waitingSince = null;
    }
    // Only an `open` can name a run that never was.
    if (data.code === "unknown_run" && state.run && !state.problem && !state.empty) state.gone = true;
    this.notify("error", data);
  }

  /** An open failed: what was shown before stays where it is, and must not go on behind the card. @param {any} problem */
  #fail(problem) {
    const { state } = this;
    state.problem = problem;
    if (!state.run) return;
    state.playing = state.live = false;
    state.status = "paused";
    this.wished = this.nextId();
    this.send("control", { id: this.wished, playing: false });
  }

  /** @param {import("./seeks.js").Place} place @returns {number | null} */
  sendSeek(place) {
    const id = this.nextId();
    /** @type {Record<string, any>} */
    const data = { id, seek: { episode: place.episode, step: place.step } };
    if (place.playing !== null) data.playing = place.playing;
    if (!this.send("control", data)) return null;
    this.state.waitingSince ??= this.now();
    return id;
  }

  nextId() {
    this.ids += 1;
    return this.ids;
  }
}
