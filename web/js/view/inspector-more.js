/**
 * The lower half of the inspector: what changed, the info of the step as a tree, how often
 * each action was taken, in the episode or the run, and the steps at which one was.
 */

import { count, value as anyText } from "../logic/format.js";
import { changes, returnToGo, stepAsJson, stepsWith, tdError, discountOf } from "../logic/insight.js";
import { fixed } from "../logic/format.js";
import { firstAction } from "../logic/grid.js";
import { byId, make, on, setAttribute, setText, show } from "./dom.js";

const MOST_CHIPS = 120;
const REFRESH_MS = 5_000;

export class InspectorMore {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {() => import("../logic/tables.js").EpisodeTable | null} table  as acted
   * @param {{copy: (text: string) => void, actions: (run: string) => Promise<{counts: number[], steps: number}>, redraw: () => void}} acts
   */
  constructor(session, table, acts) {
    this.session = session;
    this.table = table;
    this.acts = acts;
    this.scope = byId("action-scope");
    /** How often each action was taken in the run. @type {{counts: number[], steps: number} | null} */
    this.ofRun = null;
    this.readAt = -Infinity;
    /** The action whose steps are listed. @type {number | null} */
    this.filter = null;
    this.shownInfo = "";
    this.chipsKey = "";
    this.changedKey = "";
    on(this.scope, "change", () => {
      this.readAt = -Infinity;
      acts.redraw();
    });
    on(byId("copy-step"), "click", () => this.#copy());
    on(byId("action-counts"), "click", (event) => this.#choose(event.target));
    on(byId("action-counts"), "keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") this.#choose(event.target, event);
    });
    on(byId("action-steps"), "click", (event) => {
      const step = event.target.dataset?.step;
      if (step !== undefined) session.seek(Number(step), session.state.episode, false);
    });
  }

  setRun() {
    this.ofRun = null;
    this.readAt = -Infinity;
    this.filter = null;
    this.shownInfo = this.chipsKey = this.changedKey = "";
  }

  /** @param {any} target @param {Event} [event] */
  #choose(target, event) {
    const bar = target.closest?.(".q");
    if (!bar) return;
    event?.preventDefault();
    event?.stopPropagation();
    const action = Number(bar.dataset.action);
    this.filter = this.filter === action ? null : action;
    this.acts.redraw();
  }

  /** Whether the run's actions are counted, not the episode's. */
  get countsRun() {
    return this.scope.value === "run";
  }

  /** @param {import("../logic/grid.js").Grid | null} grid @param {number | null} step */
  draw(grid, step) {
    const { state, cache } = this.session;
    const acted = this.table();
    const table = acted && step !== null && acted.step === step && acted.cache === cache ? acted : null;
    const discount = discountOf(state.run);
    const toGo = step === null ? undefined : returnToGo(cache, step, discount);
    show(byId("to-go-label"), discount !== null);
    show(byId("return-to-go"), discount !== null);
    setText(byId("to-go-label"), `return to go, γ ${discount ?? ""}`);
    this.#number("return-to-go", toGo);
    const hasQ = state.run?.channels?.some(({ name }) => name === "q_values") ?? false;
    const td = step === null ? undefined : tdError(state, cache, step, table);
    show(byId("td-label"), hasQ && discount !== null);
    show(byId("td-error"), hasQ && discount !== null);
    this.#number("td-error", td);
    this.#changed(step === null ? [] : changes(state, cache, step, grid, table));
    this.#info(step === null ? undefined : cache.value("info", step));
    this.#chips(cache);
    if (this.countsRun) void this.#readRun();
    for (const bar of byId("action-counts").children) {
      const chosen = Number(bar.dataset.action) === this.filter;
      setAttribute(bar, "aria-pressed", String(chosen));
    }
    this.last = { toGo, td, step };
  }

  /** @type {{toGo?: number, td?: number, step: number | null}} */
  last = { step: null };

  /** @param {string} id @param {number | undefined} number */
  #number(id, number) {
    setText(byId(id), fixed(number));
    setAttribute(byId(id), "data-value", number === undefined ? null : String(number));
  }

  /** @param {import("../logic/insight.js").Change[]} found */
  #changed(found) {
    const block = byId("changed-block");
    show(block, found.length > 0);
    const key = JSON.stringify(found);
    if (key === this.changedKey) return;
    this.changedKey = key;
    const row = (/** @type {import("../logic/insight.js").Change} */ { name, from, to }) => [make("dt", { text: name }), make("dd", { "data-change": name }, [make("span", { class: "was", text: from }), " → ", to])];
    byId("changed").replaceChildren(...found.flatMap(row));
  }

  /** @param {any} info */
  #info(info) {
    const there = info !== null && typeof info === "object" && Object.keys(info).length > 0;
    show(byId("info-block"), there);
    const text = there ? JSON.stringify(info) : "";
    if (text === this.shownInfo) return;
    this.shownInfo = text;
    byId("info-tree").replaceChildren(...(there ? tree(info) : []));
  }

  /** The steps at which the chosen action was taken. @param {import("../logic/cache.js").EpisodeCache} cache */
  #chips(cache) {
    const { state } = this.session;
    const host = byId("action-steps");
    show(host, this.filter !== null);
    const key = `${this.filter}/${cache.episode}/${cache.version}/${state.step}`;
    if (this.filter === null || key === this.chipsKey) return;
    this.chipsKey = key;
    const steps = stepsWith(cache, this.filter + firstAction(state.run));
    const from = Math.max(0, steps.findIndex((t) => t >= state.step) - MOST_CHIPS / 2);
    const chips = steps.slice(from, from + MOST_CHIPS).map((t) => make("button", { class: "chip-step", "data-step": String(t), "aria-current": t === state.step ? "step" : undefined, text: String(t) }));
    const more = steps.length > MOST_CHIPS ? [make("span", { class: "dim", text: `of ${count(steps.length)}` })] : [];
    const none = steps.length === 0 ? [make("span", { class: "dim", text: "not taken in this episode" })] : [];
    host.replaceChildren(make("span", { class: "dim", text: "steps" }), ...chips, ...more, ...none);
  }

  async #readRun() {
    const { state } = this.session;
    const run = state.run?.run;
    const now = performance.now();
    const fresh = this.ofRun && (state.run?.status !== "recording" || now - this.readAt < REFRESH_MS);
    if (!run || fresh || now - this.readAt < 1_000) return;
    this.readAt = now;
    try {
      const answer = await this.acts.actions(run);
      if (this.session.state.run?.run === run) this.ofRun = answer;
    } catch {
      this.ofRun = null;
    }
    this.acts.redraw();
  }

  #copy() {
    const { state, cache } = this.session;
    const { step, toGo, td } = this.last;
    if (step === null) return;
    this.acts.copy(JSON.stringify(stepAsJson(state, cache, step, { returnToGo: toGo, tdError: td }), null, 2));
  }
}

/** @param {Record<string, any>} object @returns {HTMLElement[]} */
function tree(object) {
  return Object.entries(object).map(([key, item]) => {
    const branch = item !== null && typeof item === "object" && Object.keys(item).length > 0;
    if (!branch) return make("div", { class: "leaf" }, [make("span", { class: "dim", text: key }), make("span", { text: anyText(item) })]);
    return make("details", { open: "" }, [make("summary", { text: key }), ...tree(item)]);
  });
}
