/**
 * What the page says besides the picture: the banner of a lost connection, the card over
 * an empty or failed stage, gaps, the spinner, toasts. Every loss is told where it shows.
 */

import { count } from "../logic/format.js";
import { recording, stalledSince } from "../logic/state.js";
import { api } from "../net/api.js";
import { byId, make, on, setAttribute, setText, show } from "./dom.js";

const SPINNER_MS = 300;
const GAP_MS = 4_000;
const TOAST_MS = 7_000;

const SNIPPET = `from recorder import EpisodeRecorder

recorder = EpisodeRecorder("runs", env=env)
# in your training loop:
recorder.record_step(observation, action, reward)
recorder.finish_episode(observation, terminated=True, truncated=False)
recorder.close()`;

/** @typedef {Record<"retryNow" | "openNewest" | "openLast" | "again" | "next" | "reload", () => void>} Acts */

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
    show(gap, lately && state.episode !== null && state.missing === null);
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
        : `Connection to the server lost. ${state.episode === null ? "" : "What is loaded can still be scrubbed. "}${when}`;
    setText(byId("banner-text"), text);
  }

  #card() {
    const { state } = this.session;
    const content = cardOf(state, this.session.target.run, this.command);
    if (content?.types) this.#learnCommand();
    const key = content ? content.key : "";
    show(this.card, content !== null);
    if (key === this.cardKey) return;
    this.cardKey = key;
    setAttribute(this.card, "data-card", content ? content.key.split("|")[0] : null);
    if (!content) return this.card.replaceChildren();
    const buttons = content.buttons.map(([label, act]) => {
      const button = make("button", { text: label });
      on(button, "click", () => (act === "copy" ? this.copy(content.copy ?? "", "Copied") : this.acts[act]()));
      return button;
    });
    this.card.replaceChildren(
      ...(content.pulse ? [make("span", { class: "pulse" })] : []),
      make("h3", { text: content.title }),
      make("p", { text: content.text }),
      ...(content.pre ? [make("pre", { text: content.pre, tabindex: "0" })] : []),
      make("div", { class: "actions" }, buttons),
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

/**
 * @typedef {{key: string, title: string, text: string, pre?: string, copy?: string, pulse?: boolean, types?: boolean,
 *            buttons: [string, "copy" | keyof Acts][]}} Card
 * @param {import("../logic/state.js").State} state
 * @param {string | null | undefined} asked  the run that was asked for
 * @param {string} command  what a person types for `reel`; a card with `types` names it
 * @returns {Card | null}
 */
function cardOf(state, asked, command) {
  const { problem } = state;
  if (state.newer !== null) {
    const text = `The server speaks version ${state.newer} of the protocol, this page version 1. Load the page again to get the one that belongs to the server.`;
    return { key: `newer|${state.newer}`, title: "This page is older than its server", text, copy: text, buttons: [["Load again", "reload"], ["Copy details", "copy"]] };
  }
  if (problem) {
    const details = `${problem.code}: ${problem.message}`;
    /** @type {Card["buttons"]} */
    const buttons = [["Try again", "again"], ["Copy details", "copy"]];
    if (problem.code === "unknown_episode") buttons.unshift(["Open the last episode", "openLast"]);
    else buttons.unshift(["Open the newest run", "openNewest"]);
    const unreadable = state.runs.some((run) => run.run === asked && run.status === "unreadable");
    const title = unreadable ? "This run cannot be read" : (TITLES[problem.code] ?? "This cannot be shown");
    return { key: `problem|${title}${details}`, title, text: problem.message, copy: details, buttons };
  }
  if (state.empty && state.episode === null) {
    return {
      key: `empty|${command}`,
      pulse: true,
      types: true,
      title: "Nothing recorded yet",
      text: `Type  ${command} train  in another terminal, or record your own loop. This page opens by itself when the first episode arrives.`,
      pre: SNIPPET,
      copy: SNIPPET,
      buttons: [["Copy", "copy"]],
    };
  }
  if (state.run && state.episode === null && state.waitingSince === null && state.metrics !== null) {
    if (!recording(state)) return { key: "none", title: "This run has no episodes", text: "It ended before its first episode did.", buttons: [["Open the newest run", "openNewest"]] };
    return { key: "waiting", pulse: true, title: "Waiting for the first episode", text: "The run is there; nothing of it has been recorded yet.", buttons: [] };
  }
  if (state.missing?.reason === "damaged") {
    const text = `The steps of episode ${state.episode} cannot be read: the tape of run ${state.run?.run} is damaged there. ${command} check says how far, ${command} recover saves what is whole.`;
    const copy = `${text} File: ${state.run?.run}/run.db. Episodes ${state.missing.from_episode} to ${state.missing.to_episode}.`;
    return { key: `damaged|${state.episode}|${command}`, types: true, title: "This episode is damaged", text, copy, buttons: [["Next episode", "next"], ["Try again", "again"], ["Copy details", "copy"]] };
  }
  if (state.missing) {
    return { key: `kept|${state.episode}`, title: "The steps of this episode were not kept", text: "The run's recording policy kept its summary only.", buttons: [["Next episode", "next"]] };
  }
  return null;
}

/** @type {Record<string, string>} */
const TITLES = {
  unknown_run: "There is no such run",
  unknown_episode: "There is no such episode",
  damaged: "This recording is damaged",
};

/** @param {import("../types.js").Gap} gap */
function gapText(gap) {
  const what = `${count(gap.episodes)} episode${gap.episodes === 1 ? "" : "s"}`;
  if (gap.reason === "not_kept") return `${what} not kept`;
  if (gap.reason === "damaged") return `${what} damaged`;
  return `${count(gap.episodes)} skipped`;
}
