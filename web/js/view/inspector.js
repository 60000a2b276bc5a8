/** The inspector: the step in numbers. Elements are made once per run and then only rewritten. */

import { brief, count, DASH, ending, fixed, reward, short, value as anyText } from "../logic/format.js";
import { actionName, actionsOf, firstAction, Grid } from "../logic/grid.js";
import { colour, css, rangeOf } from "../logic/scales.js";
import { byId, make, setAttribute, setText, show } from "./dom.js";

/** Channels that have a place of their own. */
const OWN = new Set(["q_values", "explored", "epsilon", "info"]);

/** Steps counted at most in one frame. */
const MOST_COUNTED = 2_000;

export class Inspector {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("./theme.js").Theme} theme
   * @param {() => import("../logic/scales.js").Range | null} range  the stage's: one colour, one number
   * @param {import("./inspector-more.js").InspectorMore} more
   */
  constructor(session, theme, range, more) {
    this.more = more;
    this.session = session;
    this.theme = theme;
    this.range = range;
    /** @type {Grid | null} */
    this.grid = null;
    this.wasShown = "";
  }

  setRun() {
    const { run } = this.session.state;
    const presentation = run?.presentation;
    this.grid = presentation?.kind === "grid" ? new Grid(presentation) : null;
    setText(byId("state-label"), this.grid ? "state" : "observation");
    byId("q-values").replaceChildren();
    this.more.setRun();
    show(byId("run-block"), run !== null);
    const list = byId("run-facts");
    list.replaceChildren();
    const facts = [
      ["environment", run?.env_id],
      ["algorithm", run?.algorithm],
      ["status", run?.status],
      ...Object.entries(/** @type {any} */ (run)?.hyperparameters ?? {}).map(([name, v]) => [name.replaceAll("_", " "), typeof v === "number" ? short(v, 6) : anyText(v)]),
    ];
    for (const [name, text] of facts) {
      if (text === null || text === undefined) continue;
      list.append(make("dt", { text: String(name) }), make("dd", { text: String(text) }));
    }
  }

  draw() {
    const { state, cache } = this.session;
    const here = cache.episode === state.episode;
    const step = here ? cache.nearest(state.step) : null;
    const row = step === null ? undefined : cache.row(step);
    const observation = step === null ? undefined : cache.observation(step);
    this.#episode(row);
    setText(byId("inspector-step"), state.episode === null ? DASH : count(step ?? state.step));
    this.#state(observation);
    const atEnd = step !== null && step === state.length;
    setText(byId("action-name"), actionName(state.run?.presentation, row?.action, firstAction(state.run)) ?? (atEnd ? "end of the episode" : DASH));
    setAttribute(byId("action-name"), "data-action", row?.action === undefined ? null : String(row.action));
    const explored = row?.channels.explored;
    show(byId("explored"), typeof explored === "boolean");
    setText(byId("explored"), explored ? "exploratory" : "greedy");
    byId("explored").classList.toggle("explored", explored === true);
    this.#number("reward", row?.reward);
    this.#number("return-so-far", step === null ? undefined : cache.returnBefore(step));
    this.#bars(row?.channels.q_values, row?.action);
    this.#actions(step ?? 0, row?.action);
    this.#channels(row?.channels ?? {});
    this.more.draw(this.grid, step);
  }

  /** @param {import("../logic/cache.js").Row | undefined} row */
  #episode(row) {
    const { state } = this.session;
    const { info } = state;
    // Over a card that says what was asked for and is not there, so does the heading.
    const named = state.problem ? (this.session.target.episode ?? null) : state.episode;
    setText(byId("episode-number"), named === null ? DASH : count(named));
    setAttribute(byId("episode-number"), "data-episode", state.episode === null ? null : String(state.episode));
    // Live, the result is not known before the episode is over: show what was earned so far.
    const earned = state.step === state.length ? info?.episode_return : undefined;
    const so = earned ?? info?.episode_return ?? this.session.cache.returnBefore(state.step);
    setText(byId("episode-return"), state.episode === null ? DASH : brief(so));
    setAttribute(byId("episode-return"), "title", typeof so === "number" ? reward(so) : null);
    setText(byId("episode-length"), state.length === null ? DASH : count(state.length));
    const epsilon = row?.channels.epsilon ?? info?.epsilon ?? (state.live ? state.metrics?.epsilon : undefined);
    setText(byId("epsilon"), short(epsilon));
    setAttribute(byId("epsilon"), "data-value", epsilon === undefined || epsilon === null ? null : String(epsilon));
    this.#outcome();
  }

  #outcome() {
    const { state } = this.session;
    const { info } = state;
    const tag = byId("outcome");
    const known = info !== null && (info.running || info.terminated || info.truncated || info.incomplete);
    show(tag, Boolean(known));
    if (!known || !info) return;
    const { word, kind } = ending({ ...info, length: state.length }, state.run?.presentation);
    setText(tag, word);
    if (tag.className !== `tag end-${kind}`) tag.className = `tag end-${kind}`;
  }

  /** @param {any} observation */
  #state(observation) {
    const element = byId("agent-cell");
    const cell = this.grid?.cellOf(observation) ?? null;
    if (cell !== null && this.grid) {
      const [row, column] = this.grid.place(cell);
      setText(element, this.grid.describe(cell));
      setAttribute(element, "data-row", String(row));
      setAttribute(element, "data-column", String(column));
      setAttribute(element, "data-col", String(column));
    } else {
      const text = observation === undefined ? DASH : anyText(observation);
      setText(element, text.length > 160 ? `${text.slice(0, 160)}…` : text);
      for (const name of ["data-row", "data-column", "data-col"]) setAttribute(element, name, null);
    }
    setAttribute(element, "data-observation", observation === undefined ? null : JSON.stringify(observation));
  }

  /** @param {string} id @param {number | undefined} number */
  #number(id, number) {
    setText(byId(id), fixed(number));
    setAttribute(byId(id), "data-value", number === undefined ? null : String(number));
  }

  /** @param {unknown} q @param {unknown} chosen */
  #bars(q, chosen) {
    const { state } = this.session;
    const block = byId("q-block");
    const list = byId("q-values");
    const channel = state.run?.channels?.find(({ name }) => name === "q_values");
    show(block, channel !== undefined);
    if (!channel) return;
    const bars = Array.isArray(q) ? q.length : (channel.shape[0] ?? 0);
    while (list.children.length < bars) list.append(makeBar());
    while (list.children.length > bars) list.lastElementChild?.remove();
    const first = firstAction(state.run);
    const taken = typeof chosen === "number" ? chosen - first : null;
    [...list.children].forEach((bar, action) => {
      setAttribute(bar, "data-action", String(action));
      setText(bar.children[0], actionName(state.run?.presentation, action + first, first) ?? String(action));
      // An agent that acts at random may not have asked its network: such a row is of NaN.
      if (!Array.isArray(q) || !Number.isFinite(q[action])) blank(bar, action === taken);
    });
    const known = Array.isArray(q) ? q.filter(Number.isFinite) : [];
    if (!Array.isArray(q) || known.length === 0) return;
    const range = this.range() ?? rangeOf(Math.min(...known), Math.max(...known));
    // A range of the run leaves out its outliers; a bar stays in its lane all the same.
    const [low, high] = [Math.min(0, range.low, ...known), Math.max(0, range.high, ...known)];
    const percent = (/** @type {number} */ v) => ((v - low) / (high - low || 1)) * 100;
    const best = Math.max(...known);
    q.forEach((value, action) => {
      if (!Number.isFinite(value)) return;
      const bar = /** @type {HTMLElement} */ (list.children[action]);
      setAttribute(bar, "data-value", String(value));
      // Seen from the best to the worst; in the document they stand by action.
      bar.style.order = String(q.filter((other, i) => other > value || (other === value && i < action)).length);
      bar.classList.toggle("chosen", action === taken);
      bar.classList.toggle("best", value === best);
      const lane = /** @type {HTMLElement} */ (bar.children[1]);
      const fill = /** @type {HTMLElement} */ (lane.firstElementChild);
      show(fill, true);
      const [a, b] = [percent(Math.min(0, value)), percent(Math.max(0, value))];
      fill.style.left = `${a}%`;
      fill.style.width = `${b - a}%`;
      fill.style.background = css(colour(value, range, this.theme.tokens.rgb("hatch")));
      lane.style.setProperty("--zero", `${percent(0)}%`);
      setText(bar.children[2], fixed(value));
    });
  }

  /** What was counted last, to count on from. @type {{key: string, from: number, to: number, counts: number[]}} */
  counted = { key: "", from: 0, to: 0, counts: [] };

  /** @param {number} actions @param {number} from @param {number} to  steps, both included @returns {number[]} */
  #count(actions, from, to) {
    const { cache, state } = this.session;
    const key = `${state.run?.run}/${cache.episode}/${cache.length}/${actions}`;
    const { counted } = this;
    const start = firstAction(state.run);
    if (counted.key !== key || counted.from !== from || counted.to > to) Object.assign(counted, { key, from, to: from - 1, counts: new Array(actions).fill(0) });
    for (let t = counted.to + 1; t <= to; t += 1) {
      const action = cache.value("action", t);
      if (action === undefined) break;
      const index = typeof action === "number" ? action - start : -1;
      if (index in counted.counts) counted.counts[index] += 1;
      counted.to = t;
    }
    return [...counted.counts];
  }

  /** How often each action was taken in this episode, up to here. @param {number} step @param {unknown} chosen */
  #actions(step, chosen) {
    const { state, cache } = this.session;
    const names = actionsOf(state.run);
    const from = cache.contiguousFrom(step);
    show(byId("action-block"), names.length > 0 && state.episode !== null);
    if (names.length === 0) return;
    const first = Math.max(from, step - MOST_COUNTED);
    const counts = this.#count(names.length, first, step);
    const ofRun = this.more.countsRun ? (this.more.ofRun ?? { counts: [], steps: 0 }) : null;
    if (ofRun) for (let i = 0; i < counts.length; i += 1) counts[i] = ofRun.counts[i] ?? 0;
    setText(byId("action-note"), ofRun ? `${count(ofRun.steps)} steps` : from === 0 && step <= MOST_COUNTED ? "this episode so far" : `since step ${count(first)}`);
    const list = byId("action-counts");
    while (list.children.length < names.length) {
      const bar = makeBar();
      for (const [name, value] of [["role", "button"], ["tabindex", "0"], ["title", "List the steps with this action"]]) setAttribute(bar, name, value);
      list.append(bar);
    }
    while (list.children.length > names.length) list.lastElementChild?.remove();
    const most = Math.max(1, ...counts);
    const taken = typeof chosen === "number" ? chosen - firstAction(state.run) : null;
    counts.forEach((n, action) => {
      const bar = /** @type {HTMLElement} */ (list.children[action]);
      setAttribute(bar, "data-action", String(action));
      setText(bar.children[0], names[action].name);
      bar.classList.toggle("chosen-count", action === taken);
      const fill = /** @type {HTMLElement} */ (bar.children[1].firstElementChild);
      fill.style.width = `${(n / most) * 100}%`;
      show(fill, n > 0);
      setText(bar.children[2], count(n));
      setAttribute(bar, "data-count", String(n));
    });
  }

  /** @param {Record<string, any>} channels */
  #channels(channels) {
    const names = (this.session.state.run?.channels ?? []).map((c) => c.name).filter((name) => !OWN.has(name));
    show(byId("channel-block"), names.length > 0);
    const list = byId("channels");
    if (this.wasShown !== names.join()) {
      this.wasShown = names.join();
      list.replaceChildren(...names.flatMap((name) => [make("dt", { text: name.replaceAll("_", " ") }), make("dd", { "data-channel": name })]));
    }
    names.forEach((name, i) => setText(list.children[2 * i + 1], channels[name] === undefined ? DASH : anyText(channels[name])));
  }
}

function makeBar() {
  return make("div", { class: "q" }, [make("span"), make("div", { class: "lane" }, [make("i")]), make("span")]);
}

/** What is not known keeps its row, so the page does not jump. @param {Element} bar @param {boolean} chosen */
function blank(bar, chosen) {
  bar.classList.remove("best");
  bar.classList.toggle("chosen", chosen);
  setAttribute(bar, "data-value", null);
  const fill = bar.children[1].firstElementChild;
  if (fill instanceof HTMLElement) show(fill, false);
  setText(bar.children[2], DASH);
}
