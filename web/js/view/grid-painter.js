/**
 * Draws a grid: cells with what the agent thinks of them, what stands in them, and the
 * agent. It reads a scene and changes nothing; the order of calls is the order of layers.
 *
 * The cells are kept on a canvas of their own, and only those whose look changed are
 * painted again; small ones, of which there may be thousands, as pixels (mosaic.js).
 *
 * @typedef {object} Scene
 * @property {import("../logic/grid.js").Grid} grid
 * @property {any} observation       of the position shown
 * @property {[number, number] | null} agent  row and column, fractional while it moves
 * @property {number[]} trail        cells, oldest first
 * @property {import("../logic/state.js").Overlay} overlay
 * @property {import("../logic/heat.js").Table | null} table
 * @property {import("../logic/scales.js").Scale | null} scale
 * @property {boolean} difference
 * @property {number | null} marked  a cell with the pointer or the focus on it
 * @property {import("./theme.js").Tokens} tokens
 * @property {string} themeName
 *
 * @typedef {{x: number, y: number, cell: number}} Frame  top-left corner and side of a cell
 */

import { lookOf } from "../logic/heat.js";
import { paintCell, VALUE_SIDE, WEDGE_SIDE } from "./cell-painter.js";
import { Mosaic } from "./mosaic.js";
import { dot, flag, MONO, person, text } from "./shapes.js";

export { MONO };

/** Around what is white and lies on any colour. */
const RIM = "rgba(10,14,20,.75)";
/** Below this side a cell is colours alone. */
const SMALL = 16;
/** Above it a cell grows no more: four of them should not fill a wall. */
const MOST_SIDE = 180;
/** Bare surface beside a grid, both sides together. */
const MARGIN = 10;

/** Where a grid stands in a box of this size. @param {import("../logic/grid.js").Grid} grid @param {number} width @param {number} height @returns {Frame} */
export function frameOf(grid, width, height) {
  const cell = Math.max(4, Math.min((width - MARGIN) / grid.columns, (height - MARGIN) / grid.rows, MOST_SIDE));
  return { x: Math.round((width - cell * grid.columns) / 2), y: Math.round((height - cell * grid.rows) / 2), cell };
}

export class GridPainter {
  constructor() {
    this.cells = document.createElement("canvas");
    this.mosaic = new Mosaic();
    /** What was painted in each cell. @type {(string | number | undefined)[]} */
    this.keys = [];
    this.drawn = "";
    /** @type {import("../logic/scales.js").Scale | null} */
    this.scale = null;
    /** Cells painted by the last call: what a test may look at. */
    this.painted = 0;
  }

  /**
   * @param {CanvasRenderingContext2D} ctx @param {number} width @param {number} height
   * @param {Scene} scene
   */
  paint(ctx, width, height, scene) {
    const frame = frameOf(scene.grid, width, height);
    this.#cells(ctx, frame, scene);
    ctx.clearRect(0, 0, width, height);
    const { columns, rows } = scene.grid;
    if (frame.cell < SMALL) {
      const { canvas, ratio } = this.mosaic;
      ctx.drawImage(canvas, frame.x, frame.y, canvas.width / ratio, canvas.height / ratio);
    } else ctx.drawImage(this.cells, frame.x, frame.y, Math.ceil(frame.cell * columns), Math.ceil(frame.cell * rows));
    paintWalls(ctx, frame, scene);
    paintLabels(ctx, frame, scene);
    paintTrail(ctx, frame, scene);
    const markers = scene.grid.markers(scene.observation);
    for (const marker of markers) {
      if (marker.cell !== null) paintMarker(ctx, frame, scene, marker, scene.grid.place(marker.cell));
    }
    if (scene.agent) {
      paintAgent(ctx, frame, scene, scene.agent);
      for (const marker of markers) if (marker.cell === null) paintRider(ctx, frame, scene.agent);
    }
    if (scene.marked !== null) paintMark(ctx, frame, scene, scene.marked);
  }

