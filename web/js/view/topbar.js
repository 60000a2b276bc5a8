/** The top bar: which run, in what state, how it does. */

import { brief, compact, count, fixed, runTitle, short } from "../logic/format.js";
import { chip, recording } from "../logic/state.js";
import { byId, make, on, setAttribute, setText } from "./dom.js";

const CHIPS = { connecting: "CONNECTING", offline: "OFFLINE", error: "ERROR", waiting: "WAITING", live: "LIVE", paused: "PAUSED", archive: "ARCHIVE" };

export class TopBar {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {(run: string) => void} pick
   */
  constructor(session, pick) {
    this.session = session;
    this.picker = byId("run-picker");
    this.listed = "";
    this.said = "";
    on(this.picker, "change", () => {
      pick(this.picker.value);
      // The keys belong to the page again, not to the list just used.
      this.picker.blur();
    });
  }

  draw() {
    const { state } = this.session;
    this.#runs();
    const shown = chip(state);
    const element = byId("state-chip");
    setAttribute(element, "data-state", shown);
    const episode = shown === "archive" && state.episode !== null ? ` ep ${count(state.episode)}` : "";
    // The word alone is read aloud: with autoplay the number may change many times a second.
    setText(byId("state-word"), CHIPS[shown]);
    setText(byId("state-episode"), episode);
    this.#metrics();
    document.title = state.run ? `${shown === "live" ? "● " : ""}${state.run.name ?? state.run.run} · Reel` : "Reel";
  }

  #runs() {
    const { state } = this.session;
    const open = state.run;
    const runs = open && !state.runs.some((run) => run.run === open.run) ? [open, ...state.runs] : state.runs;
    // Names may be the same twice; ids never are.
    const names = runs.map((run) => run.name ?? run.run);
    const twice = new Set(names.filter((name, i) => names.indexOf(name) !== i));
    const option = (/** @type {import("../types.js").Run} */ run, sign = "") =>
      make("option", { value: run.run, text: sign + runTitle(twice.has(run.name ?? run.run) ? { ...run, name: run.run } : run) });
    const blank = open === null && runs.length > 0;
    const key = blank + JSON.stringify(runs.map((run) => [run.run, run.status, run.name]));
    if (key !== this.listed) {
      this.listed = key;
      const live = runs.filter((run) => run.status === "recording");
      const rest = runs.filter((run) => run.status !== "recording");
      const groups = live.length > 0 ? [group("Recording", live.map((run) => option(run, "● "))), group("Archive", rest.map((run) => option(run)))] : rest.map((run) => option(run));
      if (blank) groups.unshift(make("option", { value: "", text: "Choose a run" }));
      this.picker.replaceChildren(...(runs.length > 0 ? groups : [make("option", { text: "No runs yet" })]));
      this.picker.disabled = runs.length === 0;
    }
    if (open && this.picker.value !== open.run) this.picker.value = open.run;
  }

  #metrics() {
    const { state } = this.session;
    const { metrics } = state;
    const bar = byId("metrics");
    if (!metrics) {
      this.said = "";
      return setText(bar, "");
    }
    /** @type {[string, string][]} */
    const parts = recording(state)
      ? [
          [compact(metrics.episodes_per_s), "episodes/s"],
          [compact(metrics.steps_per_s), "steps/s"],
        ]
      : [
          [count(metrics.episodes), metrics.episodes === 1 ? "episode" : "episodes"],
          [count(metrics.steps), metrics.steps === 1 ? "step" : "steps"],
        ];
    parts.push(["return", Math.abs(metrics.return_100 ?? 0) >= 1e5 ? brief(metrics.return_100) : fixed(metrics.return_100, 2)]);
    if (typeof metrics.epsilon === "number") parts.push(["ε", short(metrics.epsilon)]);
    const lost = metrics.lost ?? 0;
    const text = [...parts.map(([a, b]) => `${a} ${b}`), `${count(lost)} lost`];
    if (text.join() !== this.said) {
      this.said = text.join();
      // Where there is no room for all, steps and a loss of nothing are what is left out.
      const lesser = (/** @type {number} */ i) => i === 1 || (i === parts.length && lost === 0);
      bar.replaceChildren(...text.map((words, i) => make("span", lesser(i) ? { class: "lesser" } : i === parts.length ? { class: "alarm" } : {}, [i && !(i === parts.length && lost > 0) ? ` · ${words}` : words])));
    }
    bar.classList.toggle("alarm", lost > 0);
    bar.title = "return: mean of the last 100 episodes; lost: steps or episodes that could not be recorded";
    // Who else looks on is not known without a connection.
    const viewers = state.connection === "open" ? (metrics.viewers ?? 0) : 0;
    setText(byId("viewers"), viewers > 0 ? `${count(viewers)} viewer${viewers === 1 ? "" : "s"}` : "");
  }
}

/** @param {string} label @param {HTMLElement[]} options */
function group(label, options) {
  return make("optgroup", { label }, options);
}
