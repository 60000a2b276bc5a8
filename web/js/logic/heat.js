/**
 * What an overlay says of each cell, ready to be painted: which colours, which numbers,
 * which arrows. No canvas here; the painter compares one cell's look with the last and
 * paints only what changed.
 *
 * @typedef {import("./grid.js").Grid} Grid
 * @typedef {import("./state.js").Overlay} Overlay
 * @typedef {object} Table
 * @property {(observation: number) => number[] | undefined} row
 * @property {(observation: number) => number} visitsOf
 * @property {(observation: number, into: Float64Array) => number} [read]  both at once
 * @property {() => unknown} [mark]
 * @property {(mark: unknown) => number[] | null} [changedSince]
 * @property {(observation: number) => number} [value]  where it is not the greatest of the row: of a change
 * @property {{row(observation: number): number[] | undefined}} [now]  of a change, what it led to
 * @typedef {{scale: import("./scales.js").Scale, overlay: Overlay, difference: boolean}} Heat
 */

import { cell as cellText, fixed } from "./format.js";
import { rangeOf, Scale, Span } from "./scales.js";
import { bestActions, greatest } from "./tables.js";

/**
 * The scale of an overlay: locked over the run, or of this frame.
 * @param {import("./state.js").State} state
 * @param {Grid} grid
 * @param {any} observation  its context is drawn
 * @param {Table | null} table
 * @param {import("./tables.js").RunRange | null} run
 * @param {[number, number, number]} surface
 * @returns {Scale | null}  null where there is nothing to colour
 */
export function scaleFor(state, grid, observation, table, run, surface) {
  const { overlay, since, perFrame, palette } = state;
  if (overlay === "trail" || !table) return null;
  const counts = overlay === "visits";
  if (counts && since === null) {
    const most = perFrame || !run ? spanOf(grid, observation, table, overlay).high : run.visits;
    return new Scale({ low: 0, high: Math.max(1, most), diverging: false }, surface, palette, true);
  }
  // A difference has no range of the run's: that of its frame, around zero.
  if (perFrame || since !== null || !run) {
    const span = spanOf(grid, observation, table, overlay);
    if (since !== null && span.low > span.high) return new Scale(rangeOf(0, 0, true), surface, palette);
    return new Scale(rangeOf(span.low, span.high, since !== null), surface, palette);
  }
  const [low, high] = overlay === "triangles" ? run.q_values : run.value;
  return new Scale(rangeOf(low, high), surface, palette);
}

/** What a state is worth, or how much more than before. @param {Table} table @param {number} observation @param {ArrayLike<number>} row */
export function worth(table, observation, row) {
  return table.value ? table.value(observation) : greatest(row);
}

/** @param {Grid} grid @param {any} observation @param {Table} table @param {Overlay} overlay */
function spanOf(grid, observation, table, overlay) {
  const span = new Span();
  for (let c = 0; c < grid.rows * grid.columns; c += 1) {
    const o = grid.observationAt(c, observation);
    if (overlay === "visits") span.widen([table.visitsOf(o)]);
    else if (table.visitsOf(o) !== 0) {
      const row = table.row(o);
      if (row) span.widen(overlay === "triangles" ? row : [worth(table, o, row)]);
    }
  }
  return span;
}

/**
 * One cell's look. `key` is equal where the pictures are.
 * @typedef {object} Look
 * @property {string | number} key
 * @property {"none" | "unvisited" | "value" | "wedges" | "arrows"} kind
 * @property {number} level      of the whole cell
 * @property {string} label      its number
 * @property {(Wedge | null)[]} wedges  up, right, down, left, stay
 * @property {Arrow[]} arrows
 *
 * @typedef {{level: number, label: string, best: boolean}} Wedge
 * @typedef {{wedge: number | null, share: number}} Arrow  `wedge` null: an action without a direction
 */

/** @type {Look} */
export const NONE = { key: "", kind: "none", level: 0, label: "", wedges: [], arrows: [] };
/** @type {Look} */
export const UNVISITED = { ...NONE, key: "u", kind: "unvisited" };

/**
 * @param {Grid} grid @param {number} cell @param {any} observation @param {Table | null} table
 * @param {Overlay} overlay @param {Scale | null} scale @param {boolean} numbers  whether they have room
 * @param {boolean} difference
 * @returns {Look}
 */
