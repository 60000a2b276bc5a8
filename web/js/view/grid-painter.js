/**
 * Draws a grid: cells, what the agent thinks of them, what stands in them, and the
 * agent. It reads a scene and changes nothing; the order of calls is the order of layers.
 *
 * @typedef {object} Scene
 * @property {import("../logic/grid.js").Grid} grid
 * @property {any} observation       of the position shown
 * @property {[number, number] | null} agent  row and column, fractional while it moves
 * @property {number[]} trail        cells, oldest first
 * @property {"trail" | "value" | "triangles"} overlay
 * @property {(observation: number) => number[] | undefined} lookup
 * @property {import("../logic/scales.js").Range} range
 * @property {import("./theme.js").Tokens} tokens
 *
 * @typedef {{x: number, y: number, cell: number}} Frame  top-left corner and side of a cell
 */

import { cell as cellText } from "../logic/format.js";
import { colour, css, inkOn } from "../logic/scales.js";
import { cross, flag, person, star } from "./shapes.js";

const MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace';

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} width @param {number} height
 * @param {Scene} scene
 */
export function paintGrid(ctx, width, height, scene) {
  const { grid } = scene;
  ctx.clearRect(0, 0, width, height);
  const cell = Math.max(4, Math.min((width - 24) / grid.columns, (height - 24) / grid.rows, 120));
  const frame = { x: Math.round((width - cell * grid.columns) / 2), y: Math.round((height - cell * grid.rows) / 2), cell };
  for (let c = 0; c < grid.rows * grid.columns; c += 1) paintCell(ctx, frame, scene, c);
  paintWalls(ctx, frame, scene);
  paintLabels(ctx, frame, scene);
  paintTrail(ctx, frame, scene);
  for (const marker of grid.markers(scene.observation)) {
    if (marker.cell !== null) paintMarker(ctx, frame, scene, marker, grid.place(marker.cell));
  }
  if (!scene.agent) return;
  paintAgent(ctx, frame, scene, scene.agent);
  for (const marker of grid.markers(scene.observation)) {
    if (marker.cell === null) paintRider(ctx, frame, scene, scene.agent);
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} scene @param {number} c */
function paintCell(ctx, frame, scene, c) {
  const { grid, tokens } = scene;
  const [row, column] = grid.place(c);
  const side = frame.cell;
  const [x, y] = [frame.x + column * side, frame.y + row * side];
  const inset = side > 14 ? 1 : 0.5;
  ctx.fillStyle = tokens.cell;
  ctx.fillRect(x + inset, y + inset, side - 2 * inset, side - 2 * inset);
  const kind = grid.kind(c);
  if (kind === "#") return hatch(ctx, x + inset, y + inset, side - 2 * inset, tokens.hatch);
  const q = scene.overlay === "trail" ? undefined : scene.lookup(grid.observationAt(c, scene.observation));
  if (q) (scene.overlay === "value" ? paintValue : paintWedges)(ctx, x, y, side, inset, q, scene);
  else if (scene.overlay !== "trail" && kind === ".") dot(ctx, x + side / 2, y + side / 2, Math.max(1, side * 0.025), tokens.hatch);
  const mid = side / 2;
  if (kind === "G") star(ctx, x + mid, y + mid, side * 0.3, tokens.goal);
  if (kind === "X") cross(ctx, x + mid, y + mid, side * 0.17, tokens.hazard);
  if (kind === "S" && !q) text(ctx, "S", x + mid, y + mid, `600 ${Math.round(side * 0.34)}px system-ui, sans-serif`, tokens.faint);
  else if (kind === "S") ring(ctx, x, y, side, tokens.ink);
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} side
 * @param {number} inset @param {number[]} q @param {Scene} scene
 */
function paintValue(ctx, x, y, side, inset, q, scene) {
  const value = Math.max(...q);
  const fill = colour(value, scene.range, scene.tokens.rgb("cell"));
  ctx.fillStyle = css(fill);
  ctx.fillRect(x + inset, y + inset, side - 2 * inset, side - 2 * inset);
  if (side >= 36) text(ctx, cellText(value), x + side / 2, y + side / 2, `${Math.round(side * 0.2)}px ${MONO}`, inkOn(fill));
}

/**
 * Four wedges from the centre, each in the colour of its action's value.
 * @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} side
 * @param {number} inset @param {number[]} q @param {Scene} scene
 */
function paintWedges(ctx, x, y, side, inset, q, scene) {
  const [mx, my] = [x + side / 2, y + side / 2];
  const [l, t, r, b] = [x + inset, y + inset, x + side - inset, y + side - inset];
  const corners = [[l, t], [r, t], [r, b], [l, b]];
  const best = Math.max(...q);
  const numbers = side >= 56;
  q.forEach((value, action) => {
    const wedge = scene.grid.wedge(action);
    if (wedge === null) return;
    const fill = colour(value, scene.range, scene.tokens.rgb("cell"));
    const [a, z] = [corners[wedge], corners[(wedge + 1) % 4]];
    ctx.fillStyle = css(fill);
    ctx.beginPath();
    ctx.moveTo(mx, my);
    ctx.lineTo(a[0], a[1]);
    ctx.lineTo(z[0], z[1]);
    ctx.fill();
    if (!numbers) return;
    const off = side * (wedge % 2 ? 0.295 : 0.36);
    const [dx, dy] = [[0, -off], [off, 0], [0, off], [-off, 0]][wedge];
    const weight = value === best ? "700 " : "";
    text(ctx, cellText(value), mx + dx, my + dy, `${weight}${Math.min(14, Math.round(side * 0.145))}px ${MONO}`, inkOn(fill));
  });
  ctx.strokeStyle = scene.tokens.panel;
  ctx.lineWidth = side > 24 ? 1 : 0.5;
  ctx.beginPath();
  ctx.moveTo(l, t);
  ctx.lineTo(r, b);
  ctx.moveTo(r, t);
  ctx.lineTo(l, b);
  ctx.stroke();
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} side @param {string} ink */
function hatch(ctx, x, y, side, ink) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(x, y, side, side);
  ctx.clip();
  ctx.strokeStyle = ink;
  ctx.lineWidth = 1;
  ctx.beginPath();
  const gap = Math.max(4, Math.min(8, side / 6));
  for (let k = -side; k < side; k += gap) {
    ctx.moveTo(x + k, y + side);
    ctx.lineTo(x + k + side, y);
  }
  ctx.stroke();
  ctx.restore();
}

