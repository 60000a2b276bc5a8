/**
 * The environment's own pictures, though none were recorded: the server plays the episode
 * again and draws it. A toggle over the stage; where an episode cannot be drawn, the server
 * says why, and the stage stays as it was.
 */

import { api } from "../net/api.js";
import { byId, on, setAttribute, show } from "./dom.js";

export class Frames {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {(text: string) => void} tell  says why there are no pictures
   * @param {() => void} redraw
   */
  constructor(session, tell, redraw) {
    this.session = session;
    this.tell = tell;
    this.redraw = redraw;
    this.toggle = byId("frames-toggle");
    this.image = /** @type {HTMLImageElement} */ (byId("frames-image"));
    this.allowed = false;
    this.wanted = false;
    /** Which episode's pictures are there, or being drawn. */
    this.key = "";
    this.count = 0;
    on(this.toggle, "click", () => this.#turn(!this.wanted));
    on(this.image, "load", redraw);
    void api.status().then((status) => {
      this.allowed = status.simulation === true;
      redraw();
    }, () => {});
  }

  /** What of this panel the address holds. @param {import("../logic/settings.js").Settings} settings */
  settings(settings) {
    settings.add("pictures", { get: () => (this.wanted ? "1" : ""), set: (value) => this.#turn(value === "1") });
  }

  /** @param {boolean} wanted */
  #turn(wanted) {
    this.wanted = wanted;
    if (!wanted) this.key = "";
    this.count = 0;
    this.redraw();
  }

  draw() {
    const { state } = this.session;
    const possible = this.allowed && Boolean(state.run?.env_id) && state.episode !== null;
    show(this.toggle, possible);
    setAttribute(this.toggle, "aria-pressed", String(this.wanted));
    // One that runs is not over: there is nothing to play again.
    const due = possible && this.wanted && state.length !== null;
    const key = due ? `${state.run?.run}/${state.episode}` : "";
    if (key && key !== this.key) void this.#ask(key, state.run?.run ?? "", state.episode ?? 0);
    const there = key !== "" && key === this.key && this.count > 0;
    show(this.image, there);
    setAttribute(this.toggle, "aria-busy", String(key !== "" && this.count === 0));
    if (!there || !this.image.complete) return;
    const source = api.frame(state.run?.run ?? "", state.episode ?? 0, Math.min(state.step, this.count - 1));
    if (this.image.src !== source) this.image.src = source;
    setAttribute(this.image, "alt", `The environment's own picture of step ${state.step}`);
  }

  /** @param {string} key @param {string} run @param {number} episode */
  async #ask(key, run, episode) {
    this.key = key;
    this.count = 0;
    try {
      const { count } = await api.frames(run, episode);
      if (this.key === key) this.count = count;
    } catch (error) {
      if (this.key !== key) return;
      this.tell(error instanceof Error ? error.message : String(error));
      this.wanted = false;
      this.key = "";
    }
    this.redraw();
  }
}
