/**
 * A second episode beside the one that the transport moves. Its steps are read over HTTP,
 * whole; the first one's too, to find where the two part.
 */

import { beside, divergence, divergenceSoFar } from "../logic/compare.js";
import { EpisodeCache } from "../logic/cache.js";
import { count, ending, reward } from "../logic/format.js";
import { api } from "../net/api.js";
import { emptyOf, MOST_STEPS, read, whole } from "../net/whole.js";
import { byId, on, setAttribute, setText, show } from "./dom.js";
import { Stage } from "./stage.js";

/** @typedef {import("../logic/ticks.js").Place} Place */

/** Steps read before and behind a position of the second one: its trail, and what comes next. */
const BEFORE = 32;
const BEHIND = 256;
/** What runs is looked at again this often. */
const AGAIN_MS = 1_000;

export class Compare {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("../logic/ticks.js").Ticks} ticks
   * @param {Stage} stage  the first one, whose overlay the second takes over
   * @param {{theme: import("./theme.js").Theme, redraw: () => void, say: (text: string) => void,
   *          open: (target: import("../logic/inbox.js").Target) => void}} world
   */
  constructor(session, ticks, stage, world) {
    this.session = session;
    this.ticks = ticks;
    this.stage = stage;
    this.world = world;
    /** What the second stage draws, in the shape of a session. @type {any} */
    this.other = null;
    /** @type {Stage | null} */
    this.second = null;
    /** The episode on the first stage that was compared last, and a copy of it. @type {{key: string, cache: EpisodeCache} | null} */
    this.first = null;
    this.generation = 0;
    /** Whether more of the second one is being read. */
    this.reaching = false;
    /** The episode on the first stage, read as it grows. @type {{key: string, place: Place, state: any, cache: EpisodeCache} | null} */
    this.growing = null;
    /** When those that run were looked at last. */
    this.looked = -AGAIN_MS;
    this.align = byId("align");
    on(this.align, "change", world.redraw);
    on(byId("compare-close"), "click", () => this.close());
    on(byId("compare-open"), "click", () => void this.toggle());
    on(byId("untick"), "click", () => ticks.set([]));
    on(byId("parting"), "click", () => {
      if (session.state.parting !== null) session.seek(session.state.parting, session.state.episode, false);
    });
  }

  get isOpen() {
    return this.other !== null;
  }

  /** What of this panel the address holds. @param {import("../logic/settings.js").Settings} settings */
  settings(settings) {
    settings.add("cmp", {
      get: () => (this.other ? `${this.other.place.run}/${this.other.place.episode}` : ""),
      set: (text) => {
        const found = /^([a-z0-9][a-z0-9_-]{0,63})\/(\d{1,15})$/.exec(text);
        if (found) void this.#show({ run: found[1], episode: Number(found[2]) });
        else this.close();
      },
    });
    settings.add("align", {
      get: () => this.align.value,
      set: (value) => {
        if (value === "step" || value === "percent") this.align.value = value;
      },
    });
  }

  /** Opens with what is ticked; with one or none, ticks the episode shown first. */
  async toggle() {
    const { state } = this.session;
    if (this.isOpen) return this.close();
    if (!state.run || state.episode === null) return;
    const { ticks } = this;
    const here = { run: state.run.run, episode: state.episode };
    if (ticks.places.length < 2 && !ticks.has(here.run, here.episode)) ticks.toggle(here.run, here.episode);
    if (ticks.places.length < 2) {
      this.world.say(`Episode ${count(here.episode)} is ticked. Go to another one and press c again to compare the two.`);
      return;
    }
    try {
      const rows = await Promise.all(ticks.places.map(({ run, episode }) => api.episode(run, episode)));
      // The longer one leads: the transport then reaches every step of both.
      const lead = (rows[0].length ?? 0) >= (rows[1].length ?? 0) ? 0 : 1;
      const [a, b] = [ticks.places[lead], ticks.places[1 - lead]];
      const step = a.run === here.run && a.episode === here.episode ? state.step : 0;
      this.world.open({ ...a, step, playing: false });
      await this.#show(b);
    } catch (error) {
      this.world.say(`These cannot be compared: ${error instanceof Error ? error.message : error}`);
    }
  }

  close() {
    this.generation += 1;
    this.other = this.first = this.growing = null;
    this.session.state.parting = null;
    show(byId("second"), false);
    show(byId("compare-bar"), false);
    byId("stages").classList.remove("two");
    this.world.redraw();
  }

  /** @param {Place} place */
  async #show(place) {
    this.generation += 1;
    const { generation } = this;
    try {
      const [run, info] = await Promise.all([api.run(place.run), api.episode(place.run, place.episode)]);
      const cache = await whole(place, info.length ?? 0, () => generation === this.generation);
      if (generation !== this.generation) return;
      if (info.running) cache.length = null;
      const state = { run, episode: place.episode, step: 0, length: info.running ? null : info.length, info, playing: false, live: false };
      this.other = { place, state, cache };
      this.first = null;
      show(byId("second"), true);
      show(byId("compare-bar"), true);
      byId("stages").classList.add("two");
      this.second = new Stage(this.other, this.world.theme, this.world.redraw, byId("second-box"));
      this.second.setRun();
      this.world.redraw();
    } catch (error) {
      if (generation !== this.generation) return;
      this.close();
      this.world.say(`Episode ${place.episode} of ${place.run} cannot be compared: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** Reads the first episode too, once it rests there, and looks where the two part. */
  async #look() {
    const { state } = this.session;
    if (!this.other || !state.run || state.episode === null) return;
    const place = { run: state.run.run, episode: state.episode };
    const key = `${place.run}/${place.episode}`;
    if (state.length === null || this.other.state.length === null) return this.#lookSoFar(place, key);
    if (this.first?.key === key) return;
    const first = { key, cache: new EpisodeCache() };
    this.first = first;
    state.parting = null;
    try {
      first.cache = await whole(place, state.length, () => this.first === first);
    } catch {
      return;
    }
    if (this.first !== first || !this.other) return;
    this.#tell(divergence(first.cache, this.other.cache), "They never part");
  }

  /** Where one of them runs: as far as both go, now and then again. @param {Place} place @param {string} key  of the first one */
  async #lookSoFar(place, key) {
    this.first = null;
    const now = performance.now();
    if (now - this.looked < AGAIN_MS) return;
    this.looked = now;
    if (this.growing?.key !== key) this.growing = { key, place, state: { length: null, info: null }, cache: emptyOf(place, null) };
    const { growing, other } = this;
    try {
      await Promise.all([grow(growing), grow(other)]);
    } catch {
      return; // once more later: what is here stays
    }
    if (this.growing !== growing || this.other !== other) return;
    const [a, b] = [growing.cache, other.cache];
    this.#tell(divergenceSoFar(a, b), `Alike so far, ${count(Math.max(0, Math.min(a.known(), b.known()) - 1))} steps`);
  }

  /** @param {ReturnType<typeof divergence>} found @param {string} alike  what to say where they do not part */
  #tell(found, alike) {
    const { state } = this.session;
    const known = found !== null && found.what !== "unread";
    state.parting = known ? found.step : null;
    const button = byId("parting");
    setAttribute(button, "data-step", known ? String(found.step) : null);
    button.disabled = !known;
    setText(button, known ? `They part at step ${found.step} (${found.what})` : found ? `Alike for ${count(found.step)} steps; the rest was not read` : alike);
    this.world.redraw();
  }

  /** Reads what the second stage is to show, where that lies behind what was read at first. @param {any} other */
  async #reach({ place, state, cache }) {
    const { step, length } = state;
    if (this.reaching || length === null || cache.has(step) || step >= length) return;
    this.reaching = true;
    try {
      await read(cache, place, Math.max(0, step - BEFORE), Math.min(length, step + BEHIND));
      this.world.redraw();
    } catch {
      // The picture stays where it was; the caption says which step it should be.
    }
    this.reaching = false;
  }

  /** @param {number} now */
  draw(now) {
    show(byId("ticked"), this.ticks.places.length > 0 && !this.isOpen);
    setText(byId("ticked-names"), this.ticks.places.map(({ run, episode }) => `${run === this.session.state.run?.run ? "" : `${run} `}ep ${count(episode)}`).join(" and "));
    const { other, second } = this;
    if (!other || !second) return;
    void this.#look();
    const { state } = this.session;
    other.state.step = beside(state.step, state.length, other.state.length ?? Math.max(0, other.cache.known() - 1), this.align.value);
    void this.#reach(other);
    second.follow(this.stage);
    second.draw(now);
    const same = state.run?.run === other.state.run?.run;
    setText(byId("first-title"), caption(state, same));
    setText(byId("second-title"), caption(other.state, same));
    setAttribute(byId("second-title"), "data-step", String(other.state.step));
  }
}

/** What came of an episode since it was read last. @param {{place: Place, state: any, cache: EpisodeCache}} one */
async function grow({ place, state, cache }) {
  if (state.length !== null) return;
  const from = cache.known();
  const info = await api.episode(place.run, place.episode);
  // The last step is read again where it was all there: what was seen at the end comes with it.
  await read(cache, place, info.running ? from : Math.min(from, info.length - 1), Math.min(info.length, MOST_STEPS));
  state.info = info;
  if (!info.running) state.length = cache.length = info.length;
}

/** @param {any} state @param {boolean} same  whether both are of one run */
function caption({ run, episode, step, length, info }, same) {
  if (!run || episode === null) return "";
  const end = info ? ending({ ...info, running: length === null }, run.presentation).word : "";
  return `${same ? "" : `${run.name ?? run.run} · `}ep ${count(episode)} · step ${count(step)} / ${length === null || length === undefined ? "…" : count(length)} · return ${reward(info?.episode_return)} · ${end}`;
}
