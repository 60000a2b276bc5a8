/**
 * What the page says besides the picture: the banner of a lost connection, the card over
 * an empty or failed stage, gaps, the spinner, toasts. Every loss is told where it shows.
 */

import { cardOf } from "../logic/cards.js";
import { count } from "../logic/format.js";
import { holeAt, stalledSince } from "../logic/state.js";
import { api } from "../net/api.js";
import { byId, make, on, setAttribute, setText, show } from "./dom.js";

const SPINNER_MS = 300;
const GAP_MS = 4_000;
const TOAST_MS = 7_000;

/** @typedef {Record<import("../logic/cards.js").Act, () => void>} Acts */

export class Notices {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {Acts} acts
   * @param {() => void} redraw
   */
  constructor(session, acts, redraw) {
    this.session = session;
    this.acts = acts;
    this.redraw = redraw;
    this.card = byId("card");
    this.cardKey = "";
    this.command = "reel";
    this.asked = false;
    on(byId("banner-now"), "click", acts.retryNow);
    // Countdowns and things that fade need no more than a few looks a second.
    setInterval(() => this.#due() && redraw(), 250);
    this.noteKey = "";
  }

  #due() {
    const { state } = this.session;
    return state.connection !== "open" || state.waitingSince !== null || state.gap !== null || state.playing;
  }

  /** @param {number} now */
  draw(now) {
    const { state } = this.session;
    this.#banner(now);
    this.#card();
    this.#note();
    const gap = byId("gap");
    const lately = state.gap !== null && now - state.gap.at < GAP_MS;
    show(gap, lately && state.episode !== null && state.missing === null && holeAt(state) === undefined);
    if (state.gap && lately) setText(gap, gapText(state.gap));
    if (!lately) state.gap = null;
    const since = state.waitingSince ?? stalledSince(state, this.session.movedAt);
    show(byId("spinner"), since !== null && now - since > SPINNER_MS);
  }

  /** What has happened to a run of which a picture is still there. */
  #note() {
    const { state } = this.session;
    const note = byId("stage-note");
    const text = state.gone ? "This run is no longer there: its directory was deleted or moved. What is loaded can still be scrubbed." : "";
    show(note, text !== "");
    if (text === this.noteKey) return;
    this.noteKey = text;
    const button = make("button", { text: "Open the newest run" });
    on(button, "click", () => this.acts.openNewest());
    note.replaceChildren(make("span", { text }), button);
  }

  /** @param {number} now */
  #banner(now) {
    const { state } = this.session;
    const lost = state.connection === "lost" || state.connection === "refused";
    show(byId("banner"), lost);
    if (!lost) return;
    const seconds = Math.max(0, Math.ceil(((state.retryAt ?? now) - now) / 1000));
    const when = seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again …";
    const text =
      state.connection === "refused"
        ? "The server does not accept this page's token. Open the address that the server printed when it started."
        : `Connection to the server lost.${state.episode === null ? "" : " What is loaded can still be scrubbed."}`;
    setText(byId("banner-text"), text);
    // Beside what is read aloud, which would begin anew with every second.
    setText(byId("banner-when"), state.connection === "refused" ? "" : when);
  }

  #card() {
    const { state } = this.session;
    const content = cardOf(state, this.session.target.run, { command: this.command, trains: !byId("train").disabled });
    if (content?.types) this.#learnCommand();
    const key = content ? content.key : "";
    show(this.card, content !== null);
    // What speaks of a step is away while there is none, or while another was asked for.
    setAttribute(document.body, "data-shows", content === null ? null : state.episode === null ? "nothing" : state.problem ? "problem" : null);
    if (key === this.cardKey) return;
    this.cardKey = key;
    setAttribute(this.card, "data-card", content ? content.key.split("|")[0] : null);
    if (!content) return this.card.replaceChildren();
    const button = (/** @type {string} */ text, /** @type {() => void} */ act, look = "") => {
      const element = make("button", { text, class: look });
      on(element, "click", act);
      return element;
    };
    const copy = (/** @type {string} */ text) => void this.copy(text, "Copied");
    const ways = (content.ways ?? []).map(({ words, label, act, code }) =>
      make("div", { class: "way" }, [
        ...(words ? [make("p", { text: words })] : []),
        code === undefined || act ? button(label ?? "", () => this.acts[/** @type {keyof Acts} */ (act)](), "primary") : make("div", { class: "code" }, [make("pre", { text: code, tabindex: "0" }), button("Copy", () => copy(code), "small")]),
      ]),
    );
    this.card.replaceChildren(
      ...(content.pulse ? [make("span", { class: "pulse" })] : []),
      make("h3", { text: content.title }),
      make("p", { text: content.text }),
      ...ways,
      make("div", { class: "actions" }, content.buttons.map(([text, act]) => button(text, () => (act === "copy" ? copy(content.copy ?? "") : this.acts[act]())))),
    );
  }

  /** How Reel is called where the server runs: `reel` need not be on the PATH there. */
  #learnCommand() {
    if (this.asked) return;
    this.asked = true;
    void api.status().then(
      (status) => {
        this.command = status.command ?? this.command;
        this.redraw();
      },
      () => {}, // the plain word stays
    );
  }

  /**
   * @param {string} text
   * @param {{kind?: string, label?: string, act?: () => void}} [more]
   */
  toast(text, { kind = "", label, act } = {}) {
    const box = byId("toasts");
    // The same words again are the same notice, not a pile.
    for (const old of [...box.children]) if (old.dataset.text === text) old.remove();
    const toast = make("div", { class: `toast ${kind}`, "data-text": text, "data-testid": "toast" }, [make("span", { text })]);
    if (label && act) {
      const button = make("button", { text: label });
      on(button, "click", () => {
        toast.remove();
        act();
      });
      toast.append(button);
    }
    box.append(toast);
    while (box.children.length > 3) box.firstElementChild?.remove();
    setTimeout(() => toast.remove(), TOAST_MS);
  }

  /** @param {string} text @param {string} done */
  async copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      this.toast(done);
    } catch {
      // Without clipboard access a person can still copy by hand.
      this.toast(text);
    }
  }
}

/** @param {import("../types.js").Gap} gap */
function gapText(gap) {
  if (gap.from_step !== undefined && gap.to_step !== undefined) return `steps ${count(gap.from_step)} to ${count(gap.to_step)} ${gap.reason}`;
  const what = `${count(gap.episodes)} episode${gap.episodes === 1 ? "" : "s"}`;
  if (gap.reason === "not_kept") return `${what} not kept`;
  if (gap.reason === "damaged") return `${what} damaged`;
  return `${count(gap.episodes)} skipped`;
}
