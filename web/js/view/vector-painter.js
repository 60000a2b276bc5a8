/**
 * Draws what has no map: one sparkline per dimension of the observation over the steps
 * that are here, with a cursor at the position shown.
 *
 * @typedef {object} Traces
 * @property {string[]} labels
 * @property {(dimension: number, step: number) => number | undefined} at
 * @property {number} from   first step to draw
 * @property {number} to     last step to draw
 * @property {number} length of the axis, in steps
 * @property {number} step   where the cursor stands
 * @property {import("./theme.js").Tokens} tokens
 */

import { fixed } from "../logic/format.js";

const MOST = 24;
const MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace';

/** @param {CanvasRenderingContext2D} ctx @param {number} width @param {number} height @param {Traces} traces */
export function paintVector(ctx, width, height, traces) {
  ctx.clearRect(0, 0, width, height);
  const shown = Math.min(traces.labels.length, MOST);
  if (shown === 0) return;
  const left = Math.min(140, width * 0.24);
  const right = 76;
  const lane = Math.min(96, (height - 24) / shown);
  const top = (height - lane * shown) / 2;
  const area = { x: left, width: width - left - right, length: Math.max(1, traces.length) };
  for (let d = 0; d < shown; d += 1) paintLane(ctx, traces, d, area, top + d * lane, lane);
  const x = area.x + (traces.step / area.length) * area.width;
  ctx.fillStyle = traces.tokens.accent;
  ctx.fillRect(Math.round(x) - 0.5, top, 1.5, lane * shown);
  if (traces.labels.length > shown) {
    label(ctx, `${traces.labels.length - shown} more dimensions`, left, top + lane * shown + 4, traces.tokens.dim, "left");
  }
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {Traces} traces @param {number} dimension
 * @param {{x: number, width: number, length: number}} area @param {number} y @param {number} lane
 */
function paintLane(ctx, traces, dimension, area, y, lane) {
  const { tokens } = traces;
  const stride = Math.max(1, Math.ceil((traces.to - traces.from) / (area.width * 2)));
  let [low, high] = [Infinity, -Infinity];
  /** @type {[number, number][]} */
  const points = [];
  for (let t = traces.from; t <= traces.to; t += stride) {
    const value = traces.at(dimension, t);
    if (value === undefined || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    points.push([t, value]);
  }
  const pad = Math.min(10, lane * 0.18);
  const span = high - low || 1;
  const toY = (/** @type {number} */ v) => (high === low ? y + lane / 2 : y + lane - pad - ((v - low) / span) * (lane - 2 * pad));
  ctx.fillStyle = tokens.line;
  ctx.fillRect(area.x, Math.round(y + lane) - 1, area.width, 1);
  if (low < 0 && high > 0) {
    ctx.globalAlpha = 0.7;
    ctx.fillRect(area.x, Math.round(toY(0)), area.width, 1);
    ctx.globalAlpha = 1;
  }
  ctx.strokeStyle = tokens.archive;
  ctx.lineWidth = 1.75;
  ctx.lineJoin = "round";
  ctx.beginPath();
  for (const [t, value] of points) ctx.lineTo(area.x + (t / area.length) * area.width, toY(value));
  ctx.stroke();
  const now = traces.at(dimension, traces.step);
  if (now !== undefined && Number.isFinite(now)) {
    ctx.fillStyle = tokens.ink;
    ctx.beginPath();
    ctx.arc(area.x + (traces.step / area.length) * area.width, toY(now), 3.5, 0, 7);
    ctx.fill();
  }
  label(ctx, traces.labels[dimension], area.x - 12, y + lane / 2, tokens.dim, "right");
  label(ctx, fixed(now, 4), area.x + area.width + 10, y + lane / 2, tokens.ink, "left");
}

/** @param {CanvasRenderingContext2D} ctx @param {string} words @param {number} x @param {number} y @param {string} ink @param {CanvasTextAlign} align */
function label(ctx, words, x, y, ink, align) {
  ctx.font = `12px ${MONO}`;
  ctx.fillStyle = ink;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.fillText(words, x, y);
}