  /** @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} scene */
  #cells(ctx, frame, scene) {
    const { grid, overlay, table, scale, difference } = scene;
    const ratio = ctx.getTransform().a;
    const [w, h] = [Math.ceil(frame.cell * grid.columns) * ratio, Math.ceil(frame.cell * grid.rows) * ratio];
    const key = [w, h, frame.cell, overlay, scene.themeName, difference].join();
    const small = frame.cell < SMALL;
    if (key !== this.drawn || scale !== this.scale || this.grid !== grid) {
      if (small) this.mosaic.reset(grid, frame.cell, ratio);
      else {
        this.cells.width = Math.round(w);
        this.cells.height = Math.round(h);
      }
      this.keys = [];
      Object.assign(this, { drawn: key, scale, grid });
    }
    if (small) {
      this.painted = this.mosaic.paint(scene);
      return;
    }
    const layer = /** @type {CanvasRenderingContext2D} */ (this.cells.getContext("2d"));
    layer.setTransform(ratio, 0, 0, ratio, 0, 0);
    const numbers = frame.cell >= (overlay === "triangles" ? WEDGE_SIDE : VALUE_SIDE);
    this.painted = 0;
    for (let c = 0; c < grid.rows * grid.columns; c += 1) {
      const look = lookOf(grid, c, scene.observation, table, overlay, scale, numbers, difference);
      if (this.keys[c] === look.key) continue;
      this.keys[c] = look.key;
      this.painted += 1;
      const [row, column] = grid.place(c);
      paintCell(layer, column * frame.cell, row * frame.cell, frame.cell, look, grid.kind(c), scene);
    }
  }

  /** @type {import("../logic/grid.js").Grid | null} */
  grid = null;
}

/** The cell with the pointer or the focus on it. @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} scene @param {number} c */
function paintMark(ctx, frame, scene, c) {
  const [row, column] = scene.grid.place(c);
  const [x, y] = [frame.x + column * frame.cell, frame.y + row * frame.cell];
  ctx.lineWidth = 4;
  ctx.strokeStyle = scene.tokens.panel;
  ctx.strokeRect(x, y, frame.cell, frame.cell);
  ctx.lineWidth = 2;
  ctx.strokeStyle = scene.tokens.ink;
  ctx.strokeRect(x, y, frame.cell, frame.cell);
}

/** Thin walls stand between two neighbouring cells. @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} scene */
function paintWalls(ctx, frame, scene) {
  ctx.strokeStyle = scene.tokens.ink;
  ctx.lineWidth = Math.max(2, frame.cell * 0.055);
  ctx.lineCap = "round";
  ctx.beginPath();
  for (const [a, b] of scene.grid.walls) {
    const [ra, ca] = scene.grid.place(a);
    const [rb, cb] = scene.grid.place(b);
    const x = frame.x + Math.max(ca, cb) * frame.cell;
    const y = frame.y + Math.max(ra, rb) * frame.cell;
    ctx.moveTo(x, y);
    if (ra === rb) ctx.lineTo(x, y + frame.cell);
    else ctx.lineTo(x + frame.cell, y);
  }
  ctx.stroke();
  ctx.lineCap = "butt";
}

/** @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} scene */
function paintLabels(ctx, frame, scene) {
  const size = Math.max(9, Math.round(frame.cell * 0.2));
  for (const { cell: c, text: words } of scene.grid.labels) {
    const [row, column] = scene.grid.place(c);
    const [x, y] = [frame.x + (column + 0.14) * frame.cell, frame.y + (row + 0.16) * frame.cell];
    plate(ctx, words, x, y, size, scene.tokens);
  }
}

/** Text on a small plate, to be read on any colour. @param {CanvasRenderingContext2D} ctx @param {string} words @param {number} x @param {number} y @param {number} size @param {import("./theme.js").Tokens} tokens */
function plate(ctx, words, x, y, size, tokens) {
  ctx.font = `700 ${size}px system-ui, sans-serif`;
  const width = ctx.measureText(words).width + size * 0.5;
  ctx.fillStyle = tokens.panel;
  ctx.globalAlpha = 0.85;
  ctx.beginPath();
  ctx.roundRect(x - width / 2, y - size * 0.65, width, size * 1.3, 3);
  ctx.fill();
  ctx.globalAlpha = 1;
  text(ctx, words, x, y + 0.5, ctx.font, tokens.ink);
}

