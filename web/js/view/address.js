/**
 * The address bar: written when something rests, read when a person changes it. What stands
 * in it restores the view; how it is spelled, logic/route.js knows.
 */

import { format, parse } from "../logic/route.js";
import { on, reducedMotion } from "./dom.js";

/** While something plays; browsers limit how often the address may change. */
const WRITE_MS = 250;

export class Address {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("../logic/settings.js").Settings} settings  what of the view it holds
   * @param {() => number} clock  milliseconds
   */
  constructor(session, settings, clock) {
    this.session = session;
    this.settings = settings;
    this.clock = clock;
    this.written = location.hash;
    /** As the browser spells it. Where the bar says something else, a person typed, and `hashchange` is on its way. */
    this.inBar = location.hash;
    this.writtenAt = -Infinity;
    /** Whether the run that is opened is one that the address named, moments of training and all. */
    this.addressed = false;
    on(window, "hashchange", () => {
      if (location.hash === this.inBar) return;
      // Another link is newer than what was chosen before.
      session.held = {};
      this.open();
    });
  }

  /** With every frame of the page: what is shown, where it is at rest. */
  write() {
    const { state } = this.session;
    // What plays has a frame to come.
    if ((state.playing || state.live) && this.clock() - this.writtenAt < WRITE_MS) return;
    this.writtenAt = this.clock();
    // While an answer is due, what is shown is not what was asked for: a reload must not lose that.
    if (!state.run || state.problem || state.waitingSince !== null) return;
    const still = !state.playing && !state.live && state.episode !== null;
    const common = { run: state.run.run, ...this.#playing() };
    const route = still ? { ...common, episode: state.episode, step: state.step } : common;
    // While it plays the address names the episode at rest last.
    if (!still && !state.live && state.episode !== null) Object.assign(route, { episode: state.episode, step: 0 });
    const hash = format(route);
    if (hash === this.written || location.hash !== this.inBar) return;
    this.written = hash;
    history.replaceState(null, "", hash || location.pathname);
    this.inBar = location.hash;
  }

  /** Opens what it names. */
  open() {
    const { session } = this;
    const route = parse(location.hash);
    this.written = this.inBar = location.hash;
    const speed = route.speed ?? undefined;
    this.addressed = session.state.run === null || (route.run !== null && route.run !== session.state.run.run);
    this.settings.restore(route.view);
    if (route.episode !== null) session.openLink({ run: route.run, episode: route.episode, step: route.step ?? 0, playing: false, speed: speed ?? 1 }, route);
    else session.openLink({ run: route.run, playing: !reducedMotion.matches, speed }, route);
  }

  #playing() {
    const { speed, loop, points, autoplay } = this.session.state;
    return { speed, loop, points, autoplay: autoplay !== false, view: this.settings.view() };
  }

  /** Whether the run that has just been opened was named by the address; asked once. */
  named() {
    const { addressed } = this;
    this.addressed = false;
    return addressed;
  }

  /** A link to this very moment. */
  get link() {
    const { state } = this.session;
    const at = format({ run: state.run?.run, episode: state.episode, step: state.step, ...this.#playing() });
    return new URL(at || "#", location.href).href;
  }
}
