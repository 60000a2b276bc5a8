/**
 * The training scrubber: moves through training time, not episode time. As acted, the
 * Q-table is that of the step shown; pinned, it is that of one moment whatever plays; and
 * the change between two moments can be shown. The learning plays by itself, too.
 */

import { count } from "../logic/format.js";
import { FRAME_MS, keyed, lastEpisode, modeOf, nextMoment, setMode, typed } from "../logic/learning.js";
import { byId, on, setAttribute, setText, show, keepArrows } from "./dom.js";

/** Steps of the slider: it lies under the curve, on the curve's own axis. */
const PLACES = 10_000;

export class Training {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("../logic/moments.js").Moments} moments
   * @param {() => void} redraw
   * @param {() => boolean} usable  whether the run has Q-tables to travel through
   * @param {{share: (episode: number) => number | null, episodeOf: (share: number) => number | null}} axis
   *   the curve's: from 0, left, to 1, right; null while there is no curve
   */
  constructor(session, moments, redraw, usable, axis) {
    this.axis = axis;
    this.session = session;
    this.moments = moments;
    this.redraw = redraw;
    this.usable = usable;
    this.slider = byId("training-seek");
    this.at = byId("training-at");
    this.since = byId("training-since");
    this.button = byId("learning");
    this.modes = byId("training-mode");
    this.playing = false;
    this.movedAt = 0;
    for (const button of this.modes.children) {
      on(button, "click", () => this.setMode(button.dataset.mode));
    }
    on(this.slider, "input", () => this.pin(this.#episodeAt(Number(this.slider.value) / PLACES)));
    on(this.slider, "keydown", (event) => this.#key(event));
    on(this.at, "change", () => this.#typed(this.at, (episode) => this.pin(episode)));
    on(this.since, "change", () => this.#typed(this.since, (episode) => this.#compare(episode)));
    on(this.button, "click", () => this.toggle());
  }

  setRun() {
    this.playing = false;
  }

  /** What of this panel the address holds. @param {import("../logic/settings.js").Settings} settings */
  settings(settings) {
    const { state } = this.session;
    const whole = (/** @type {string} */ text) => (/^\d{1,15}$/.test(text) ? Number(text) : null);
    settings.add("t", {
      get: () => (state.moment === null ? "" : String(state.moment)),
      set: (text) => {
        state.moment = whole(text);
      },
    });
    settings.add("since", {
      get: () => (state.since === null ? "" : String(state.since)),
      set: (text) => {
        state.since = whole(text);
      },
    });
  }

  /** @param {"acted" | "pinned" | "change"} mode */
  setMode(mode) {
    this.playing = false;
    setMode(this.session.state, mode);
    this.redraw();
  }

  /** @param {number} episode */
  pin(episode) {
    const { state } = this.session;
    this.playing = false;
    state.moment = Math.max(0, Math.min(lastEpisode(state), episode));
    this.redraw();
  }

  /** Where an episode stands on the curve's axis, 0 to 1. @param {number} episode */
  #share(episode) {
    const last = lastEpisode(this.session.state);
    return this.axis.share(episode) ?? (last > 0 ? episode / last : 0);
  }

  /** @param {number} share */
  #episodeAt(share) {
    return this.axis.episodeOf(share) ?? Math.round(share * lastEpisode(this.session.state));
  }

  /** Keys count episodes, whatever the axis does. @param {KeyboardEvent} event */
  #key(event) {
    const { state } = this.session;
    const last = lastEpisode(state);
    const to = keyed(event.key, state.moment ?? state.episode ?? 0, last);
    if (to !== null) {
      event.preventDefault();
      this.pin(to);
    }
    keepArrows(event);
  }

  /** @param {number} episode */
  #compare(episode) {
    const { state } = this.session;
    state.moment ??= state.episode ?? 0;
    state.since = episode;
    this.redraw();
  }

  /** @param {HTMLInputElement} input @param {(episode: number) => void} then */
  #typed(input, then) {
    const episode = typed(input.value, lastEpisode(this.session.state));
    if (episode === null) input.value = "";
    else then(episode);
    this.redraw();
  }

  /** Plays the learning from here, or from the start where it is over. */
  toggle() {
    const { state } = this.session;
    this.playing = !this.playing;
    if (this.playing) {
      const last = lastEpisode(state);
      if (state.moment === null || state.moment >= last) state.moment = 0;
    }
    this.redraw();
  }

  /** The keyboard's way here. */
  focus() {
    if (!byId("training").hidden) this.slider.focus();
  }

  /** @param {number} now */
  draw(now) {
    const { state } = this.session;
    const usable = this.usable() && state.episode !== null && this.moments.refused === null;
    show(byId("training"), usable);
    show(byId("training-row"), usable);
    if (!usable) return show(byId("curve-veil"), false);
    const last = lastEpisode(state);
    // A link may name what the run does not have: it shows the last there is, as a link to a step does.
    for (const name of /** @type {const} */ (["moment", "since"])) state[name] = state[name] === null ? null : Math.min(state[name], last);
    this.#advance(now);
    const mode = modeOf(state);
    const moment = state.moment ?? state.episode ?? 0;
    for (const button of this.modes.children) {
      setAttribute(button, "aria-checked", String(button.dataset.mode === mode));
      setAttribute(button, "tabindex", button.dataset.mode === mode ? "0" : "-1");
    }
    const share = this.#share(moment);
    const place = String(Math.round(share * PLACES));
    if (this.slider.value !== place) this.slider.value = place;
    this.slider.style.setProperty("--done", `${share * 100}%`);
    const spoken = mode === "acted" ? `as acted, episode ${count(moment)}` : `pinned at episode ${count(moment)} of ${count(last)}`;
    setAttribute(this.slider, "aria-valuetext", spoken);
    byId("training-row").dataset.mode = mode;
    if (document.activeElement !== this.at) this.at.value = count(moment);
    if (document.activeElement !== this.since) this.since.value = count(state.since ?? 0);
    show(byId("training-since-label"), mode === "change");
    setAttribute(this.button, "aria-label", this.playing ? "Stop playing the learning" : "Play the learning");
    setAttribute(this.button, "aria-pressed", String(this.playing));
    setAttribute(/** @type {Element} */ (this.button.querySelector("use")), "href", this.playing ? "#i-pause" : "#i-play");
    setText(byId("training-note"), this.moments.acted.base && !this.moments.acted.exact && mode === "acted" ? "some rows as last seen" : "");
    const veil = byId("curve-veil");
    show(veil, mode !== "acted");
    veil.style.setProperty("--from", String(share));
  }

  /** One moment on, once the last one is on the screen. @param {number} now */
  #advance(now) {
    const { state } = this.session;
    if (!this.playing) return;
    if (state.moment === null) state.moment = 0;
    this.redraw();
    if (!this.moments.has(state.moment) || now - this.movedAt < FRAME_MS) return;
    this.movedAt = now;
    const next = nextMoment(state.moment, lastEpisode(state));
    if (next === null) this.playing = false;
    else state.moment = next;
  }
}