/** The last positions, fading. @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} scene */
function paintTrail(ctx, frame, scene) {
  const { trail, grid } = scene;
  const { overlay } = scene;
  // Where a cell holds a number the trail keeps clear of it: beside it, or as dots between four.
  const beside = (overlay === "value" || overlay === "visits") && frame.cell >= VALUE_SIDE;
  const dots = overlay === "triangles" && frame.cell >= WEDGE_SIDE;
  const [across, down] = beside ? [0.16, 0.84] : [0.5, 0.5];
  const spot = (/** @type {[number, number]} */ [row, column]) => [frame.x + (column + across) * frame.cell, frame.y + (row + down) * frame.cell];
  const at = trail.map((c) => spot(grid.place(c)));
  // The way leads up to where the agent is.
  const here = scene.agent && !beside ? spot(scene.agent) : undefined;
  const plain = overlay === "trail";
  for (let i = 0; i < at.length; i += 1) {
    const strength = ((i + 1) / at.length) ** 1.4;
    const [x, y] = at[i];
    const next = at[i + 1] ?? here;
    ctx.strokeStyle = plain ? scene.tokens.accent : "#fff";
    ctx.fillStyle = plain ? scene.tokens.accent : "#fff";
    // A jump (the cliff sends back to the start) is no path: its ends are not joined.
    if (next && !dots && Math.hypot(next[0] - x, next[1] - y) < frame.cell * 1.5) {
      const width = Math.max(1.5, frame.cell * 0.05);
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(next[0], next[1]);
      if (!plain) {
        // White alone is lost on yellow.
        ctx.globalAlpha = strength * 0.35;
        ctx.strokeStyle = RIM;
        ctx.lineWidth = width + 2;
        ctx.stroke();
        ctx.strokeStyle = "#fff";
      }
      ctx.globalAlpha = strength * (plain ? 0.5 : 0.7);
      ctx.lineWidth = width;
      ctx.stroke();
    }
    ctx.globalAlpha = strength * 0.9;
    if (!plain) {
      ctx.lineWidth = 1;
      ctx.strokeStyle = RIM;
    }
    ctx.beginPath();
    ctx.arc(x, y, Math.max(1.5, frame.cell * 0.065), 0, 7);
    ctx.fill();
    if (!plain) ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

/** @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} scene @param {[number, number]} agent */
function paintAgent(ctx, frame, scene, [row, column]) {
  const [x, y] = [frame.x + (column + 0.5) * frame.cell, frame.y + (row + 0.5) * frame.cell];
  // Between four numbers it makes itself small.
  const between = scene.overlay === "triangles" && frame.cell >= WEDGE_SIDE;
  const radius = Math.max(4, frame.cell * (between ? 0.175 : 0.2));
  ctx.shadowColor = "rgba(0,0,0,.45)";
  ctx.shadowBlur = radius * 0.8;
  dot(ctx, x, y, radius, "#fff");
  ctx.shadowBlur = 0;
  ctx.lineWidth = Math.max(2, radius * 0.225);
  ctx.strokeStyle = "#10151c";
  ctx.stroke();
  dot(ctx, x, y, radius * 0.46, scene.tokens.agent);
}

/** @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} scene @param {import("../types.js").Marker} marker @param {[number, number]} place */
function paintMarker(ctx, frame, scene, marker, [row, column]) {
  const side = frame.cell;
  const passenger = marker.kind === "passenger";
  const [x, y] = [frame.x + (column + (passenger ? 0.27 : 0.73)) * side, frame.y + (row + 0.72) * side];
  if (passenger) person(ctx, x, y, side * 0.17, "#56b4e9");
  else if (marker.kind === "destination") flag(ctx, x, y, side * 0.2, "#009e73");
  else plate(ctx, marker.label ?? marker.kind, x, y, Math.max(9, side * 0.16), scene.tokens);
}

/** What rides along sits on the agent's shoulder. @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {[number, number]} agent */
function paintRider(ctx, frame, [row, column]) {
  const side = frame.cell;
  person(ctx, frame.x + (column + 0.72) * side, frame.y + (row + 0.26) * side, side * 0.14, "#56b4e9");
}
