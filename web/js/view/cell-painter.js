/**
 * One cell of a grid: its colour, its numbers, its arrows, what stands in it. What to draw
 * is said by a `Look` (logic/heat.js); here is only how.
 *
 * @typedef {CanvasRenderingContext2D} Ctx
 * @typedef {import("../logic/heat.js").Look} Look
 */

import { DIAMOND } from "../logic/facet.js";
import { arrow, cross, dot, hatch, MONO, star, text } from "./shapes.js";

/** Sides in CSS pixels from which on a cell has room for its number, and for one a wedge. */
export const VALUE_SIDE = 36;
export const WEDGE_SIDE = 64;
const LEAST_FONT = 8;

/** Of the monospaced face, in font sizes: measured once. */
let characterWidth = 0;

/** @param {Ctx} ctx */
function widthOf(ctx) {
  if (characterWidth === 0) {
    ctx.font = `100px ${MONO}`;
    characterWidth = ctx.measureText("0000").width / 400;
  }
  return characterWidth;
}

/**
 * The largest size at which a text fits, or null: a number that would run into another is
 * left out.
 * @param {Ctx} ctx @param {string} words @param {number} room  in pixels @param {number} wanted
 */
export function fontFor(ctx, words, room, wanted) {
  const size = Math.min(wanted, room / (widthOf(ctx) * Math.max(1, words.length)));
  return size >= LEAST_FONT ? Math.floor(size * 2) / 2 : null;
}

/**
 * @param {Ctx} ctx @param {number} x @param {number} y  of its corner @param {number} side
 * @param {Look} look @param {string} kind  what stands in it
 * @param {import("./grid-painter.js").Scene} scene
 */
export function paintCell(ctx, x, y, side, look, kind, scene) {
  const { tokens } = scene;
  const inset = side > 14 ? 1 : 0.5;
  const inner = side - 2 * inset;
  ctx.clearRect(x, y, side, side);
  ctx.fillStyle = tokens.cell;
  ctx.fillRect(x + inset, y + inset, inner, inner);
  if (kind === "#") return hatch(ctx, x + inset, y + inset, inner, tokens.hatch);
  const mid = side / 2;
  if (look.kind === "value") paintValue(ctx, x, y, side, inset, look, scene);
  else if (look.kind === "wedges") paintWedges(ctx, x, y, side, inset, look, scene);
  else if (look.kind === "arrows") paintArrows(ctx, x, y, side, inset, look, scene);
  else if (look.kind === "unvisited" && kind !== "G" && kind !== "X") paintUnvisited(ctx, x, y, side, kind === "S", tokens.hatch);
  if (kind === "G") star(ctx, x + mid, y + mid, side * 0.3, tokens.goal);
  if (kind === "X") cross(ctx, x + mid, y + mid, side * 0.17, tokens.hazard);
  const bare = look.kind === "none" || look.kind === "unvisited";
  if (kind === "S" && bare) text(ctx, "S", x + mid, y + mid, `600 ${Math.round(side * 0.34)}px system-ui, sans-serif`, tokens.faint);
  else if (kind === "S") startMark(ctx, x, y, side, tokens);
}

/** Dots: nobody has been here, which is not the same as zero. @param {Ctx} ctx @param {number} x @param {number} y @param {number} side @param {boolean} hollow  leaves the middle to a letter @param {string} ink */
function paintUnvisited(ctx, x, y, side, hollow, ink) {
  const radius = Math.max(0.75, Math.min(1.8, side * 0.03));
  const places = side >= 20 ? [0.25, 0.5, 0.75] : [0.5];
  for (const a of places) {
    for (const b of places) {
      if (!(hollow && a === 0.5 && b === 0.5)) dot(ctx, x + a * side, y + b * side, radius, ink);
    }
  }
}

/** The start, where values cover its letter. @param {Ctx} ctx @param {number} x @param {number} y @param {number} side @param {import("./theme.js").Tokens} tokens */
function startMark(ctx, x, y, side, tokens) {
  ctx.save();
  ctx.setLineDash([3, 3]);
  for (const [ink, offset] of /** @type {[string, number][]} */ ([[tokens.ink, 0], [tokens.panel, 3]])) {
    ctx.strokeStyle = ink;
    ctx.lineDashOffset = offset;
    ctx.lineWidth = Math.max(1, Math.min(2, side * 0.03));
    ctx.strokeRect(x + 2, y + 2, side - 4, side - 4);
  }
  ctx.restore();
}

/** @param {Ctx} ctx @param {number} x @param {number} y @param {number} side @param {number} inset @param {Look} look @param {import("./grid-painter.js").Scene} scene */
function paintValue(ctx, x, y, side, inset, look, { scale }) {
  if (!scale) return;
  ctx.fillStyle = scale.fills[look.level];
  ctx.fillRect(x + inset, y + inset, side - 2 * inset, side - 2 * inset);
  if (!look.label) return;
  const size = fontFor(ctx, look.label, side - 2 * inset - 6, side * 0.22);
  if (size) text(ctx, look.label, x + side / 2, y + side / 2, `${size}px ${MONO}`, scale.inks[look.level]);
}

/**
 * Four wedges from the centre, each in the colour of its action's value; staying is a
 * diamond on top of them. The best are outlined.
 * @param {Ctx} ctx @param {number} x @param {number} y @param {number} side
 * @param {number} inset @param {Look} look @param {import("./grid-painter.js").Scene} scene
 */
