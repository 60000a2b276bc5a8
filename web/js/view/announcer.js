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
    /** The position that is about to be said, or was said last; "" while nothing rests. */
    this.place = "";
  }

  /** Something changed: where it is the position, whatever was about to be said is old. */
  consider() {
    const { state, cache } = this.session;
    const rests = !state.playing && !state.live && state.episode !== null;
    const place = rests ? `${state.run?.run}/${state.episode}/${state.step}` : "";
    // While a run records there is news ten times a second; the position rests all the same.
    if (place === this.place) return;
    this.place = place;
    clearTimeout(this.waiting);
    if (!rests) return;
    this.waiting = setTimeout(() => {
      this.announced = this.clock();
      const earned = cache.value("reward", state.step);
      setText(byId("announce"), `episode ${state.episode}, step ${state.step}${earned === undefined ? "" : `, reward ${reward(earned)}`}`);
    }, Math.max(REST_MS, APART_MS - (this.clock() - this.announced)));
  }
}
