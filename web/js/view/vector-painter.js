/**
 * Draws what has no map: one sparkline per number of the observation over the steps that
 * are here, with a cursor at the position shown. Branches of a Dict are headings, what
 * hangs on them is indented: the observation as a tree. Images in it are shown as they are
 * at that position.
 *
 * @typedef {object} View
 * @property {import("../logic/looks.js").Lane[]} lanes
 * @property {(step: number) => any} observation
 * @property {string} key    of the episode
 * @property {number} from   first step to draw
 * @property {number} to     last step to draw
 * @property {number} length of the axis, in steps
 * @property {number} step   where the cursor stands
 * @property {import("./theme.js").Tokens} tokens
 */

import { count, fixed } from "../logic/format.js";
import { Traces } from "../logic/traces.js";
import { paintPixels } from "./image-painter.js";
import { MONO } from "./shapes.js";

const LEAST_LANE = 18;
const MOST_LANE = 128;
/** From this height on a lane tells its least and its greatest, in lines of type. */
const WITH_ENDS = 4.5;
const HEADING = 26;
const INDENT = 14;
/** Lanes that an image takes the place of. */
const IMAGE_LANES = 8;
const IMAGE_MOST = 240;
/** Of a character of the monospaced face, in font sizes. */
const ADVANCE = 0.61;

/** What each canvas has drawn so far. @type {WeakMap<HTMLCanvasElement | OffscreenCanvas, Traces>} */
const drawn = new WeakMap();

/** @param {CanvasRenderingContext2D} ctx @param {number} width @param {number} height @param {View} view */
export function paintVector(ctx, width, height, view) {
  ctx.clearRect(0, 0, width, height);
  const fits = Math.max(1, Math.floor((height - 24) / LEAST_LANE));
  const lanes = fitting(view.lanes, fits);
  const leftOut = view.lanes.length - lanes.length;
  const room = height - 24 - (leftOut > 0 ? LEAST_LANE : 0);
  if (lanes.length === 0) return;
  const headings = lanes.filter(({ path }) => path === null).length;
  const images = lanes.filter(({ image }) => image).length;
  const curves = lanes.length - headings - images;
  const slot = room / (lanes.length + images * (IMAGE_LANES - 1));
  const heading = Math.min(HEADING, slot);
  const picture = Math.min(IMAGE_MOST, slot * IMAGE_LANES);
  const lane = Math.min(MOST_LANE, (room - headings * heading - images * picture) / Math.max(1, curves));
  const size = Number.parseFloat(view.tokens.t2);
  const deepest = Math.max(...lanes.map(({ label: words, depth }) => words.length * size * ADVANCE + depth * INDENT));
  const left = Math.min(Math.max(90, deepest + 28), width * 0.34);
  const right = size * 7;
  const area = { x: left, width: width - left - right, length: Math.max(1, view.length) };
  const { canvas } = ctx;
  const traces = drawn.get(canvas) ?? new Traces();
  drawn.set(canvas, traces);
  const paths = /** @type {(string | number)[][]} */ (lanes.filter(({ image }) => !image).map(({ path }) => path).filter((path) => path !== null));
  const found = traces.of(view.key, paths, view.observation, view.from, view.to, area.length, Math.max(1, Math.round(area.width)));
  const now = view.observation(view.step);
  let y = 12 + (room - headings * heading - images * picture - curves * lane) / 2;
  let curve = 0;
  for (const shown of lanes) {
    const side = shown.path === null ? heading : shown.image ? picture : lane;
    const value = shown.path?.reduce((whole, part) => whole?.[part], now);
    if (shown.path === null) paintHeading(ctx, shown, area, y, side, view.tokens);
    else if (shown.image) paintLaneImage(ctx, shown, shown.image, value, area, y, side, view.tokens);
    else {
      paintLane(ctx, view, shown, found[curve++], value, area, y, side);
      const x = area.x + (view.step / area.length) * area.width;
      ctx.fillStyle = view.tokens.accent;
      ctx.fillRect(Math.round(x) - 0.5, y, 1.5, side);
    }
    y += side;
  }
  if (leftOut > 0) label(ctx, `${count(view.lanes.length - lanes.length)} more`, left, y + LEAST_LANE / 2 + 2, size, view.tokens.dim);
}

/** As many lanes as have room, with a line left for how many have none. @param {import("../logic/looks.js").Lane[]} lanes @param {number} room  in lanes */
function fitting(lanes, room) {
  const sizes = lanes.map(({ image }) => (image ? IMAGE_LANES : 1));
  const all = sizes.reduce((sum, size) => sum + size, 0);
  let left = all > room ? room - 1 : room;
  const end = sizes.findIndex((size) => {
    left -= size;
    return left < 0;
  });
  return end < 0 ? lanes : lanes.slice(0, end);
}

/** @typedef {{x: number, width: number, length: number}} Area */

/**
 * @param {CanvasRenderingContext2D} ctx @param {import("../logic/looks.js").Lane} lane @param {import("../logic/looks.js").Shape} shape
 * @param {any} now  rows of pixels @param {Area} area @param {number} y @param {number} side @param {import("./theme.js").Tokens} tokens
 */