function paintWedges(ctx, x, y, side, inset, look, { scale, tokens }) {
  if (!scale) return;
  const [mx, my] = [x + side / 2, y + side / 2];
  const [l, t, r, b] = [x + inset, y + inset, x + side - inset, y + side - inset];
  const corners = [[l, t], [r, t], [r, b], [l, b]];
  for (let wedge = 0; wedge < 4; wedge += 1) {
    const shown = look.wedges[wedge];
    if (!shown) continue;
    const [a, z] = [corners[wedge], corners[(wedge + 1) % 4]];
    ctx.fillStyle = scale.fills[shown.level];
    ctx.beginPath();
    ctx.moveTo(mx, my);
    ctx.lineTo(a[0], a[1]);
    ctx.lineTo(z[0], z[1]);
    ctx.fill();
  }
  ctx.strokeStyle = tokens.panel;
  ctx.lineWidth = side > 24 ? 1 : 0.5;
  ctx.beginPath();
  ctx.moveTo(l, t);
  ctx.lineTo(r, b);
  ctx.moveTo(r, t);
  ctx.lineTo(l, b);
  ctx.stroke();
  if (side >= 16) for (let wedge = 0; wedge < 4; wedge += 1) outline(ctx, x, y, side, wedge, look, scale);
  const stay = look.wedges[4];
  if (stay) diamond(ctx, mx, my, side * DIAMOND, scale.fills[stay.level], stay.best ? scale.inks[stay.level] : tokens.panel);
  look.wedges.forEach((shown, wedge) => {
    if (!shown?.label) return;
    const beside = wedge === 1 || wedge === 3;
    // Beside the centre two numbers and perhaps the diamond share the width.
    const room = wedge === 4 ? side * DIAMOND * 1.3 : beside ? side * (stay ? 0.29 : 0.31) : side * 0.6;
    const weight = shown.best ? "700 " : "";
    const size = fontFor(ctx, shown.label, room, side * 0.15);
    if (!size) return;
    const off = side * (beside ? (stay ? 0.32 : 0.3) : 0.37);
    const [dx, dy] = [[0, -off], [off, 0], [0, off], [-off, 0], [0, 0]][wedge];
    text(ctx, shown.label, mx + dx, my + dy, `${weight}${size}px ${MONO}`, scale.inks[shown.level]);
  });
}

/** @param {Ctx} ctx @param {number} x @param {number} y @param {number} side @param {number} wedge @param {Look} look @param {import("../logic/scales.js").Scale} scale */
function outline(ctx, x, y, side, wedge, look, scale) {
  const shown = look.wedges[wedge];
  if (!shown?.best) return;
  const width = Math.max(1, Math.min(2, side * 0.024));
  const m = side / 2;
  // Within the wedge, clear of its neighbours and of the cell's rim.
  const [near, far, tip] = [width * 2 + 0.8, width * 0.5 + 1.5, width * 1.5];
  ctx.save();
  ctx.translate(x + m, y + m);
  ctx.rotate((wedge * Math.PI) / 2);
  ctx.beginPath();
  ctx.moveTo(0, -tip);
  ctx.lineTo(-m + near, -m + far);
  ctx.lineTo(m - near, -m + far);
  ctx.closePath();
  ctx.lineJoin = "round";
  ctx.lineWidth = width;
  ctx.strokeStyle = scale.inks[shown.level];
  ctx.stroke();
  ctx.restore();
}

/** @param {Ctx} ctx @param {number} x @param {number} y @param {number} arm @param {string} fill @param {string} rim */
function diamond(ctx, x, y, arm, fill, rim) {
  ctx.beginPath();
  ctx.moveTo(x, y - arm);
  ctx.lineTo(x + arm, y);
  ctx.lineTo(x, y + arm);
  ctx.lineTo(x - arm, y);
  ctx.closePath();
  ctx.fillStyle = fill;
  ctx.fill();
  ctx.strokeStyle = rim;
  ctx.lineWidth = 1.5;
  ctx.stroke();
}

/**
 * What a greedy agent does: an arrow for each action that shares the best value, shorter
 * the less likely each is; a ring where it is no move.
 * @param {Ctx} ctx @param {number} x @param {number} y @param {number} side
 * @param {number} inset @param {Look} look @param {import("./grid-painter.js").Scene} scene
 */
function paintArrows(ctx, x, y, side, inset, look, { scale }) {
  if (!scale) return;
  ctx.fillStyle = scale.fills[look.level];
  ctx.fillRect(x + inset, y + inset, side - 2 * inset, side - 2 * inset);
  const [mx, my] = [x + side / 2, y + side / 2];
  const weight = Math.max(1.25, Math.min(4, side * 0.055));
  for (const { wedge, share } of look.arrows) {
    if (wedge === null) {
      ctx.lineWidth = weight + 2;
      ctx.strokeStyle = "#fff";
      ctx.beginPath();
      ctx.arc(mx, my, side * 0.16, 0, 7);
      ctx.stroke();
      ctx.lineWidth = weight;
      ctx.strokeStyle = "#000";
      ctx.stroke();
      continue;
    }
    const [dx, dy] = [[0, -1], [1, 0], [0, 1], [-1, 0]][wedge];
    arrow(ctx, mx, my, dx, dy, side * (0.16 + 0.24 * share), weight);
  }
}
