/**
 * The geometry of a grid run: from an observation to a cell, from an action to a
 * direction, from cells to what stands in them. Everything comes from the presentation;
 * no environment is known by name.
 *
 * @typedef {import("../types.js").Presentation} Presentation
 */

import { value as anyText } from "./format.js";

export class Grid {
  /** @param {Presentation} presentation */
  constructor(presentation) {
    const cells = presentation.cells ?? [];
    this.rows = presentation.rows ?? cells.length;
    this.columns = presentation.columns ?? cells[0]?.length ?? 1;
    this.cells = cells;
    this.divisor = presentation.observation?.divisor ?? 1;
    this.walls = presentation.walls ?? [];
    this.labels = presentation.labels ?? [];
    this.actions = presentation.actions ?? [];
    this.contexts = presentation.markers ?? [];
  }

  /** @param {unknown} observation @returns {number | null} */
  cellOf(observation) {
    if (typeof observation !== "number" || !Number.isFinite(observation)) return null;
    const cell = Math.floor(observation / this.divisor);
    return cell >= 0 && cell < this.rows * this.columns ? cell : null;
  }

  /** @param {number} cell @returns {[number, number]} row, column */
  place(cell) {
    return [Math.floor(cell / this.columns), cell % this.columns];
  }

  /** What is drawn in a cell: "S", "G", "#", "X" or ".". @param {number} cell */
  kind(cell) {
    return this.kindAt(Math.floor(cell / this.columns), cell % this.columns);
  }

  /** @param {number} row @param {number} column */
  kindAt(row, column) {
    return this.cells[row]?.[column] ?? ".";
  }

  /** Passengers, destinations and their like for this observation. @param {unknown} observation */
  markers(observation) {
    if (typeof observation !== "number" || this.contexts.length === 0) return [];
    return this.contexts[observation % this.divisor] ?? [];
  }

  /** The observation that a cell has in the context of another one. @param {number} cell @param {unknown} like */
  observationAt(cell, like) {
    const context = typeof like === "number" ? like % this.divisor : 0;
    return cell * this.divisor + context;
  }

  /** "row 2, column 3" @param {number} cell */
  describe(cell) {
    const [row, column] = this.place(cell);
    return `row ${row}, column ${column}`;
  }

  /** Whether an action means to stay where one is. @param {number} action */
  isStay(action) {
    const vector = this.actions[action]?.vector;
    return Array.isArray(vector) && vector[0] === 0 && vector[1] === 0;
  }

  /** Which wedge of a cell an action points into: up, right, down, left as 0..3, or null. @param {number} action */
  wedge(action) {
    const vector = this.actions[action]?.vector;
    if (!vector) return null;
    const [dr, dc] = vector;
    if (dr === 0 && dc === 0) return null;
    return Math.abs(dr) >= Math.abs(dc) ? (dr < 0 ? 0 : 2) : dc > 0 ? 1 : 3;
  }
}

/** The action that has the first Q-value, name and count: a Discrete space need not begin at 0. @param {import("../types.js").Run | null} run @returns {number} */
export function firstAction(run) {
  return /** @type {any} */ (run)?.action_space?.start ?? 0;
}

/** More of them than this are no list to look at. */
const MOST_ACTIONS = 64;

/**
 * The actions that can be counted: those with names, else those of a Discrete space.
 * @param {import("../types.js").Run | null} run @returns {{name: string}[]}
 */
export function actionsOf(run) {
  const named = run?.presentation?.actions ?? [];
  const space = /** @type {any} */ (run)?.action_space;
  if (named.length > 0 || space?.type !== "Discrete" || !(space.n <= MOST_ACTIONS)) return named;
  return Array.from({ length: space.n }, (_, action) => ({ name: `action ${firstAction(run) + action}` }));
}

/**
 * The name of an action, or its number where it has none.
 * @param {Presentation | undefined} presentation @param {any} action
 * @param {number} [first]  the action that is named first
 */
export function actionName(presentation, action, first = 0) {
  if (action === undefined || action === null) return null;
  if (typeof action !== "number") return anyText(action);
  return presentation?.actions?.[action - first]?.name ?? `action ${action}`;
}
