/**
 * Drawing a map: choose what to draw, then paint with the mouse or a finger, or walk over
 * the board with the arrow keys and press the letter. The way that solves it shows as dots.
 */

import * as maps from "../logic/maps.js";
import { byId, make, on, setAttribute, setText, show } from "./dom.js";

/** @type {[string, string, string][]} kind, word, key */
const BRUSHES = [
  [maps.WALL, "wall", "w"],
  [maps.FREE, "free", "f"],
  [maps.START, "start", "s"],
  [maps.GOAL, "goal", "g"],
  [maps.HAZARD, "hazard", "h"],
];
const STORE = "reel.maps";

export class MapEditor {
  /* Made in #build. */
  /** @type {HTMLElement} */ board = /** @type {any} */ (null);
  /** @type {HTMLElement} */ why = /** @type {any} */ (null);
  /** @type {HTMLElement[]} */ brushes = [];
  /** @type {HTMLInputElement} */ rows = /** @type {any} */ (null);
  /** @type {HTMLInputElement} */ columns = /** @type {any} */ (null);
  /** @type {Record<"goal_reward" | "hazard_reward" | "step_reward", HTMLInputElement>} */ rewards = /** @type {any} */ (null);
  /** @type {HTMLInputElement} */ named = /** @type {any} */ (null);
  /** @type {HTMLSelectElement} */ saved = /** @type {any} */ (null);

  /** @param {{toast: (text: string) => void, changed: () => void}} acts */
  constructor(acts) {
    this.acts = acts;
    this.map = maps.blank();
    this.brush = maps.WALL;
    this.at = [0, 0];
    this.drawing = false;
    this.#build();
    this.set(this.map);
  }

  /** @param {maps.WorldMap} map */
  set(map) {
    this.map = map;
    this.#draw();
    this.acts.changed();
  }

