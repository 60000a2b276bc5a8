/**
 * A viewer's side of the protocol: the inbox, and what a person can ask for. Seeks are
 * shown at once where the steps are here already, and then as the server says.
 */

import { Inbox } from "./inbox.js";
import { marksOf, nextEvent, nextMark } from "./marks.js";
import { stretchOf } from "./route.js";
import { otherLive, recording } from "./state.js";

/** @typedef {import("./inbox.js").Target} Target */

export class Session extends Inbox {
  /** What playing on goes through; null: all episodes. @type {import("./playlist.js").Playlist | null} */
  list = null;

  /** Points of a loop that a link names in an episode which is not here yet. @type {{episode: number, points: import("./route.js").Points} | null} */
  linked = null;

  /** @param {Target} target */
  open(target) {
    const { state } = this;
    const { speed = target.speed ?? state.speed, ...how } = this.held;
    this.target = target;
    this.opening = this.nextId();
    this.seeks.clear();
    state.waitingSince = this.now();
    state.problem = null;
    /** @type {Record<string, any>} */
    const data = { id: this.opening, playing: target.playing ?? true, speed };
    if (target.run) data.run = target.run;
    if (target.live) data.live = true;
    if (target.episode !== null && target.episode !== undefined) {
      data.episode = target.episode;
      data.step = target.step ?? 0;
    }
    const sent = this.send("open", data);
    if (sent && Object.keys(how).length > 0) this.#control(how);
    return sent;
  }

  /**
   * What is opened, as a link has it: also how it plays on, and nothing of that from before.
   * @param {Target} target
   * @param {Pick<import("./route.js").Route, "loop" | "points" | "autoplay">} link
   */
  openLink(target, link) {
    const { state } = this;
    const { points } = link;
    const { loop, autoplay } = { ...link, ...this.held };
    const same = state.episode !== null && target.episode === state.episode && (target.run ?? null) === (state.run?.run ?? null);
    this.linked = same || target.episode === null || target.episode === undefined ? null : { episode: target.episode, points };
    if (same) state.points = points;
    this.open(target);
    const on = autoplay && this.#on();
    if (JSON.stringify([loop, on]) === JSON.stringify([state.loop, state.autoplay])) return;
    Object.assign(state, { loop, autoplay: on });
    this.#control({ loop, autoplay: on });
  }

  /**
   * The list of runs is here, and with it the open run as it is now: it may have ended.
   * @param {import("../types.js").Run[]} runs
   * @param {boolean} [all]  whether there are no others
   * @returns {boolean}  whether the open run's status is another
   */
  listed(runs, all = true) {
    const { state } = this;
    state.runs = runs;
    const now = runs.find(({ run }) => run === state.run?.run);
    state.gone = all && state.run !== null && !now;
    // One that cannot be read says nothing but that; what is known of it stays.
    if (!now || now.status === "unreadable" || now.status === state.run?.status) return false;
    state.run = now;
    return true;
  }

  /** Whether the list of runs has by now what a link named and could not be opened. */
  findable() {
    const { state, target } = this;
    const run = state.runs.find((one) => one.run === target.run && one.status !== "unreadable");
    if (!run || !state.problem) return false;
    return state.problem.code === "unknown_run" || (state.problem.code === "unknown_episode" && (target.episode ?? 0) < (run.episodes ?? 0));
  }

  /** Opens again what was shown, after the connection was lost. */
  resume() {
    const { state } = this;
    // Epochs count per connection: those of a new one start over.
    state.epoch = 0;
    if (!state.run || state.episode === null || state.problem) return this.open(this.target);
    const { playing, loop, autoplay } = state;
    const run = state.run.run;
    const sent = state.live
      ? this.open({ run, live: true })
      : this.open({ run, episode: state.episode, step: state.step, playing });
    if (sent && (loop !== "off" || autoplay)) this.#control({ loop, autoplay: autoplay && this.#on() });
    return sent;
  }

  play() {
    const { state } = this;
    // What a person sees is the problem: playing on means going back to what was there.
    if (state.problem) return this.seek(state.step, state.episode, true);
    if (state.length !== null && state.step >= state.length) return this.seek(0, state.episode, true);
    state.playing = true;
    state.status = "playing";
    return this.#control({ playing: true });
  }

  pause() {
    const left = this.#leaveLive();
    this.state.playing = false;
    this.state.status = "paused";
    return this.#control({ playing: false }, left);
  }

  toggle() {
    const { playing, live } = this.state;
    return playing || live ? this.pause() : this.play();
  }

