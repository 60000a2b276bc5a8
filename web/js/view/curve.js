/**
 * The curve over all episodes: what it shows, over which x-axis, and what a pointer on it
 * means. How it is drawn stands in curve-plot.js; the episode shown is marked by an element
 * of its own, so that it can move at 60 Hz without a redraw.
 */

import uPlot from "uplot";
import { api } from "../net/api.js";
import { count } from "../logic/format.js";
import { robustSpan, trend } from "../logic/rolling.js";
import { FURTHER, lineOf, makePlot } from "./curve-plot.js";
import { CurvePointer, NAMES, underPointer } from "./curve-pointer.js";
import { byId, make, on, setAttribute, setText, show } from "./dom.js";

const REFRESH_MS = 1_000;
/** @typedef {import("./curve-pointer.js").Metric} Metric */

export class Curve {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("./theme.js").Theme} theme
   * @param {(from: number, to: number) => void} select  takes a range of episodes, both included
   * @param {() => void} asked  called when it is to show something else
   */
  constructor(session, theme, select, asked) {
    this.asked = asked;
    this.session = session;
    this.theme = theme;
    this.select = select;
    this.host = byId("curve");
    this.mark = byId("curve-mark");
    this.tip = byId("curve-tip");
    this.metric = byId("metric");
    this.axis = byId("curve-x");
    /** @type {Metric[]} */
    this.further = [];
    /** @type {uPlot | null} */
    this.plot = null;
    /** @type {any[] | null} of the metric, then of further series */
    this.answers = null;
    this.read = 0;
    this.readTotal = -1;
    this.busy = false;
    /** What the axes show. @type {[number, number]} */
    this.span = [0, 1];
    /** @type {[number, number]} */
    this.reach = [0, 1];
    /** Where a pointer is on this panel, in px of the window. @type {{x: number, y: number} | null} */
    this.at = null;
    this.pointer = new CurvePointer(session, () => this.plot && this.#hover(this.plot));
    on(this.metric, "change", () => this.#again());
    on(this.axis, "change", () => {
      this.#remake();
      asked();
    });
    for (const kind of ["mouseenter", "mousemove"]) on(this.host, kind, ({ clientX: x, clientY: y }) => (this.at = { x, y }));
    on(this.host, "mouseleave", () => (this.at = null));
    this.#toggles();
    new ResizeObserver(() => this.#resize()).observe(this.host);
  }

  #toggles() {
    for (const name of /** @type {Metric[]} */ (["length", "epsilon"])) {
      const key = make("i", { class: "dash" });
      key.style.setProperty("--ink", FURTHER[name].colour);
      key.style.borderTopStyle = lineOf(FURTHER[name].dash);
      const button = make("button", { class: "small", "aria-pressed": "false", "data-testid": `further-${name}`, title: `Show the ${NAMES[name]} too` }, [key, NAMES[name]]);
      on(button, "click", () => this.setFurther(this.further.includes(name) ? this.further.filter((other) => other !== name) : [...this.further, name]));
      byId("further").append(button);
    }
  }

  /** @param {string[]} names */
  setFurther(names) {
    this.further = /** @type {Metric[]} */ (["length", "epsilon"]).filter((name) => names.includes(name));
    for (const button of byId("further").children) setAttribute(button, "aria-pressed", String(this.further.some((name) => button.dataset.testid === `further-${name}`)));
    this.#again();
  }

  #again() {
    this.asked();
    if (!this.answers) this.#title(this.metric.value);
    void this.refresh(true);
  }

  /** @param {HTMLSelectElement} list @param {string} value */
  #choose(list, value) {
    if (![...list.options].some((option) => option.value === value)) return;
    list.value = value;
    list.dispatchEvent(new Event("change"));
  }

  /** What of this panel the address holds. @param {import("../logic/settings.js").Settings} settings */
  settings(settings) {
    settings.add("x", { get: () => this.axis.value, set: (value) => this.#choose(this.axis, value) });
    settings.add("metric", { get: () => this.metric.value, set: (value) => this.#choose(this.metric, value) });
    settings.add("also", { get: () => this.further.join(","), set: (value) => this.setFurther(value.split(",")) });
  }

  setRun() {
    this.answers = null;
    this.readTotal = -1;
    this.#drop();
    setText(byId("curve-note"), "reading …");
    void this.refresh(true);
  }

  #drop() {
    this.plot?.destroy();
    this.plot = null;
    show(this.tip, false);
  }

  /** @param {boolean} [force] */
  async refresh(force = false) {
    const { state } = this.session;
    const total = state.metrics?.episodes ?? state.run?.episodes ?? 0;
    const now = performance.now();
    if (!state.run || this.busy) return;
    if (!force && (document.hidden || now - this.read < REFRESH_MS || total === this.readTotal)) return;
    this.busy = true;
    this.read = now;
    this.readTotal = total;
    const run = state.run.run;
    const metrics = [this.metric.value, ...this.further.filter((name) => name !== this.metric.value)];
    const asked = metrics.join();
    try {
      const points = Math.max(200, Math.min(2000, Math.round(this.host.clientWidth)));
      const answers = await Promise.all(metrics.map((metric) => api.curve(run, metric, points)));
      if (this.session.state.run?.run === run) this.#show(answers);
    } catch (error) {
      // Old figures under a new name would be a lie.
      if (this.answers && this.answers.map((answer) => answer.metric).join() !== asked) {
        this.answers = null;
        this.#drop();
        this.#title(this.metric.value);
        this.draw();
      }
      const why = `The curve could not be read: ${error instanceof Error ? error.message : error}`;
      setText(byId("curve-note"), why);
      setAttribute(byId("curve-note"), "title", why);
    } finally {
      this.busy = false;
    }
    const wanted = [this.metric.value, ...this.further.filter((name) => name !== this.metric.value)].join();
    if (this.session.state.run?.run !== run || wanted !== asked) void this.refresh(true);
  }

  /** Names what is drawn, or will be: while another answer is due, the old figures keep their name. @param {string} metric */
  #title(metric) {
    setText(byId("curve-title"), `${NAMES[/** @type {Metric} */ (metric)]} over training`);
  }

  /** @param {any[]} answers */
  #show(answers) {
    const series = answers.map((answer) => answer.metric).join();
    if (this.answers && this.answers.map((answer) => answer.metric).join() !== series) this.#drop();
    this.answers = answers;
    const [{ metric, total, bucket, points }] = answers;
    this.#title(metric);
    const { episode, mean, min, max } = points;
    const window = Math.max(3, Math.round(mean.length / 40));
    const { low, line, high, means } = trend(points, window);
    const axis = this.axis.value;
    const x = axis === "episode" ? episode : points[axis];
    // A run that grew between two answers has further points in the later one.
    const further = answers.slice(1).map((answer) => x.map((/** @type {number} */ _, /** @type {number} */ i) => answer.points.mean[i] ?? null));
    const data = [x, min, max, low, high, line, ...further];
    const { low: least, high: most, clipped } = robustSpan(min, max);
    this.span = [least, most];
    this.reach = axis === "episode" ? [0, Math.max(1, total - 1)] : [x[0] ?? 0, Math.max(x.at(-1) ?? 1, (x[0] ?? 0) + 1)];
    if (total === 0) this.#drop();
    else if (!this.plot) this.#make(data);
    else this.plot.setData(/** @type {any} */ (data));
    const over = window * bucket;
    const notes = [`${count(total)} episode${total === 1 ? "" : "s"}`];
    if (bucket > 1) notes.push(`1 of ${count(bucket)}, least and greatest`);
    notes.push(`${means ? "mean" : "median and middle half"} of ${count(over)}`);
    if (clipped) notes.push("outliers off the scale");
    const note = byId("curve-note");
    setAttribute(note, "title", notes.join(" · "));
    if (total === 0) setText(note, "no episodes yet");
    else note.replaceChildren(...notes.map((words, i) => make("span", {}, [i > 0 ? ` · ${words}` : words])));
    this.#drawn();
  }

  /** @param {any[]} data */
  #make(data) {
    const plot = makePlot(
      {
        host: this.host,
        tokens: this.theme.tokens,
        axis: this.axis.value,
        span: () => this.span,
        reach: () => this.reach,
        further: /** @type {any} */ (this.answers ?? []).slice(1).map((/** @type {any} */ answer) => answer.metric),
        hooks: { hover: (u) => this.#hover(u), drawn: () => this.#drawn(), selected: (u) => this.#selected(u), made: (u) => this.#point(u) },
      },
      data,
    );
    this.plot = plot;
    let [down, dragged] = [0, false];
    on(plot.over, "mousedown", (event) => (down = event.clientX));
    on(plot.over, "mouseup", (event) => (dragged = Math.abs(event.clientX - down) > 5));
    on(plot.over, "click", () => {
      const index = plot.cursor.idx;
      if (typeof index === "number" && !dragged) void this.pointer.open(this.#under(plot));
    });
    on(plot.over, "mouseleave", () => show(this.tip, false));
  }

  /** Tells a plot that is drawn anew of a pointer that rests on it: the page hears only of one that moves. @param {uPlot} plot */
  #point(plot) {
    if (!this.at) return;
    const { x, y, width, height } = plot.over.getBoundingClientRect();
    const [left, top] = [this.at.x - x, this.at.y - y];
    if (left >= 0 && left <= width && top >= 0 && top <= height) plot.setCursor({ left, top });
  }

  /** Dragged across: a range of episodes. @param {uPlot} plot */
  #selected(plot) {
    const { left, width } = plot.select;
    if (width < 6) return;
    const [from, to] = [this.#episodeAt(plot, left), this.#episodeAt(plot, left + width)];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.select(from, to);
  }

  /** The episode at a place, within a stretch in proportion. @param {uPlot} plot @param {number} left */
  #episodeAt(plot, left) {
    const [{ total, points }] = /** @type {any[]} */ (this.answers);
    const at = plot.posToVal(left, "x");
    const x = /** @type {any} */ (plot.data[0]);
    const i = nearest(x, at);
    const [first, next] = [points.episode[i], points.episode[i + 1] ?? total];
    const share = i + 1 < x.length && x[i + 1] > x[i] ? (at - x[i]) / (x[i + 1] - x[i]) : 0;
    const episode = next - first > 1 ? Math.floor(first + share * (next - first)) : Math.round(first + share);
    return Math.max(0, Math.min(total - 1, episode));
  }

  /** Where an episode stands on the x-axis. @param {number} episode @returns {number} */
  #placeOf(episode) {
    const { points } = /** @type {any[]} */ (this.answers)[0];
    if (this.axis.value === "episode") return episode;
    const x = points[this.axis.value];
    const i = nearest(points.episode, episode);
    const gap = (points.episode[i + 1] ?? points.episode[i] + 1) - points.episode[i];
    return x[i] + ((x[i + 1] ?? x[i]) - x[i]) * Math.min(1, (episode - points.episode[i]) / gap);
  }

  /** Where an episode stands on the x-axis, from 0 to 1; null where there is no curve. @param {number} episode */
  share(episode) {
    if (!this.plot || !this.answers) return null;
    const [low, high] = this.reach;
    return Math.max(0, Math.min(1, (this.#placeOf(episode) - low) / (high - low)));
  }

  /** The episode there. @param {number} share  0 to 1 */
  episodeOf(share) {
    const { plot } = this;
    return plot && this.answers ? this.#episodeAt(plot, share * plot.over.clientWidth) : null;
  }

  /** What the pointer is at. @param {uPlot} plot */
  #under(plot) {
    const [answer] = /** @type {any[]} */ (this.answers);
    const { left = 0, top = 0, idx } = plot.cursor;
    const episode = this.#episodeAt(plot, left);
    const point = answer.bucket > 1 ? (idx ?? 0) : nearest(answer.points.episode, episode);
    const far = (/** @type {number} */ value) => Math.abs(plot.valToPos(value, "y") - top);
    return underPointer(this.session.state.run?.run ?? "", answer, point, episode, far);
  }

  /** @param {uPlot} plot */
  #hover(plot) {
    const { idx, left } = plot.cursor;
    const over = typeof idx === "number" && left !== undefined && left >= 0 && this.answers !== null;
    show(this.tip, over);
    if (!over || !this.answers) return;
    setText(this.tip, this.pointer.words(this.#under(plot)));
    const x = left + plot.over.offsetLeft;
    const flip = x + this.tip.offsetWidth + 16 > this.host.clientWidth;
    this.tip.style.transform = `translate(${Math.round(flip ? x - this.tip.offsetWidth - 10 : x + 10)}px, 8px)`;
  }

  /** The episode that the mark stands at; null once the plot is another. @type {number | null} */
  marked = null;

  #drawn() {
    this.marked = null;
    this.draw();
  }

  /** Moves the mark to the episode shown. */
  draw() {
    const { plot } = this;
    const { episode } = this.session.state;
    show(this.mark, plot !== null && episode !== null);
    if (!plot || episode === null || !this.answers) return;
    const { min, max } = plot.scales.x;
    const at = this.#placeOf(episode);
    if (min === undefined || max === undefined || at < min || at > Math.max(max, min + 1)) return show(this.mark, false);
    if (this.marked === episode) return;
    this.marked = episode;
    // From the plot's own figures: asking the page would make it lay itself out in every frame.
    const { left, top, height } = plot.bbox;
    const { pxRatio } = uPlot;
    this.mark.style.transform = `translateX(${Math.round(left / pxRatio + plot.valToPos(at, "x")) - 1}px)`;
    this.mark.style.bottom = `${plot.height - (top + height) / pxRatio}px`;
    this.mark.style.top = `${top / pxRatio}px`;
    const value = plot.data[5][nearest(/** @type {any} */ (plot.data[0]), at)];
    if (typeof value === "number") this.mark.firstElementChild.style.top = `${plot.valToPos(value, "y") - 5}px`;
  }

  /** Colours and axes live in the plot's options, so others mean another plot. */
  #remake() {
    if (!this.answers) return;
    this.#drop();
    this.#show(this.answers);
  }

  setTheme() {
    this.#remake();
  }

  #resize() {
    if (!this.plot) return;
    this.plot.setSize({ width: this.host.clientWidth, height: this.host.clientHeight });
    this.#drawn();
  }
}

/** @param {number[]} sorted @param {number} value */
function nearest(sorted, value) {
  let [low, high] = [0, sorted.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (sorted[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}