export function lookOf(grid, cell, observation, table, overlay, scale, numbers, difference) {
  if (overlay === "trail" || !table || !scale || grid.kind(cell) === "#") return NONE;
  const o = grid.observationAt(cell, observation);
  const visits = table.visitsOf(o);
  if (overlay === "visits") {
    if (visits === 0) return UNVISITED;
    const level = scale.level(visits);
    const label = numbers ? (difference && visits > 0 ? `+${tally(visits)}` : tally(visits)) : "";
    return { ...NONE, key: `v${level}${label}`, kind: "value", level, label };
  }
  // An unvisited state is not zero: the agent thinks nothing of it.
  const row = visits === 0 ? undefined : table.row(o);
  const value = row ? worth(table, o, row) : Number.NaN;
  if (!row || Number.isNaN(value)) return UNVISITED;
  if (overlay === "triangles") return wedgesOf(grid, row, scale, numbers);
  const level = scale.level(value);
  if (overlay === "value") {
    const label = numbers ? cellText(value) : "";
    return { ...NONE, key: `v${level}${label}`, kind: "value", level, label };
  }
  const best = bestActions(table.now?.row(o) ?? row);
  const arrows = best.map((action) => ({ wedge: grid.wedge(action), share: 1 / best.length }));
  return { ...NONE, key: `p${level}/${best.join()}`, kind: "arrows", level, arrows };
}

/** @param {Grid} grid @param {number[]} row @param {Scale} scale @param {boolean} numbers @returns {Look} */
function wedgesOf(grid, row, scale, numbers) {
  /** @type {(Wedge | null)[]} */
  const wedges = [null, null, null, null, null];
  let key = 0;
  let labels = "";
  const best = bestActions(row);
  for (let action = 0; action < row.length; action += 1) {
    const at = grid.isStay(action) ? 4 : grid.wedge(action);
    if (at === null || Number.isNaN(row[action])) continue;
    const level = scale.level(row[action]);
    const label = numbers ? cellText(row[action]) : "";
    // Where all are alike none is better.
    const isBest = best.length < row.length && row[action] === row[best[0]];
    wedges[at] = { level, label, best: isBest };
    key += (1 + level + (isBest ? 257 : 0)) * 515 ** at;
    labels += `${at}${label},`;
  }
  return { ...NONE, key: numbers ? key + labels : key, kind: "wedges", wedges };
}

/** A count in a cell: 950, 1.2k, 34k, 1.1M. @param {number} n */
export function tally(n) {
  const sign = n < 0 ? "−" : "";
  const size = Math.abs(n);
  if (size < 1000) return `${sign}${size}`;
  const [scaled, letter] = size < 999_500 ? [size / 1e3, "k"] : [size / 1e6, "M"];
  return `${sign}${scaled.toFixed(scaled < 9.95 ? 1 : 0)}${letter}`;
}

/**
 * What a cell says to a screen reader, and in the readout under the pointer.
 * @param {Grid} grid @param {number} cell @param {any} observation @param {Table | null} table
 * @param {{agent?: boolean, difference?: boolean}} [more]
 */
export function cellLabel(grid, cell, observation, table, more = {}) {
  const [row, column] = grid.place(cell);
  const parts = [`row ${row} column ${column}`];
  const stands = { S: "start", G: "goal", "#": "wall", X: "hazard" }[grid.kind(cell)];
  if (stands) parts.push(stands);
  if (more.agent) parts.push("agent");
  const o = grid.observationAt(cell, observation);
  const q = table?.row(o);
  const visits = table?.visitsOf(o) ?? 0;
  if (grid.kind(cell) === "#") return parts.join(", ");
  if (table && visits === 0 && !more.difference) parts.push("not visited");
  else if (q && table && !Number.isNaN(greatest(q))) {
    const acting = table.now?.row(o) ?? q;
    const best = bestActions(acting);
    const names = best.map((action) => grid.actions[action]?.name ?? `action ${action}`);
    parts.push(`best ${names.length === acting.length ? "any" : names.join(" or ")} ${fixed(acting[best[0]], 2)}`);
    if (more.difference) parts.push(`change of value ${fixed(worth(table, o, q), 2)}`);
  }
  return parts.join(", ");
}
