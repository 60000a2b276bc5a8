/** The return curves of several runs over each other: a line and a look each. */

import uPlot from "uplot";
import { count, fixed } from "../logic/format.js";
import { trend } from "../logic/rolling.js";
import { lookOf } from "../logic/runs.js";
import { api } from "../net/api.js";
import { lineOf } from "./curve-plot.js";
import { make, show } from "./dom.js";
import { MONO } from "./shapes.js";

const POINTS = 600;
const HEIGHT = 220;

/** @typedef {import("../types.js").Run} Run */

export class RunCurves {
  /** @param {HTMLElement} host @param {import("./theme.js").Theme} theme */
  constructor(host, theme) {
    this.host = host;
    this.theme = theme;
    /** @type {uPlot | null} */
    this.plot = null;
    this.shown = "";
    this.generation = 0;
  }

  /** @param {Run[]} runs */
  async show(runs) {
    const key = JSON.stringify([runs.map((run) => [run.run, run.name, run.episodes]), this.theme.name]);
    if (key === this.shown) return;
    this.shown = key;
    this.generation += 1;
    const { generation } = this;
    show(this.host, runs.length > 0);
    const answers = await Promise.all(runs.map((run) => api.curve(run.run, "episode_return", POINTS).catch(() => null)));
    if (generation !== this.generation) return;
    this.plot?.destroy();
    this.plot = null;
    this.host.replaceChildren();
    const there = runs.flatMap((run, i) => (answers[i]?.points.episode.length > 0 ? [{ run, answer: answers[i] }] : []));
    if (there.length === 0) return;
    const lines = there.map(({ answer }) => trend(answer.points, Math.max(3, Math.round(answer.points.mean.length / 40))).line);
    const data = uPlot.join(there.map(({ answer }, i) => /** @type {any} */ ([answer.points.episode, lines[i]])));
    const { tokens } = this.theme;
    const axis = { stroke: tokens.dim, font: `${tokens.t1} ${MONO}`, grid: { stroke: tokens.line, width: 1 }, ticks: { show: false } };
    const legend = there.map(({ run, answer }, i) => {
      const key_ = make("i", { class: "dash" });
      key_.style.setProperty("--ink", lookOf(i).colour);
      key_.style.borderTopStyle = lineOf(lookOf(i).dash);
      return make("span", { "data-testid": "curve-of", "data-run": run.run }, [key_, `${run.name ?? run.run} · ${count(answer.total)} episodes · last 100: ${fixed(run.last_return_100, 1)}`]);
    });
    this.host.append(make("div", { class: "curve-legend" }, legend));
    this.plot = new uPlot(
      {
        width: this.host.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { show: false } },
        scales: { x: { time: false } },
        axes: [{ ...axis, size: 26, grid: { show: false } }, { ...axis, size: 52 }],
        series: [{}, ...there.map((_, i) => ({ stroke: lookOf(i).colour, dash: lookOf(i).dash, width: 2, spanGaps: true, points: { show: false } }))],
      },
      data,
      this.host,
    );
  }
}
