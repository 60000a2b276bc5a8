/** The episodes worth watching, as the server finds them: a menu above the episode table. */

import { count } from "../logic/format.js";
import { api } from "../net/api.js";
import { byId, make, on } from "./dom.js";
import { Menu } from "./menu.js";

/** @type {Record<string, string>} */
const NAMES = {
  first_success: "First success",
  best: "Best return",
  worst: "Worst return",
  longest: "Longest",
  surprise: "Biggest surprise",
  drop: "Sharpest drop",
  stage: "New stage",
};

/** @typedef {{kind: string, episode: number, step: number | null, value: number | null, text: string, kept: boolean}} Highlight */

export class Highlights {
  /** @param {import("../logic/session.js").Session} session */
  constructor(session) {
    this.session = session;
    this.list = byId("highlights-list");
    this.menu = new Menu(byId("highlights-open"), this.list, () => void this.#read());
  }

  async #read() {
    const run = this.session.state.run?.run;
    if (!run) return this.#say("No run is open.");
    this.#say("Looking …");
    try {
      /** @type {{highlights: Highlight[], scanned: {steps: number, of_steps: number}}} */
      const { highlights, scanned } = await api.highlights(run);
      if (this.session.state.run?.run !== run || this.list.hidden) return;
      if (highlights.length === 0) return this.#say("Nothing stands out yet.");
      const some = scanned.steps < scanned.of_steps;
      const note = some ? [make("p", { class: "dim", text: `surprise: ${count(scanned.steps)} of ${count(scanned.of_steps)} steps looked at` })] : [];
      this.list.replaceChildren(...highlights.map((one) => this.#item(run, one)), ...note);
      this.menu.focus();
    } catch (error) {
      this.#say(`The highlights could not be read: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @param {string} run @param {Highlight} one */
  #item(run, { kind, episode, step, text, kept }) {
    const item = /** @type {HTMLButtonElement} */ (make("button", { "data-testid": "highlight", "data-kind": kind, title: kept ? text : `${text} Its steps were not kept.` }, [
      make("span", { text: NAMES[kind] ?? kind }),
      make("b", { text: `ep ${count(episode)}${step === null ? "" : ` · step ${count(step)}`}` }),
    ]));
    on(item, "click", () => {
      this.menu.open(false);
      if (this.session.state.run?.run === run) this.session.seek(step ?? 0, episode, false);
    });
    return item;
  }

  /** @param {string} text */
  #say(text) {
    this.list.replaceChildren(make("p", { class: "dim", role: "status", text }));
  }
}
