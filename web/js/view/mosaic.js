/**
 * Cells too small for numbers, painted as pixels: boards of thousands of cells of which any
 * number may change between two frames. Colours are written straight into an image; what has
 * a shape of its own is painted once as any other cell, and copied from then on.
 */

import { facets, fillFacets, PARTS } from "../logic/facet.js";
import { lookOf, NONE, UNVISITED } from "../logic/heat.js";
import { pixel } from "../logic/scales.js";
import { paintCell } from "./cell-painter.js";

/** @typedef {import("../logic/heat.js").Look} Look @typedef {import("./grid-painter.js").Scene} Scene */

/** Finer than this nobody sees; a denser screen gets the picture stretched. */
const MOST_RATIO = 2;
const MOST_SPRITES = 2_000;
const KINDS = ".SGX#";
/** Levels are packed into one number, 0 standing for none. */
const BASE = 257;

export class Mosaic {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.layer = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.scratch = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
    this.ratio = 1;
    /** Between a cell and the next, in pixels. */
    this.gap = 0;
    /** Where columns and rows begin, in pixels; one more for the end. @type {[number[], number[]]} */
    this.edges = [[], []];
    /** What each cell shows: from 0 on its levels, below a shape. */
    this.keys = new Float64Array(0);
    /** @type {Map<string, import("../logic/facet.js").Facets>} */
    this.facets = new Map();
    /** Numbers of the shapes that are no plain mark. @type {Map<string, number>} */
    this.shapes = new Map();
    /** @type {Map<string, Uint32Array>} */
    this.sprites = new Map();
    this.image = new ImageData(1, 1);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.row = new Float64Array(0);
    /** Which part of a cell each action has, -1: none. */
    this.parts = new Int8Array(0);
    this.stay = false;
    /** Of the cell at hand: the level of each part, -1 for none, or how else it looks. */
    this.levels = new Int16Array(PARTS);
    this.look = NONE;
    this.colours = new Uint32Array(PARTS);
    /** The moment of the table that the cells show. @type {unknown} */
    this.mark = null;
    /** Of the last painting: left, top, right and bottom of what changed. */
    this.dirty = [0, 0, 0, 0];
    this.painted = 0;
    this.bare = 0;
  }

  /**
   * Starts over: another board, size, scale or theme.
   * @param {import("../logic/grid.js").Grid} grid @param {number} side  in CSS pixels @param {number} ratio
   */
  reset(grid, side, ratio) {
    this.ratio = Math.min(ratio, MOST_RATIO);
    const edges = (/** @type {number} */ n) => Array.from({ length: n + 1 }, (_, i) => Math.round(i * side * this.ratio));
    this.edges = [edges(grid.columns), edges(grid.rows)];
    const [width, height] = [this.edges[0][grid.columns], this.edges[1][grid.rows]];
    if (this.image.width !== width || this.image.height !== height) {
      this.image = new ImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.canvas.width = width;
    this.canvas.height = height;
    this.gap = side < 6 ? 0 : Math.round(this.ratio);
    this.keys = new Float64Array(grid.columns * grid.rows).fill(Number.NaN);
    this.row = new Float64Array(grid.actions.length);
    this.parts = Int8Array.from(grid.actions, (_, action) => (grid.isStay(action) ? 4 : (grid.wedge(action) ?? -1)));
    this.stay = this.parts.includes(4) && side >= 8;
    this.mark = null;
    this.facets.clear();
    this.shapes.clear();
    this.sprites.clear();
  }

  /** Brings what changed up to date. @param {Scene} scene @returns {number} cells painted */
  paint(scene) {
    const { grid, table } = scene;
    this.bare = pixel(scene.tokens.rgb("cell"));
    this.painted = 0;
    this.dirty = [Infinity, Infinity, 0, 0];
    // Where a cell has several states, it is another one's row when the context changes.
    const changed = grid.divisor === 1 && table?.changedSince ? table.changedSince(this.mark) : null;
    this.mark = table?.mark?.() ?? null;
    if (changed && changed.length < this.keys.length) for (const observation of changed) this.#cell(scene, grid.cellOf(observation) ?? -1);
    else for (let cell = 0; cell < this.keys.length; cell += 1) this.#cell(scene, cell);
    const [left, top, right, bottom] = this.dirty;
    if (this.painted > 0) this.layer.putImageData(this.image, 0, 0, left, top, right - left, bottom - top);
    return this.painted;
  }

  /** @param {Scene} scene @param {number} cell */
  #cell(scene, cell) {
    if (cell < 0) return;
    const { grid } = scene;
    const row = Math.floor(cell / grid.columns);
    const column = cell - row * grid.columns;
    const kind = grid.kindAt(row, column);
    const key = this.#key(scene, cell, kind);
    if (this.keys[cell] === key) return;
    this.keys[cell] = key;
    this.painted += 1;
    const [xs, ys] = this.edges;
    const [x, y, right, bottom] = [xs[column], ys[row], xs[column + 1], ys[row + 1]];
    const at = y * this.image.width + x;
    if (key >= 0) this.#fill(at, right - x, bottom - y, scene.scale?.pixels);
    else this.#copy(at, right - x, bottom - y, this.#sprite(scene, kind, right - x, bottom - y));
    const { dirty } = this;
    if (x < dirty[0]) dirty[0] = x;
    if (y < dirty[1]) dirty[1] = y;
    if (right > dirty[2]) dirty[2] = right;
    if (bottom > dirty[3]) dirty[3] = bottom;
  }

  /** What a cell shows, equal where the pictures are; its levels or its look are then at hand. @param {Scene} scene @param {number} cell @param {string} kind */
  #key(scene, cell, kind) {
    const { grid, observation, table, scale, overlay, difference } = scene;
    const plain = kind === ".";
    if (plain && overlay === "triangles" && table?.read && scale) {
      if (this.#known(table.read(grid.observationAt(cell, observation), this.row))) return this.#levelsOf(scale);
      this.look = UNVISITED;
    } else {
      this.look = lookOf(grid, cell, observation, table, overlay, scale, false, difference);
      if (plain && (this.look.kind === "wedges" || this.look.kind === "value")) return this.#levelsIn(this.look);
    }
    if (this.look === NONE || this.look === UNVISITED) return -1 - 2 * KINDS.indexOf(kind) - (this.look === NONE ? 0 : 1);
    const name = kind + this.look.key;
    let shape = this.shapes.get(name);
    if (shape === undefined) {
      shape = -100 - this.shapes.size;
      this.shapes.set(name, shape);
    }
    return shape;
  }

  /** Whether anything is thought of the state whose row was read. @param {number} visits */
  #known(visits) {
    if (visits === 0) return false;
    for (let action = 0; action < this.row.length; action += 1) if (!Number.isNaN(this.row[action])) return true;
    return false;
  }

  /** @param {import("../logic/scales.js").Scale} scale */
  #levelsOf(scale) {
    const { levels, row, parts } = this;
    levels.fill(-1);
    for (let action = 0; action < row.length; action += 1) {
      if (parts[action] >= 0 && !Number.isNaN(row[action])) levels[parts[action]] = scale.level(row[action]);
    }
    return pack(levels);
  }

  /** @param {Look} look */
  #levelsIn(look) {
    const { levels } = this;
    if (look.kind === "value") levels.fill(look.level);
    else for (let part = 0; part < PARTS; part += 1) levels[part] = look.wedges[part]?.level ?? -1;
    return pack(levels);
  }

  /** @param {number} at @param {number} width @param {number} height @param {Uint32Array | undefined} colours */
  #fill(at, width, height, colours) {
    const size = `${width}x${height}`;
    let shape = this.facets.get(size);
    if (!shape) {
      shape = facets(width - this.gap, height - this.gap, this.image.width, this.stay);
      this.facets.set(size, shape);
    }
    for (let part = 0; part < PARTS; part += 1) this.colours[part] = colours?.[this.levels[part]] ?? this.bare;
    fillFacets(this.pixels, at, shape, this.colours);
  }

  /** @param {number} at @param {number} width @param {number} height @param {Uint32Array} sprite */
  #copy(at, width, height, sprite) {
    for (let y = 0; y < height; y += 1) this.pixels.set(sprite.subarray(y * width, (y + 1) * width), at + y * this.image.width);
  }

  /** The pixels of a cell that is not colours alone. @param {Scene} scene @param {string} kind @param {number} width @param {number} height */
  #sprite(scene, kind, width, height) {
    const name = `${kind}${this.look.kind}${this.look.key}/${width}x${height}`;
    const known = this.sprites.get(name);
    if (known) return known;
    if (this.sprites.size >= MOST_SPRITES) this.sprites.clear();
    const { scratch, ratio, gap } = this;
    scratch.canvas.width = width;
    scratch.canvas.height = height;
    scratch.scale(ratio, ratio);
    // Cells leave half a pixel around themselves; here the gap to the next one does.
    paintCell(scratch, -0.5, -0.5, (Math.min(width, height) - gap) / ratio + 1, this.look, kind, scene);
    const pixels = new Uint32Array(scratch.getImageData(0, 0, width, height).data.buffer);
    this.sprites.set(name, pixels);
    return pixels;
  }
}

/** @param {Int16Array} levels */
function pack(levels) {
  let key = 0;
  for (let part = 0; part < PARTS; part += 1) key = key * BASE + levels[part] + 1;
  return key;
}
