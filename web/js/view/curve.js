/**
 * The curve over all episodes: the span from least to most as a band, the mean as fine
 * dots, and a line through their moving average. uPlot draws it; the episode shown is
 * marked by an element of its own, so that it can move at 60 Hz without a redraw.
 */

import uPlot from "uplot";
import { api } from "../net/api.js";
import { count, fixed } from "../logic/format.js";
import { robustSpan, smooth } from "../logic/smooth.js";
import { byId, on, setText, show } from "./dom.js";

const REFRESH_MS = 1_000;

export class Curve {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("./theme.js").Theme} theme
   */
  constructor(session, theme) {
    this.session = session;
    this.theme = theme;
    this.host = byId("curve");
    this.mark = byId("curve-mark");
    this.tip = byId("curve-tip");
    this.metric = byId("metric");
    /** @type {uPlot | null} */
    this.plot = null;
    /** @type {any} */
    this.answer = null;
    this.read = 0;
    this.readTotal = -1;
    this.busy = false;
    /** What the y-axis shows. @type {[number, number]} */
    this.span = [0, 1];
    on(this.metric, "change", () => {
      setText(byId("curve-title"), `${this.metric.selectedOptions[0].textContent} over training`);
      this.refresh(true);
    });
    new ResizeObserver(() => this.#resize()).observe(this.host);
  }

  setRun() {
    this.answer = null;
    this.readTotal = -1;
    this.plot?.destroy();
    this.plot = null;
    this.refresh(true);
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
    try {
      const answer = await api.curve(run, this.metric.value, Math.max(200, Math.min(2000, Math.round(this.host.clientWidth))));
      if (this.session.state.run?.run === run) this.#show(answer);
    } catch (error) {
      setText(byId("curve-note"), `The curve could not be read: ${error instanceof Error ? error.message : error}`);
    } finally {
      this.busy = false;
    }
    if (this.session.state.run?.run !== run) void this.refresh(true);
  }

  /** @param {any} answer */
  #show(answer) {
    this.answer = answer;
    const { episode, mean, min, max, count: counts } = answer.points;
    const window = Math.max(1, Math.round(mean.length / 40));
    const data = [episode, min, max, mean, smooth(mean, counts, window)];
    const { low, high, clipped } = robustSpan(min, max);
    this.span = [low, high];
    if (answer.total === 0) {
      this.plot?.destroy();
      this.plot = null;
    } else if (!this.plot) this.plot = this.#make(data);
    else this.plot.setData(/** @type {any} */ (data));
    const over = window * answer.bucket;
    setText(byId("curve-note"), answer.total === 0 ? "no episodes yet" : `${count(answer.total)} episodes${over > 1 ? ` · mean of ${count(over)}` : ""}${answer.bucket > 1 ? ` · 1 point of ${count(answer.bucket)}` : ""}${clipped ? " · outliers off the scale" : ""}`);
    this.draw();
  }

  /** @param {any[]} data */
  #make(data) {
    const { tokens } = this.theme;
    const axis = { stroke: tokens.dim, font: "11px ui-monospace, monospace", grid: { stroke: tokens.line, width: 1 }, ticks: { show: false } };
    const alpha = (/** @type {string} */ part) => `${tokens.archive}${part}`;
    const plot = new uPlot(
      {
        width: this.host.clientWidth,
        height: this.host.clientHeight,
        legend: { show: false },
        padding: [8, 14, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        scales: { x: { time: false, range: () => [0, Math.max(1, (this.answer?.total ?? 1) - 1)] }, y: { range: () => this.span } },
        axes: [
          { ...axis, size: 26, gap: 4, space: 84, grid: { show: false }, values: (_u, ticks) => ticks.map((t) => (Number.isInteger(t) ? count(t) : "")) },
          { ...axis, size: 52, gap: 6, space: 26, values: (_u, ticks) => ticks.map((t) => tick(t, decimals(ticks))) },
        ],
        series: [
          {},
          { stroke: "transparent", points: { show: false } },
          { stroke: "transparent", points: { show: false } },
          { stroke: "transparent", points: { show: true, size: 2.5, width: 0, fill: alpha("88") } },
          { stroke: tokens.archive, width: 2, points: { show: false } },
        ],
        bands: [{ series: [2, 1], fill: alpha("26") }],
        // The plot settles its scales after setData returns; only then the mark knows its place.
        hooks: { setCursor: [(u) => this.#hover(u)], draw: [() => this.draw()] },
      },
      /** @type {any} */ (data),
      this.host,
    );
    on(plot.over, "click", () => {
      const index = plot.cursor.idx;
      if (typeof index === "number") this.session.openEpisode(this.#episodeAt(plot, index));
    });
    on(plot.over, "mouseleave", () => show(this.tip, false));
    return plot;
  }

  /** The episode under the pointer: within a bucket as near as its width tells. @param {uPlot} plot @param {number} index */
  #episodeAt(plot, index) {
    const { bucket, total } = this.answer;
    const first = plot.data[0][index];
    const pointed = Math.round(plot.posToVal(plot.cursor.left ?? 0, "x"));
    return Math.max(0, Math.min(total - 1, Math.max(first, Math.min(first + bucket - 1, pointed))));
  }

  /** @param {uPlot} plot */
  #hover(plot) {
    const { idx, left } = plot.cursor;
    const on = typeof idx === "number" && left !== undefined && left >= 0;
    show(this.tip, on);
    if (!on) return;
    const [, low, high, mean] = plot.data.map((column) => column[idx]);
    const { bucket } = this.answer;
    const episode = this.#episodeAt(plot, idx);
    setText(this.tip, bucket > 1 ? `episode ${count(episode)} · mean ${fixed(mean)} · ${fixed(low)} to ${fixed(high)} of ${count(bucket)}` : `episode ${count(episode)} · ${fixed(mean)}`);
    const x = left + plot.over.offsetLeft;
    const flip = x + this.tip.offsetWidth + 16 > this.host.clientWidth;
    this.tip.style.transform = `translate(${Math.round(flip ? x - this.tip.offsetWidth - 10 : x + 10)}px, 8px)`;
  }

  /** Moves the mark to the episode shown. */
  draw() {
    const { plot } = this;
    const { episode } = this.session.state;
    show(this.mark, plot !== null && episode !== null);
    if (!plot || episode === null) return;
    const { min, max } = plot.scales.x;
    if (min === undefined || max === undefined || episode < min || episode > Math.max(max, min + 1)) return show(this.mark, false);
    const x = plot.over.offsetLeft + plot.valToPos(episode, "x");
    this.mark.style.transform = `translateX(${Math.round(x) - 1}px)`;
    this.mark.style.bottom = `${this.host.clientHeight - plot.over.offsetTop - plot.over.clientHeight}px`;
    this.mark.style.top = `${plot.over.offsetTop}px`;
    const lines = plot.data[4];
    const index = nearest(/** @type {any} */ (plot.data[0]), episode);
    const value = lines[index];
    if (typeof value === "number") this.mark.firstElementChild.style.top = `${plot.valToPos(value, "y") - 5}px`;
  }

  /** Colours live in the plot's options, so another theme means another plot. */
  setTheme() {
    if (!this.answer) return;
    this.plot?.destroy();
    this.plot = null;
    this.#show(this.answer);
  }

  #resize() {
    if (!this.plot) return;
    this.plot.setSize({ width: this.host.clientWidth, height: this.host.clientHeight });
    this.draw();
  }
}

/** An axis has little room: thousands beyond ten of them are "k". @param {number} value @param {number} digits */
function tick(value, digits) {
  return Math.abs(value) >= 10_000 ? `${fixed(value / 1000, 0)}k` : Math.abs(value) >= 1000 ? count(value) : fixed(value, digits);
}

/** @param {number[]} ticks */
function decimals(ticks) {
  const gap = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 1;
  return gap >= 1 ? 0 : gap >= 0.1 ? 1 : gap >= 0.01 ? 2 : 3;
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
