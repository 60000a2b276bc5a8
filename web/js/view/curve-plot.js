/**
 * The plot of the return curve: what uPlot is told. Dots are the values themselves, or the
 * least and the greatest of each stretch; the band spans the middle half of those around; the
 * line is their median. Further series have scales of their own.
 */

import uPlot from "uplot";
import { clockTexts, count, tickTexts } from "../logic/format.js";
import { MONO } from "./shapes.js";

/** Colours of further series, with a dash each, so that colour alone says nothing. */
export const FURTHER = {
  length: { colour: "#009E73", dash: [7, 4] },
  epsilon: { colour: "#CC79A7", dash: [2, 4] },
  episode_return: { colour: "#E69F00", dash: [9, 3, 2, 3] },
};

/** The dash of a curve as the key beside its name draws it. @param {number[]} dash */
export function lineOf([first = 0]) {
  return first === 0 ? "solid" : first < 4 ? "dotted" : "dashed";
}

/** Below this, seconds, a time axis shows the seconds. */
const MINUTES_S = 120;

/**
 * @param {object} options
 * @param {HTMLElement} options.host
 * @param {import("./theme.js").Tokens} options.tokens
 * @param {"episode" | "step" | "time"} options.axis
 * @param {() => [number, number]} options.span  of y
 * @param {() => [number, number]} options.reach  of x
 * @param {(keyof typeof FURTHER)[]} options.further
 * @param {{hover: (u: uPlot) => void, drawn: () => void, selected: (u: uPlot) => void, made: (u: uPlot) => void}} options.hooks
 * @param {any[]} data  x, least, greatest, quartile, quartile, median, further series
 */
export function makePlot({ host, tokens, axis, span, reach, further, hooks }, data) {
  const common = { stroke: tokens.dim, font: `${tokens.t1} ${MONO}`, grid: { stroke: tokens.line, width: 1 }, ticks: { show: false } };
  const dots = { stroke: "transparent", points: { show: true, size: 3, width: 0, fill: `${tokens.archive}80` } };
  const unseen = { stroke: "transparent", points: { show: false } };
  /** @type {any} */
  const scales = { x: { time: axis === "time", range: reach }, y: { range: span } };
  for (const name of further) scales[name] = { range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ high) => [Math.min(0, low), high || 1] };
  /** @type {any} */
  const xAxis = { ...common, size: 20, gap: 4, space: 84, grid: { show: false } };
  if (axis !== "time") xAxis.values = (/** @type {any} */ _u, /** @type {number[]} */ ticks) => ticks.map((t) => (Number.isInteger(t) ? count(t) : ""));
  // A training of seconds: the time of day, to the part of a second that tells ticks apart.
  else if (reach()[1] - reach()[0] < MINUTES_S) xAxis.values = (/** @type {any} */ _u, /** @type {number[]} */ ticks) => clockTexts(ticks);
  return new uPlot(
    {
      width: host.clientWidth,
      height: host.clientHeight,
      legend: { show: false },
      padding: [8, 14, 0, 0],
      cursor: { y: false, drag: { x: true, y: false, setScale: false, dist: 6 }, points: { show: false } },
      scales,
      axes: [xAxis, { ...common, size: 52, gap: 6, space: 26, values: (_u, ticks) => tickTexts(ticks) }],
      series: [
        {},
        dots,
        dots,
        unseen,
        unseen,
        { stroke: tokens.archive, width: 2, points: { show: false } },
        ...further.map((name) => ({ scale: name, stroke: FURTHER[name].colour, width: 1.5, dash: FURTHER[name].dash, points: { show: false } })),
      ],
      bands: [{ series: [4, 3], fill: `${tokens.archive}30` }],
      // The plot settles its scales after setData returns; only then a mark knows its place.
      hooks: { setCursor: [hooks.hover], draw: [hooks.drawn], setSelect: [hooks.selected], ready: [hooks.made] },
    },
    /** @type {any} */ (data),
    host,
  );
}