function paintLaneImage(ctx, lane, shape, now, area, y, side, tokens) {
  label(ctx, lane.label, 14 + lane.depth * INDENT, y + side / 2, Number.parseFloat(tokens.t2), tokens.dim, 400, area.x - 22 - lane.depth * INDENT);
  if (!Array.isArray(now)) return;
  const fit = Math.min((side - 10) / shape.height, area.width / shape.width);
  paintPixels(ctx, Math.round(area.x) + 1, Math.round(y + 5), fit >= 1 ? Math.floor(fit) : fit, shape, now.flat(3), tokens);
}

/** @param {CanvasRenderingContext2D} ctx @param {import("../logic/looks.js").Lane} lane @param {Area} area @param {number} y @param {number} side @param {import("./theme.js").Tokens} tokens */
function paintHeading(ctx, lane, area, y, side, tokens) {
  const size = Number.parseFloat(tokens.t2);
  label(ctx, lane.label, 14 + lane.depth * INDENT, y + side / 2, size, tokens.ink, 600);
  if (lane.text) label(ctx, lane.text, area.x, y + side / 2, size, tokens.dim);
  ctx.fillStyle = tokens.line;
  ctx.fillRect(14 + lane.depth * INDENT, Math.round(y + side) - 1, area.x + area.width - 14 - lane.depth * INDENT, 1);
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {View} view @param {import("../logic/looks.js").Lane} shown
 * @param {import("../logic/traces.js").Trace} trace @param {any} now  its value at the step shown
 * @param {Area} area @param {number} y @param {number} lane
 */
function paintLane(ctx, view, shown, trace, now, area, y, lane) {
  const { tokens } = view;
  const size = Number.parseFloat(tokens.t2);
  label(ctx, shown.label, 14 + shown.depth * INDENT, y + lane / 2, size, tokens.dim, 400, area.x - 22 - shown.depth * INDENT);
  ctx.fillStyle = tokens.line;
  ctx.fillRect(area.x, Math.round(y + lane) - 1, area.width, 1);
  if (shown.text !== undefined) return label(ctx, typeof now === "string" ? now : shown.text, area.x + 6, y + lane / 2, size, tokens.ink, 400, area.width);
  const { points, low, high, whole } = trace;
  const pad = Math.min(10, lane * 0.18);
  const span = high - low || 1;
  const toY = (/** @type {number} */ v) => (high === low ? y + lane / 2 : y + lane - pad - ((v - low) / span) * (lane - 2 * pad));
  if (low < 0 && high > 0) {
    ctx.globalAlpha = 0.7;
    ctx.fillRect(area.x, Math.round(toY(0)), area.width, 1);
    ctx.globalAlpha = 1;
  }
  ctx.strokeStyle = tokens.archive;
  // Where it swings from one pixel to the next, a thinner line leaves a shape to be seen.
  const way = points.reduce((sum, [, value], i) => (i > 0 ? sum + Math.abs(toY(value) - toY(points[i - 1][1])) : 0), 0);
  ctx.lineWidth = way > 8 * area.width ? 1 : 1.75;
  ctx.lineJoin = "round";
  ctx.beginPath();
  points.forEach(([t, value], i) => {
    const x = area.x + (t / area.length) * area.width;
    // What is counted jumps; nothing lies between a gripper open and one closed.
    if (whole && i > 0) ctx.lineTo(x, toY(points[i - 1][1]));
    ctx.lineTo(x, toY(value));
  });
  ctx.stroke();
  const at = typeof now === "boolean" ? Number(now) : now;
  if (typeof at === "number" && Number.isFinite(at)) {
    ctx.fillStyle = tokens.ink;
    ctx.beginPath();
    ctx.arc(area.x + (view.step / area.length) * area.width, toY(at), 3.5, 0, 7);
    ctx.fill();
  }
  const text = typeof now === "boolean" ? (now ? "yes" : "no") : whole ? count(now) : fixed(now, 4);
  if (lane >= WITH_ENDS * size && high > low && typeof now !== "boolean") {
    for (const end of [low, high]) label(ctx, whole ? count(end) : fixed(end, 2), area.x + area.width + 10, toY(end), size - 2, tokens.faint);
  }
  label(ctx, text, area.x + area.width + 10, y + lane / 2, size, tokens.ink);
}

/** @param {CanvasRenderingContext2D} ctx @param {string} words @param {number} x @param {number} y @param {number} size @param {string} ink @param {number} [weight] @param {number} [most]  width */
function label(ctx, words, x, y, size, ink, weight = 400, most = undefined) {
  ctx.font = `${weight} ${size}px ${MONO}`;
  ctx.fillStyle = ink;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  let shown = words;
  if (most !== undefined && ctx.measureText(words).width > most) shown = `${words.slice(0, Math.max(1, Math.floor(most / (size * ADVANCE)) - 1))}…`;
  ctx.fillText(shown, x, y);
}