  /**
   * @param {number} step
   * @param {number | null} [episode]
   * @param {boolean | null} [playing]  null leaves it as it is
   */
  seek(step, episode = this.state.episode, playing = null) {
    const { state } = this;
    if (episode === null) return false;
    // After an open that failed the server has nothing to seek in.
    if (state.problem) return this.open({ run: this.#runId(), episode, step, playing: playing ?? false });
    this.#leaveLive();
    const same = episode === state.episode;
    const limit = same ? (state.length ?? Math.max(0, this.cache.known() - 1)) : Infinity;
    const target = Math.max(0, Math.min(limit, Math.round(step)));
    if (playing !== null) state.playing = playing;
    state.status = state.playing ? "playing" : "paused";
    if (same) state.step = target;
    // Without a connection what is loaded stays scrubbable; resume() tells the server where we are.
    const sent = this.seeks.want({ episode, step: target, playing });
    this.notify("moved");
    return sent;
  }

  /** Some steps on or back, and pause. @param {number} by */
  stepBy(by) {
    return this.seek(this.state.step + by, this.state.episode, false);
  }

  first() {
    return this.seek(0, this.state.episode, false);
  }

  last() {
    return this.seek(this.state.length ?? this.cache.known() - 1, this.state.episode, false);
  }

  /** @param {number} fraction */
  percent(fraction) {
    return this.seek((this.state.length ?? this.cache.known()) * fraction);
  }

  /** An episode from its start, playing on if this one did. @param {number} episode @param {boolean} [playing] */
  openEpisode(episode, playing) {
    const { state } = this;
    const ran = state.playing || state.live || (state.length !== null && state.step >= state.length);
    return this.seek(0, Math.max(0, episode), playing ?? ran);
  }

  /** The episode that is shown, or is asked for already. */
  get heading() {
    return this.seeks.target?.episode ?? this.state.episode;
  }

  /** Episodes of the run, as far as is known. */
  get #total() {
    const { metrics, run } = this.state;
    return Math.max(metrics?.episodes ?? 0, run?.episodes ?? 0);
  }

  /** The episode before or after, by number. @param {number} by */
  episodeBy(by) {
    const from = this.heading ?? 0;
    const target = Math.max(0, Math.min(Math.max(this.#total - 1, from), from + by));
    return target === from ? false : this.openEpisode(target);
  }

  /** @param {import("../types.js").Speed} speed */
  setSpeed(speed) {
    const left = this.#leaveLive();
    if (left) this.state.playing = true;
    this.state.speed = speed;
    return this.#control({ speed }, left);
  }

  /** @param {import("../types.js").Loop} loop */
  setLoop(loop) {
    this.state.loop = loop;
    return this.#control({ loop });
  }

  /** Off, then the episode, then from A to B where both are set. */
  nextLoop() {
    const { loop, points } = this.state;
    if (loop === "off") return this.setLoop("episode");
    const stretch = stretchOf(points);
    return this.setLoop(loop === "episode" && stretch ? stretch : "off");
  }

  /** Sets a point of the A-B loop here; once both are there, it loops. @param {"a" | "b"} which */
  setPoint(which) {
    const { state } = this;
    if (state.episode === null) return;
    state.points = { ...state.points, [which]: state.step };
    const stretch = stretchOf(state.points);
    if (stretch) this.setLoop(stretch);
    else if (typeof state.loop === "object") this.setLoop("off");
    this.notify("moved");
  }

  /** The points of a loop belong to the episode in which they were set: another is shown now. */
  clearPoints() {
    const { linked, state } = this;
    this.linked = null;
    if (linked && linked.episode === state.episode) {
      state.points = linked.points;
      return;
    }
    if (state.points.a === null && state.points.b === null) return;
    state.points = { a: null, b: null };
    if (typeof state.loop === "object") this.setLoop("off");
  }

  /** The previous or the next event: in the episode, else where the run's timeline has one. False: there is none. @param {number} by */
  async eventBy(by, /** @type {(run: string, episode: number) => Promise<import("../types.js").EpisodeRow>} */ read) {
    const { state } = this;
    if (state.episode === null || !state.run) return false;
    const mark = nextMark(this.marks(), state.step, by);
    if (mark) {
      this.seek(mark.step, state.episode, false);
      return true;
    }
    // What was noted behind the last episode, as a Q-table saved at the end, is in none.
    const event = nextEvent(state.events.filter((one) => one.episode < this.#total), state.episode, by);
    if (!event) return false;
    const row = await read(state.run.run, event.episode);
    this.seek(event.global_step - (row.first_step ?? event.global_step), event.episode, false);
    return true;
  }

  marks() {
    const { state, cache } = this;
    if (state.episode === null || cache.episode !== state.episode) return [];
    const firstStep = state.info?.first_step ?? 0;
    const episode = { episode: state.episode, known: cache.known(), length: state.length, firstStep, reward: (/** @type {number} */ t) => cache.value("reward", t) };
    return marksOf(episode, state.events, state.parting);
  }

  /** @param {boolean} on */
  setAutoplay(on) {
    this.state.autoplay = on && this.#on();
    return this.#control({ autoplay: this.state.autoplay });
  }

  /** Another list to go through; one that plays on goes through it at once. @param {import("./playlist.js").Playlist | null} list */
  setList(list) {
    if (JSON.stringify(list) === JSON.stringify(this.list)) return;
    this.list = list;
    if (this.state.autoplay) this.#control({ autoplay: this.#on() });
  }

  #on() {
    return this.list ?? true;
  }

  /** Back to what is being recorded: in this run, or in one that is. */
  goLive() {
    const { state } = this;
    this.seeks.clear();
    if (recording(state)) {
      if (state.problem) return this.open({ run: this.#runId(), live: true });
      state.waitingSince = this.now();
      return this.#control({ live: true });
    }
    const other = otherLive(state);
    return other ? this.open({ run: other.run, live: true }) : false;
  }

  #runId() {
    return this.state.run?.run ?? this.target.run;
  }

  #leaveLive() {
    const { state } = this;
    if (!state.live) return false;
    state.live = false;
    state.pausedLive = state.episode;
    return true;
  }

  /** @param {Record<string, any>} data @param {boolean} [left]  live, by this */
  #control(data, left = false) {
    const { state } = this;
    const { playing, ...how } = data;
    const opens = state.run !== null || this.opening !== null;
    this.wished = this.nextId();
    if (left) this.left = this.wished;
    if (playing !== undefined) this.seeks.setPlaying(playing);
    const sent = opens && this.send("control", { id: this.wished, ...data });
    if (state.run === null) Object.assign(this.held, how);
    this.notify("moved");
    return sent;
  }
}