  #build() {
    this.board = make("div", { class: "board", role: "grid", tabindex: "0", "data-testid": "map-board", "aria-label": "The map. Arrow keys move; w, f, s, g and h draw wall, free, start, goal and hazard." });
    this.why = make("p", { class: "why", role: "status", "data-testid": "map-problem" });
    this.brushes = BRUSHES.map(([kind, word, key]) => {
      const button = make("button", { type: "button", "data-testid": `brush-${word}`, title: `${word} (${key})` }, [make("i", { class: "tile", "data-kind": kind }), word]);
      on(button, "click", () => {
        this.brush = kind;
        this.#draw();
      });
      return button;
    });
    const size = (/** @type {"rows" | "columns"} */ name) => {
      const field = /** @type {HTMLInputElement} */ (make("input", { type: "number", min: "2", max: String(maps.LARGEST), "data-testid": `map-${name}` }));
      on(field, "change", () => this.set(maps.resize(this.map, Number(this.rows.value), Number(this.columns.value))));
      return field;
    };
    this.rows = size("rows");
    this.columns = size("columns");
    const reward = (/** @type {"goal_reward" | "hazard_reward" | "step_reward"} */ name) => {
      const field = /** @type {HTMLInputElement} */ (make("input", { inputmode: "decimal", "data-testid": `map-${name}` }));
      on(field, "input", () => {
        this.map = { ...this.map, [name]: field.value.trim() === "" ? Number.NaN : Number(field.value) };
        this.#tell();
        this.acts.changed();
      });
      return field;
    };
    this.rewards = { goal_reward: reward("goal_reward"), hazard_reward: reward("hazard_reward"), step_reward: reward("step_reward") };
    this.named = /** @type {HTMLInputElement} */ (make("input", { placeholder: "name of the map", "aria-label": "Name of the map", maxlength: "40", "data-testid": "map-name" }));
    this.saved = /** @type {HTMLSelectElement} */ (make("select", { "aria-label": "Saved maps", "data-testid": "map-saved" }));
    const button = (/** @type {string} */ text, /** @type {string} */ id, /** @type {() => void} */ act) => {
      const made = make("button", { type: "button", text, "data-testid": id });
      on(made, "click", act);
      return made;
    };
    const field = (/** @type {string} */ text, /** @type {HTMLElement} */ input) => make("label", { class: "small-field" }, [make("span", { text }), input]);
    byId("map-editor").append(
      make("div", { class: "brushes", role: "group", "aria-label": "What to draw" }, this.brushes),
      this.board,
      this.why,
      make("div", { class: "sizes" }, [field("rows", this.rows), field("columns", this.columns), field("goal", this.rewards.goal_reward), field("hazard", this.rewards.hazard_reward), field("step", this.rewards.step_reward)]),
      make("div", { class: "keep" }, [this.named, button("Save map", "map-save", () => this.#save()), this.saved, button("Copy link", "map-link", () => void this.#share()), button("Clear", "map-clear", () => this.set(maps.blank(this.map.desc.length, this.map.desc[0].length)))]),
    );
    this.#events();
    this.#list();
  }

  #events() {
    const cellAt = (/** @type {PointerEvent} */ event) => {
      const found = document.elementFromPoint(event.clientX, event.clientY);
      if (!(found instanceof HTMLElement) || found.parentElement !== this.board) return;
      this.#paint(Number(found.dataset.row), Number(found.dataset.column), this.brush);
    };
    on(this.board, "pointerdown", (event) => {
      this.drawing = true;
      cellAt(event);
    });
    on(this.board, "pointermove", (event) => this.drawing && cellAt(event));
    on(window, "pointerup", () => {
      this.drawing = false;
    });
    on(this.board, "keydown", (event) => {
      const moves = /** @type {Record<string, [number, number]>} */ ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] });
      const move = moves[event.key];
      const kind = event.key === " " ? this.brush : BRUSHES.find(([, , key]) => key === event.key.toLowerCase())?.[0];
      if ((!move && !kind) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      if (kind) return this.#paint(this.at[0], this.at[1], kind);
      const [rows, columns] = [this.map.desc.length, this.map.desc[0].length];
      this.at = [Math.max(0, Math.min(rows - 1, this.at[0] + move[0])), Math.max(0, Math.min(columns - 1, this.at[1] + move[1]))];
      this.#draw();
    });
    on(this.saved, "change", () => {
      const text = stored()[this.saved.value];
      if (text) this.set(maps.parse(text));
      this.named.value = this.saved.value;
    });
  }

  /** @param {number} row @param {number} column @param {string} kind */
  #paint(row, column, kind) {
    this.at = [row, column];
    if (this.map.desc[row]?.[column] === kind) return;
    this.set(maps.paint(this.map, row, column, kind));
  }

  #draw() {
    const { desc } = this.map;
    const columns = desc[0].length;
    this.board.style.setProperty("--columns", String(columns));
    this.board.style.setProperty("--rows", String(desc.length));
    if (this.board.children.length !== desc.length * columns || this.board.dataset.columns !== String(columns)) {
      this.board.dataset.columns = String(columns);
      const cells = desc.flatMap((line, row) => [...line].map((_, column) => make("i", { class: "tile", role: "gridcell", "data-row": String(row), "data-column": String(column) })));
      this.board.replaceChildren(...cells);
    }
    const way = new Set((maps.shortest(this.map) ?? []).map(([row, column]) => row * columns + column));
    [...this.board.children].forEach((cell, index) => {
      const [row, column] = [Math.floor(index / columns), index % columns];
      setAttribute(cell, "data-kind", desc[row][column]);
      setAttribute(cell, "data-way", way.has(index) ? "" : null);
      setAttribute(cell, "data-at", row === this.at[0] && column === this.at[1] ? "" : null);
    });
    BRUSHES.forEach(([kind], index) => setAttribute(this.brushes[index], "aria-pressed", String(kind === this.brush)));
    this.rows.value = String(desc.length);
    this.columns.value = String(columns);
    for (const [name, field] of Object.entries(this.rewards)) {
      const value = this.map[/** @type {"goal_reward"} */ (name)];
      if (Number.isFinite(value) && Number(field.value) !== value) field.value = String(value);
      if (field.value === "" && Number.isFinite(value)) field.value = String(value);
    }
    this.#tell();
  }

  #tell() {
    const wrong = maps.problem(this.map);
    const way = maps.shortest(this.map);
    setText(this.why, wrong ?? `Can be solved in ${(way?.length ?? 1) - 1} steps.`);
    setAttribute(this.why, "data-wrong", wrong ? "" : null);
  }

  #save() {
    const name = this.named.value.trim();
    const wrong = maps.problem(this.map) ?? (name ? null : "a map to save needs a name");
    if (wrong) return this.acts.toast(wrong);
    try {
      localStorage.setItem(STORE, JSON.stringify({ ...stored(), [name]: maps.write(this.map) }));
    } catch {
      return this.acts.toast("this browser does not keep maps; copy the link instead");
    }
    this.#list();
    this.saved.value = name;
    this.acts.toast(`Map saved as ${name} in this browser`);
  }

  async #share() {
    const wrong = maps.problem(this.map);
    if (wrong) return this.acts.toast(wrong);
    const link = new URL(document.baseURI);
    link.hash = "";
    link.search = new URLSearchParams({ map: maps.write(this.map) }).toString();
    try {
      await navigator.clipboard.writeText(link.href);
      this.acts.toast("Link to this map copied");
    } catch {
      this.acts.toast(link.href);
    }
  }

  #list() {
    const names = Object.keys(stored()).sort();
    show(this.saved, names.length > 0);
    this.saved.replaceChildren(make("option", { value: "", text: "saved maps" }), ...names.map((name) => make("option", { value: name, text: name })));
  }
}

/** @returns {Record<string, string>} the maps that this browser keeps, by name */
function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}