/** The start, where values cover its letter. @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} side @param {string} ink */
function ring(ctx, x, y, side, ink) {
  ctx.strokeStyle = ink;
  ctx.globalAlpha = 0.7;
  ctx.lineWidth = 1.5;
  ctx.setLineDash([3, 3]);
  ctx.strokeRect(x + 2.5, y + 2.5, side - 5, side - 5);
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
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
  const at = trail.map((c) => {
    const [row, column] = grid.place(c);
    return [frame.x + (column + 0.5) * frame.cell, frame.y + (row + 0.5) * frame.cell];
  });
  const plain = scene.overlay === "trail";
  for (let i = 0; i < at.length; i += 1) {
    const strength = ((i + 1) / at.length) ** 1.4;
    const [x, y] = at[i];
    const next = at[i + 1];
    ctx.strokeStyle = plain ? scene.tokens.accent : "#fff";
    ctx.fillStyle = plain ? scene.tokens.accent : "#fff";
    // A jump (the cliff sends back to the start) is no path: its ends are not joined.
    if (next && Math.hypot(next[0] - x, next[1] - y) < frame.cell * 1.5) {
      ctx.globalAlpha = strength * 0.5;
      ctx.lineWidth = Math.max(1.5, frame.cell * 0.05);
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(next[0], next[1]);
      ctx.stroke();
    }
    ctx.globalAlpha = strength * 0.9;
    if (!plain) {
      ctx.lineWidth = 1;
      ctx.strokeStyle = "rgba(10,14,20,.75)";
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
  const radius = Math.max(4, frame.cell * 0.2);
  ctx.shadowColor = "rgba(0,0,0,.45)";
  ctx.shadowBlur = radius * 0.8;
  dot(ctx, x, y, radius, "#fff");
  ctx.shadowBlur = 0;
  ctx.lineWidth = Math.max(2, frame.cell * 0.045);
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

/** What rides along sits on the agent's shoulder. @param {CanvasRenderingContext2D} ctx @param {Frame} frame @param {Scene} _scene @param {[number, number]} agent */
function paintRider(ctx, frame, _scene, [row, column]) {
  const side = frame.cell;
  person(ctx, frame.x + (column + 0.72) * side, frame.y + (row + 0.26) * side, side * 0.14, "#56b4e9");
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} radius @param {string} fill */
function dot(ctx, x, y, radius, fill) {
  ctx.fillStyle = fill;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 7);
  ctx.fill();
}

/** @param {CanvasRenderingContext2D} ctx @param {string} words @param {number} x @param {number} y @param {string} font @param {string} ink */
function text(ctx, words, x, y, font, ink) {
  ctx.font = font;
  ctx.fillStyle = ink;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(words, x, y);
}
