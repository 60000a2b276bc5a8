/**
 * The grid for those who do not see it, and for the keyboard: a `role=grid` of cells with
 * labels, laid over the picture, one of which can be reached by Tab and moved from by the
 * arrow keys. The pointer marks a cell in the same way.
 *
 * Labels of all cells follow while the picture rests, at most once a second; that of the
 * cell in focus always.
 *
 * @typedef {object} Shown
 * @property {any} observation
 * @property {number | null} cell      the agent's
 * @property {import("../logic/heat.js").Table | null} table
 * @property {boolean} difference
 * @property {boolean} resting
 */

import { cellLabel } from "../logic/heat.js";
import { byId, make, on, setAttribute, show } from "./dom.js";

const EVERY_MS = 1_000;

export class GridAccess {
  /** @param {() => void} redraw */
  constructor(redraw) {
    this.redraw = redraw;
    this.host = byId("stage-grid");
    /** @type {import("../logic/grid.js").Grid | null} */
    this.grid = null;
    /** @type {HTMLElement[]} */
    this.cells = [];
    this.current = 0;
    this.focused = false;
    /** @type {number | null} */
    this.pointed = null;
    this.labelled = -Infinity;
    this.place = "";
    /** @type {{x: number, y: number, cell: number} | null} */
    this.frame = null;
    on(this.host, "keydown", (event) => this.#key(event));
    on(this.host, "focusin", (event) => this.#focus(event));
    on(this.host, "focusout", () => {
      this.focused = false;
      redraw();
    });
    const box = byId("stage-box");
    on(box, "pointermove", (event) => this.#point(event, box));
    on(box, "pointerleave", () => {
      this.pointed = null;
      redraw();
    });
  }

  /** The cell with the focus or the pointer on it. */
  get marked() {
    return this.pointed ?? (this.focused ? this.current : null);
  }

  /** @param {import("../logic/grid.js").Grid | null} grid */
  setGrid(grid) {
    this.grid = grid;
    this.cells = [];
    this.current = 0;
    this.focused = false;
    this.pointed = null;
    this.labelled = -Infinity;
    this.place = "";
    this.host.replaceChildren();
    show(this.host, grid !== null);
    setAttribute(byId("stage"), "aria-hidden", grid ? "true" : null);
    if (!grid) return;
    setAttribute(this.host, "aria-label", `Grid of ${grid.rows} rows and ${grid.columns} columns`);
    for (let row = 0; row < grid.rows; row += 1) {
      const line = make("div", { role: "row" });
      for (let column = 0; column < grid.columns; column += 1) {
        const cell = make("div", { role: "gridcell", tabindex: "-1", "data-cell": String(this.cells.length) });
        this.cells.push(cell);
        line.append(cell);
      }
      this.host.append(line);
    }
    setAttribute(this.cells[0], "tabindex", "0");
  }

  /** @param {{x: number, y: number, cell: number}} frame @param {Shown} shown */
  draw(frame, shown) {
    const { grid, host } = this;
    if (!grid) return;
    this.frame = frame;
    const place = `${frame.x},${frame.y},${frame.cell}`;
    if (place !== this.place) {
      this.place = place;
      host.style.left = `${frame.x}px`;
      host.style.top = `${frame.y}px`;
      host.style.width = `${frame.cell * grid.columns}px`;
      host.style.height = `${frame.cell * grid.rows}px`;
    }
    if (this.focused) this.#label(this.current, shown);
    else if (shown.cell !== null && shown.resting) this.#rove(shown.cell);
    this.last = shown;
    const now = performance.now();
    if (!shown.resting) return;
    if (now - this.labelled < EVERY_MS) {
      this.later ??= setTimeout(() => {
        this.later = undefined;
        this.redraw();
      }, EVERY_MS);
      return;
    }
    this.labelled = now;
    for (let c = 0; c < this.cells.length; c += 1) this.#label(c, shown);
  }

  /** @type {Shown | undefined} */
  last = undefined;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  later = undefined;

  /** @param {number} cell @param {Shown} shown */
  #label(cell, shown) {
    const grid = /** @type {import("../logic/grid.js").Grid} */ (this.grid);
    const more = { agent: cell === shown.cell, difference: shown.difference };
    setAttribute(this.cells[cell], "aria-label", cellLabel(grid, cell, shown.observation, shown.table, more));
  }

  /** @param {number} cell */
  #rove(cell) {
    if (cell === this.current || !this.cells[cell]) return;
    setAttribute(this.cells[this.current], "tabindex", "-1");
    this.current = cell;
    setAttribute(this.cells[cell], "tabindex", "0");
  }

  /** @param {FocusEvent} event */
  #focus(event) {
    const cell = Number(/** @type {HTMLElement} */ (event.target).dataset.cell);
    if (!Number.isInteger(cell)) return;
    this.#rove(cell);
    if (this.last) this.#label(cell, this.last);
    this.focused = true;
    this.redraw();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { grid } = this;
    if (!grid || event.altKey || event.metaKey) return;
    const [row, column] = grid.place(this.current);
    const { rows, columns } = grid;
    /** @type {Record<string, [number, number]>} */
    const moves = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      Home: [event.ctrlKey ? 0 : row, 0],
      End: [event.ctrlKey ? rows - 1 : row, columns - 1],
      PageUp: [0, column],
      PageDown: [rows - 1, column],
    };
    const to = moves[event.key];
    if (!to || event.shiftKey) return;
    // In the grid arrows walk from cell to cell; elsewhere on the page they step through time.
    event.preventDefault();
    event.stopPropagation();
    const cell = Math.max(0, Math.min(rows - 1, to[0])) * columns + Math.max(0, Math.min(columns - 1, to[1]));
    this.#rove(cell);
    this.cells[cell].focus({ preventScroll: true });
  }

  /** @param {PointerEvent} event @param {HTMLElement} box */
  #point(event, box) {
    const { grid, frame } = this;
    if (!grid || !frame || event.pointerType === "touch") return;
    const { left, top } = box.getBoundingClientRect();
    const column = Math.floor((event.clientX - left - frame.x) / frame.cell);
    const row = Math.floor((event.clientY - top - frame.y) / frame.cell);
    const inside = row >= 0 && row < grid.rows && column >= 0 && column < grid.columns;
    const cell = inside ? row * grid.columns + column : null;
    if (cell === this.pointed) return;
    this.pointed = cell;
    this.redraw();
  }
}
