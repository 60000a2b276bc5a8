/**
 * Draws what has no map: one sparkline per number of the observation over the steps that
 * are here, with a cursor at the position shown. Branches of a Dict are headings, what
 * hangs on them is indented: the observation as a tree.
 *
 * @typedef {object} Traces
 * @property {import("../logic/looks.js").Lane[]} lanes
 * @property {(path: (string | number)[], step: number) => any} at
 * @property {number} from   first step to draw
 * @property {number} to     last step to draw
 * @property {number} length of the axis, in steps
 * @property {number} step   where the cursor stands
 * @property {import("./theme.js").Tokens} tokens
 */

import { fixed } from "../logic/format.js";
import { MONO } from "./shapes.js";

const LEAST_LANE = 18;
const HEADING = 26;
const INDENT = 14;

/** @param {CanvasRenderingContext2D} ctx @param {number} width @param {number} height @param {Traces} traces */
export function paintVector(ctx, width, height, traces) {
  ctx.clearRect(0, 0, width, height);
  const room = height - 24;
  const most = Math.max(1, Math.floor(room / LEAST_LANE) - 1);
  const lanes = traces.lanes.slice(0, traces.lanes.length > most + 1 ? most : most + 1);
  if (lanes.length === 0) return;
  const headings = lanes.filter(({ path }) => path === null).length;
  const curves = lanes.length - headings;
  const heading = Math.min(HEADING, room / lanes.length);
  const lane = Math.min(96, (room - headings * heading) / Math.max(1, curves));
  const deepest = Math.max(...lanes.map(({ label: words, depth }) => words.length * 7.3 + depth * INDENT));
  const left = Math.min(Math.max(90, deepest + 28), width * 0.34);
  const right = 84;
  const area = { x: left, width: width - left - right, length: Math.max(1, traces.length) };
  let y = (height - headings * heading - curves * lane) / 2;
  const top = y;
  for (const shown of lanes) {
    const side = shown.path === null ? heading : lane;
    if (shown.path === null) paintHeading(ctx, shown, area, y, side, traces.tokens);
    else paintLane(ctx, traces, shown, area, y, side);
    y += side;
  }
  const x = area.x + (traces.step / area.length) * area.width;
  ctx.fillStyle = traces.tokens.accent;
  ctx.fillRect(Math.round(x) - 0.5, top, 1.5, y - top);
  if (traces.lanes.length > lanes.length) {
    label(ctx, `${traces.lanes.length - lanes.length} more`, left, Math.min(height - 8, y + 9), traces.tokens.dim, "left");
  }
}

/** @typedef {{x: number, width: number, length: number}} Area */

/** @param {CanvasRenderingContext2D} ctx @param {import("../logic/looks.js").Lane} lane @param {Area} area @param {number} y @param {number} side @param {import("./theme.js").Tokens} tokens */
function paintHeading(ctx, lane, area, y, side, tokens) {
  label(ctx, lane.label, 14 + lane.depth * INDENT, y + side / 2, tokens.ink, "left", 600);
  if (lane.text) label(ctx, lane.text, area.x, y + side / 2, tokens.dim, "left");
  ctx.fillStyle = tokens.line;
  ctx.fillRect(14 + lane.depth * INDENT, Math.round(y + side) - 1, area.x + area.width - 14 - lane.depth * INDENT, 1);
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {Traces} traces @param {import("../logic/looks.js").Lane} shown
 * @param {Area} area @param {number} y @param {number} lane
 */
function paintLane(ctx, traces, shown, area, y, lane) {
  const { tokens } = traces;
  const path = /** @type {(string | number)[]} */ (shown.path);
  label(ctx, shown.label, 14 + shown.depth * INDENT, y + lane / 2, tokens.dim, "left", 400, area.x - 22 - shown.depth * INDENT);
  ctx.fillStyle = tokens.line;
  ctx.fillRect(area.x, Math.round(y + lane) - 1, area.width, 1);
  const now = traces.at(path, traces.step);
  if (shown.text !== undefined) return label(ctx, typeof now === "string" ? now : shown.text, area.x + 6, y + lane / 2, tokens.ink, "left", 400, area.width);
  const number = (/** @type {any} */ v) => (typeof v === "boolean" ? Number(v) : v);
  const stride = Math.max(1, Math.ceil((traces.to - traces.from) / (area.width * 2)));
  let [low, high] = [Infinity, -Infinity];
  /** @type {[number, number][]} */
  const points = [];
  for (let t = traces.from; t <= traces.to; t += stride) {
    const value = number(traces.at(path, t));
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    points.push([t, value]);
  }
  const pad = Math.min(10, lane * 0.18);
  const span = high - low || 1;
  const toY = (/** @type {number} */ v) => (high === low ? y + lane / 2 : y + lane - pad - ((v - low) / span) * (lane - 2 * pad));
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
  const at = number(now);
  if (typeof at === "number" && Number.isFinite(at)) {
    ctx.fillStyle = tokens.ink;
    ctx.beginPath();
    ctx.arc(area.x + (traces.step / area.length) * area.width, toY(at), 3.5, 0, 7);
    ctx.fill();
  }
  label(ctx, typeof now === "boolean" ? (now ? "yes" : "no") : fixed(now, 4), area.x + area.width + 10, y + lane / 2, tokens.ink, "left");
}

/** @param {CanvasRenderingContext2D} ctx @param {string} words @param {number} x @param {number} y @param {string} ink @param {CanvasTextAlign} align @param {number} [weight] @param {number} [most]  width */
function label(ctx, words, x, y, ink, align, weight = 400, most = undefined) {
  ctx.font = `${weight} 12px ${MONO}`;
  ctx.fillStyle = ink;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  let shown = words;
  if (most !== undefined && ctx.measureText(words).width > most) shown = `${words.slice(0, Math.max(1, Math.floor(most / 7.3) - 1))}…`;
  ctx.fillText(shown, x, y);
}
