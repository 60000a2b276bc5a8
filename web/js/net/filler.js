/**
 * Reads the whole of a short finished episode over HTTP when a person settles on it, so
 * that scrubbing needs no round trip, reward ticks show, and a lost connection leaves the
 * episode playable by hand. It never hurries: playback itself needs none of it.
 */

import { ApiError } from "./api.js";

const MOST_STEPS = 20_000;
/** Numbers: an episode of frames is large before it is long. */
const MOST_NUMBERS = 2_000_000;
const CHUNK = 1_000;
const SETTLE_MS = 200;

export class Filler {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {(run: string, episode: number, from: number, to: number) => Promise<any>} read
   * @param {() => void} done
   */
  constructor(session, read, done) {
    this.session = session;
    this.read = read;
    this.done = done;
    /** @type {string | null} */
    this.tried = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  consider() {
    const { state } = this.session;
    const key = `${state.run?.run}/${state.episode}`;
    if (state.live || key === this.tried || !this.#wanted()) return;
    this.tried = key;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.#fill(key), SETTLE_MS);
  }

  #wanted() {
    const { state, cache } = this.session;
    const { length, missing, gone } = state;
    return !missing && !gone && length !== null && length <= MOST_STEPS && length * cache.width <= MOST_NUMBERS && !cache.complete();
  }

  /** At once, for a person who asks for what only the whole episode tells. */
  async now() {
    const { state } = this.session;
    if (!this.#wanted()) return;
    this.tried = `${state.run?.run}/${state.episode}`;
    clearTimeout(this.timer);
    await this.#fill(this.tried);
  }

  /** @param {string} key */
  async #fill(key) {
    const { state, cache } = this.session;
    const { run, episode, length } = state;
    const still = () => `${state.run?.run}/${state.episode}` === key && cache.episode === episode;
    if (!run || episode === null || length === null || !still() || !this.#wanted()) return;
    try {
      for (let from = 0; from < length; ) {
        const steps = await this.read(run.run, episode, from, Math.min(length, from + CHUNK));
        if (!still()) return;
        // Of large ones fewer come than were asked for.
        if (!(steps.count > 0)) break;
        from += steps.count;
        cache.add({ ...steps, episode });
        if (steps.final_observation) cache.finish({ episode, length, final_observation: steps.final_observation });
      }
      this.done();
    } catch (error) {
      // The socket brings the same steps as they are played; nothing is lost but comfort. What
      // the server refuses, as what is damaged, it would refuse again.
      if (!(error instanceof ApiError)) this.tried = null;
    }
  }
}
