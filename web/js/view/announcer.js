/** Reads the position aloud, only when it rests, and at most once a second. */

import { reward } from "../logic/format.js";
import { byId, setText } from "./dom.js";

const REST_MS = 250;
const APART_MS = 1_000;

export class Announcer {
  /** @param {import("../logic/session.js").Session} session @param {() => number} clock  milliseconds */
  constructor(session, clock) {
    this.session = session;
    this.clock = clock;
    this.announced = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.waiting = undefined;
  }

  /** Something changed: whatever was about to be said is old. */
  consider() {
    const { state, cache } = this.session;
    clearTimeout(this.waiting);
    if (state.playing || state.live || state.episode === null) return;
    this.waiting = setTimeout(() => {
      this.announced = this.clock();
      const earned = cache.value("reward", state.step);
      setText(byId("announce"), `episode ${state.episode}, step ${state.step}${earned === undefined ? "" : `, reward ${reward(earned)}`}`);
    }, Math.max(REST_MS, APART_MS - (this.clock() - this.announced)));
  }
}
