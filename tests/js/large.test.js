/** What large boards rest on: rows read without objects, what may have changed, cells as pixels. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EpisodeCache } from "../../web/js/logic/cache.js";
import { facets, fillFacets } from "../../web/js/logic/facet.js";
import { count } from "../../web/js/logic/format.js";
import { pixel } from "../../web/js/logic/scales.js";
import { EpisodeTable, TableAt } from "../../web/js/logic/tables.js";
import { column } from "./wire.js";

const STATES = 7;
const FIRST = 50;

/** A walk over six states, each step of which adds to what is thought of the state it left. */
function walk(length) {
  let seed = 9;
  const next = (most) => (seed = (seed * 1103515245 + 12345) % 2147483648) % most;
  const table = Array.from({ length: STATES }, () => [0, 0]);
  const [states, rows] = [[], []];
  for (let t = 0; t < length; t += 1) {
    const state = next(STATES - 1);
    states.push(state);
    rows.push([...table[state]]);
    table[state][next(2)] += 1;
  }
  return { states, rows, table };
}

const { states, rows, table } = walk(60);

function cacheOf(spans, length = states.length) {
  const cache = new EpisodeCache();
  cache.start({ episode: 4, length, from: 0, return_before: 0 });
  for (const [from, to] of spans) {
    cache.add({
      episode: 4, from, count: to - from,
      columns: {
        observation: column("<i8", states.slice(from, to)),
        q_values: column("<f8", rows.slice(from, to), [2]),
      },
    });
  }
  return cache;
}

const baseAt = (step) =>
  new TableAt({
    run: "r", episode: 4, step: FIRST + step, start: 0, exact: true, range: { q_values: [0, 1], value: [0, 1], visits: 9 },
    columns: { q_values: column("<f8", table.map((row) => [...row]), [2]), visits: column("<i8", table.map(([a, b]) => a + b)) },
  });

const shown = (of, state) => JSON.stringify([of.row(state) ?? null, of.visitsOf(state)]);

test("a row read into an array is the row, known or not, with and without a base", () => {
  const into = new Float64Array(2);
  for (const base of [null, baseAt(60), baseAt(20)]) {
    for (const spans of [[[0, 60]], [[0, 25]], [[10, 40]]]) {
      const cache = cacheOf(spans);
      const acted = new EpisodeTable();
      acted.base = base;
      for (let step = spans[0][0]; step < spans[0][1]; step += 1) {
        acted.moveTo(cache, FIRST, step);
        for (let state = 0; state < STATES + 1; state += 1) {
          const row = acted.row(state);
          assert.equal(acted.read(state, into), acted.visitsOf(state));
          assert.deepEqual([...into], row ?? [Number.NaN, Number.NaN]);
        }
      }
    }
  }
});

test("between any two moments nothing is another but what is said to be", () => {
  const acted = new EpisodeTable();
  acted.base = baseAt(60);
  const cache = cacheOf([[0, 60]]);
  const looks = [];
  const marks = [];
  for (let step = 0; step <= 59; step += 1) {
    acted.moveTo(cache, FIRST, step);
    marks.push(acted.mark());
    looks.push(Array.from({ length: STATES }, (_, state) => shown(acted, state)));
  }
  let most = 0;
  for (let to = 0; to <= 59; to += 1) {
    acted.moveTo(cache, FIRST, to);
    for (let from = 0; from <= 59; from += 1) {
      const changed = acted.changedSince(marks[from]);
      looks[to].forEach((look, state) => assert.ok(look === looks[from][state] || changed.includes(state), `${from} to ${to}: ${state}`));
      most = Math.max(most, changed.length);
    }
  }
  assert.ok(most < 60);
});

test("steps that come later change what they tell of; another base or episode may change all", () => {
  const cache = cacheOf([[0, 20]]);
  const acted = new EpisodeTable();
  acted.base = baseAt(0);
  acted.moveTo(cache, FIRST, 10);
  const before = Array.from({ length: STATES }, (_, state) => shown(acted, state));
  const mark = acted.mark();
  cache.add({ episode: 4, from: 20, count: 20, columns: { observation: column("<i8", states.slice(20, 40)), q_values: column("<f8", rows.slice(20, 40), [2]) } });
  acted.moveTo(cache, FIRST, 10);
  const changed = acted.changedSince(mark);
  before.forEach((look, state) => assert.ok(look === shown(acted, state) || changed.includes(state)));
  assert.deepEqual(changed, states.slice(20, 40));
  acted.base = baseAt(60);
  assert.equal(acted.changedSince(mark), null);
  const other = cacheOf([[0, 40]]);
  acted.base = mark.base;
  acted.moveTo(other, FIRST, 10);
  assert.equal(acted.changedSince(mark), null, "another cache");
  assert.equal(acted.changedSince(null), null);
  const pinned = baseAt(3);
  assert.deepEqual([pinned.changedSince(pinned.mark()), pinned.changedSince(acted.mark())], [[], null]);
});

test("a small cell is divided among its wedges to the last pixel", () => {
  for (const [width, height, stay] of [[11, 11, false], [12, 11, true], [4, 4, false], [23, 23, true]]) {
    const stride = 40;
    const shape = facets(width, height, stride, stay);
    const pixels = new Uint32Array(stride * height + 5);
    const colours = Uint32Array.from([[1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0], [5, 0, 0]].map((rgb) => pixel(rgb)));
    fillFacets(pixels, 5, shape, colours);
    const red = (x, y) => pixels[5 + y * stride + x] & 255;
    const [mx, my] = [Math.floor(width / 2), Math.floor(height / 2)];
    assert.deepEqual([red(mx, 0), red(width - 1, my), red(mx, height - 1), red(0, my)], [1, 2, 3, 4]);
    if (stay) assert.equal(red(mx, my), 5);
    for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) assert.equal(pixels[5 + y * stride + x] >>> 24, 255, `${x}, ${y} is painted`);
    assert.equal(pixels.filter((p) => p !== 0).length, width * height, "and nothing beside it");
  }
});

test("a pixel between two wedges has half of each colour", () => {
  const pixels = new Uint32Array(1);
  const [a, b] = [pixel([200, 10, 255]), pixel([100, 30, 1])];
  fillFacets(pixels, 0, { pure: [0, 0, 0, 0, 0].map(() => new Int32Array(0)), mixed: Int32Array.of(0), sides: Uint8Array.of(0, 1) }, Uint32Array.of(a, b, 0, 0, 0));
  assert.deepEqual([...new Uint8Array(pixels.buffer)], [150, 20, 128, 255]);
});

test("counts are grouped by thousands, with a true minus", () => {
  assert.deepEqual([0, -0.4, 999, 1000, 1234567, -1234, 1e15, Number.NaN].map(count), ["0", "0", "999", "1,000", "1,234,567", "−1,234", "1,000,000,000,000,000", "–"]);
});
