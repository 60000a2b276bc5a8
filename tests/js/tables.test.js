/** Q-tables as acted, pinned and as a change; what overlays make of them; time travel. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EpisodeCache } from "../../web/js/logic/cache.js";
import { Grid } from "../../web/js/logic/grid.js";
import { cellLabel, lookOf, scaleFor, tally } from "../../web/js/logic/heat.js";
import { FRAMES, modeOf, nextMoment, setMode, typed } from "../../web/js/logic/learning.js";
import { lanesOf } from "../../web/js/logic/looks.js";
import { Desk, Moments } from "../../web/js/logic/moments.js";
import { initialState } from "../../web/js/logic/state.js";
import { bestActions, Difference, EpisodeTable, greatest, TableAt } from "../../web/js/logic/tables.js";
import { column } from "./wire.js";

const STATES = 6;

/** Learning that adds 1 to Q(s, a) at each step; what the table was before each step. */
function learn(path) {
  const table = Array.from({ length: STATES }, () => [0, 0]);
  const tables = [];
  path.forEach(([state, action]) => {
    tables.push(table.map((row) => [...row]));
    table[state][action] += 1;
  });
  tables.push(table.map((row) => [...row]));
  return tables;
}

const PATH = [[0, 1], [1, 1], [0, 0], [2, 1], [2, 0], [1, 0], [3, 1], [0, 1]];
const TABLES = learn(PATH);
const FIRST = 100;

const message = (table, step, more = {}) => ({
  run: "r", episode: 4, step, start: 0, exact: true,
  range: { q_values: [0, 3], value: [0, 3], visits: 3 },
  columns: {
    q_values: column("<f8", table, [2]),
    visits: column("<i8", table.map((row) => row[0] + row[1])),
  },
  ...more,
});

function episode(from = 0, to = PATH.length, length = PATH.length) {
  const cache = new EpisodeCache();
  cache.start({ episode: 4, length, from, return_before: 0 });
  const rows = PATH.slice(from, to);
  cache.add({
    episode: 4, from, count: rows.length,
    columns: {
      observation: column("<i8", rows.map(([s]) => s)),
      action: column("<i8", rows.map(([, a]) => a)),
      reward: column("<f8", rows.map(() => 0)),
      q_values: column("<f8", rows.map(([s], i) => TABLES[from + i][s]), [2]),
    },
  });
  return cache;
}

const rowsOf = (table) => Array.from({ length: STATES }, (_, o) => table.row(o));

test("as acted: the table of the end and the steps give the table at every step, back and forth", () => {
  const acted = new EpisodeTable();
  acted.base = new TableAt(message(TABLES[PATH.length], FIRST + PATH.length));
  const cache = episode();
  for (const step of [0, 3, 8, 7, 1, 5, 2, 6, 4]) {
    acted.moveTo(cache, FIRST, step);
    assert.deepEqual(rowsOf(acted), TABLES[step], `step ${step}`);
    assert.equal(acted.exact, true);
    const visits = TABLES[step].map(([a, b]) => a + b);
    assert.deepEqual(visits.map((_, o) => acted.visitsOf(o)), visits);
  }
});

test("as acted: with only some steps here it says that it is not exact, and shows nothing of later", () => {
  const acted = new EpisodeTable();
  acted.base = new TableAt(message(TABLES[0], FIRST));
  const cache = episode(0, 4);
  acted.moveTo(cache, FIRST, 4);
  assert.equal(acted.exact, false);
  assert.deepEqual(acted.row(0), [0, 1], "the last visit's row, not the start's");
  assert.deepEqual(acted.row(3), [0, 0]);
  assert.equal(acted.visitsOf(0), 2);
  acted.base = new TableAt(message(TABLES[4], FIRST + 4));
  assert.deepEqual(rowsOf(acted), TABLES[4]);
  assert.equal(acted.exact, true);
});

test("tables: a row of NaN is nothing known, and neither is what lies outside", () => {
  const table = new TableAt(message([[null, null], ...TABLES[8].slice(1)], 8, { start: 10 }));
  assert.equal(table.row(10), undefined);
  assert.deepEqual(table.row(11), TABLES[8][1]);
  assert.equal(table.row(9), undefined);
  assert.equal(table.row(16), undefined);
  assert.equal(greatest([Number.NaN, -2, -1]), -1);
  assert.ok(Number.isNaN(greatest([Number.NaN])));
  assert.deepEqual(bestActions([1, Number.NaN, 1]), [0, 2]);
});

test("a change is what a moment has over another", () => {
  const change = new Difference(new TableAt(message(TABLES[8], 108)), new TableAt(message(TABLES[3], 103)));
  assert.deepEqual(change.row(2), [1, 1]);
  assert.equal(change.visitsOf(0), 1);
  assert.equal(change.value(0), 1, "of max Q: from 1 to 2");
});

function asker() {
  const asked = [];
  let clock = 0;
  const moments = new Moments((data) => asked.push(data), () => clock);
  moments.setRun("r");
  const state = { ...initialState(), run: { run: "r" }, episode: 4, length: 8, info: { episode: 4, first_step: FIRST } };
  return { asked, moments, state, wait: (ms) => { clock += ms; } };
}

test("moments: one question at a time, and answers are kept", () => {
  const { asked, moments, state } = asker();
  Object.assign(state, { moment: 2, episode: null });
  assert.equal(moments.table(state, episode(), 0), null);
  state.moment = 3;
  moments.table(state, episode(), 0);
  assert.deepEqual(asked, [{ run: "r", episode: 2, step: 0 }]);
  assert.equal(moments.receive(message(TABLES[2], 2, { id: 99 })), false, "somebody else's");
  assert.equal(moments.receive(message(TABLES[2], 2, { id: 1 })), true);
  moments.table(state, episode(), 0);
  moments.receive(message(TABLES[3], 3, { id: 2 }));
  assert.deepEqual(rowsOf(moments.table(state, episode(), 0)), TABLES[3]);
  Object.assign(state, { moment: 2, episode: null });
  assert.deepEqual(rowsOf(moments.table(state, episode(), 0)), TABLES[2]);
  assert.equal(asked.length, 2);
});

test("moments: while the next is on its way the last stays; of another run nothing stays", () => {
  const { moments, state } = asker();
  Object.assign(state, { moment: 2, episode: null });
  moments.table(state, episode(), 0);
  moments.receive(message(TABLES[2], 2, { id: 1 }));
  moments.table(state, episode(), 0);
  state.moment = 7;
  assert.deepEqual(rowsOf(moments.table(state, episode(), 0)), TABLES[2]);
  moments.setRun("other");
  assert.equal(moments.table(state, episode(), 0), null);
});

test("moments: a finished episode asks for its end once, one that plays now and then", () => {
  const { asked, moments, state, wait } = asker();
  for (const step of [0, 1, 2]) moments.table(state, episode(), step);
  assert.deepEqual(asked, [{ run: "r", episode: 4, step: 8 }]);
  moments.receive(message(TABLES[8], 108, { id: 1 }));
  assert.deepEqual(rowsOf(moments.table(state, episode(), 5)), TABLES[5]);

  Object.assign(state, { playing: true, episode: 4, length: null });
  const running = episode(0, 3, null);
  moments.table(state, running, 2);
  assert.equal(asked.length, 1, "asked a moment ago");
  wait(500);
  moments.table(state, running, 2);
  assert.deepEqual(asked[1], { run: "r", episode: 4, step: 2 });
});

test("moments: what cannot be had is not asked for again", () => {
  const { asked, moments, state } = asker();
  Object.assign(state, { moment: 2, episode: null });
  moments.table(state, episode(), 0);
  assert.equal(moments.refuse({ id: 7, code: "bad_field" }), false);
  assert.equal(moments.refuse({ id: 1, code: "no_qtable", message: "none" }), true);
  moments.table(state, episode(), 0);
  assert.equal(asked.length, 1);
  assert.equal(moments.refused, "none");
});

test("moments: each stage is handed the answers to its own questions, and shares what is known", () => {
  const asked = [];
  const desk = new Desk((data) => asked.push(data), () => 0);
  const { state } = asker();
  const [one, two] = [desk.moments(), desk.moments()];
  for (const moments of [one, two]) moments.setRun("r");
  one.table({ ...state, episode: null, moment: 2 }, episode(), 0);
  two.table({ ...state, episode: null, moment: 3 }, episode(), 0);
  assert.equal(desk.answer({ id: 9, code: "internal" }), false);
  assert.equal(desk.answer(message(TABLES[3], 3, { id: 2 })), true);
  assert.equal(desk.answer(message(TABLES[2], 2, { id: 1 })), true);
  assert.deepEqual(rowsOf(two.table({ ...state, episode: null, moment: 3 }, episode(), 0)), TABLES[3]);
  assert.deepEqual(rowsOf(two.table({ ...state, episode: null, moment: 2 }, episode(), 0)), TABLES[2]);
  assert.equal(asked.length, 2);
});

test("moments: a question that was lost with the connection is asked again", () => {
  const asked = [];
  const desk = new Desk((data) => asked.push(data), () => 0);
  const { state } = asker();
  const moments = desk.moments();
  moments.setRun("r");
  Object.assign(state, { moment: 2, episode: null });
  moments.table(state, episode(), 0);
  moments.setRun("r");
  moments.table(state, episode(), 0);
  assert.equal(asked.length, 1, "the same run again changes nothing");
  desk.forget();
  moments.table(state, episode(), 0);
  assert.equal(asked.length, 2);
});

const GRID = new Grid({
  kind: "grid", rows: 1, columns: 6, cells: ["S..#.G"],
  actions: [{ name: "left", vector: [0, -1] }, { name: "right", vector: [0, 1] }],
});
const look = (overlay, cell, table, more = {}) => {
  const state = { ...initialState(), overlay, ...more };
  const scale = scaleFor(state, GRID, 0, table, table.range ?? null, [0, 0, 0]);
  return { scale, ...lookOf(GRID, cell, 0, table, overlay, scale, true, state.since !== null) };
};

test("overlays: unvisited is not zero, a wall is a wall", () => {
  const table = new TableAt(message(TABLES[8], 8));
  for (const overlay of ["triangles", "value", "policy", "visits"]) {
    assert.equal(look(overlay, 4, table).kind, "unvisited", overlay);
    assert.equal(look(overlay, 3, table).kind, "none", overlay);
  }
  assert.equal(look("trail", 0, table).kind, "none");
});

test("overlays: value, wedges, arrows and visits of a cell", () => {
  const table = new TableAt(message(TABLES[8], 8));
  const value = look("value", 0, table);
  assert.deepEqual([value.label, value.level], ["2.0", value.scale.level(2)]);
  const wedges = look("triangles", 0, table).wedges;
  assert.deepEqual([wedges[3].label, wedges[3].best, wedges[1].label, wedges[1].best], ["1.0", false, "2.0", true]);
  assert.deepEqual(look("policy", 0, table).arrows, [{ wedge: 1, share: 1 }]);
  assert.deepEqual(look("policy", 2, table).arrows.map(({ wedge }) => wedge), [3, 1], "ties draw all");
  assert.equal(look("triangles", 2, table).wedges.some((wedge) => wedge?.best), false, "where all are alike none is best");
  assert.equal(look("visits", 0, table).label, "3");
});

test("overlays: the range is the run's until it is asked to be the frame's; a change is symmetric", () => {
  const table = new TableAt(message(TABLES[8], 8, { range: { q_values: [-9, 9], value: [-5, 9], visits: 50 } }));
  assert.deepEqual(look("value", 0, table).scale.range, { low: -9, high: 9, diverging: true });
  assert.deepEqual(look("value", 0, table, { perFrame: true }).scale.range, { low: 1, high: 2, diverging: false });
  assert.equal(look("visits", 0, table).scale.range.high, 50);
  const change = new Difference(table, new TableAt(message(TABLES[3], 3)));
  assert.equal(look("value", 2, change, { since: 3 }).scale.range.low, -1);
});

test("cells in words", () => {
  const table = new TableAt(message(TABLES[8], 8));
  assert.equal(cellLabel(GRID, 0, 0, table, { agent: true }), "row 0 column 0, start, agent, best right 2.00");
  assert.equal(cellLabel(GRID, 2, 0, table), "row 0 column 2, best any 1.00");
  assert.equal(cellLabel(GRID, 3, 0, table), "row 0 column 3, wall");
  assert.equal(cellLabel(GRID, 4, 0, table), "row 0 column 4, not visited");
  assert.deepEqual([0, 999, 1234, 99_960, 1_200_000, -3000].map(tally), ["0", "999", "1.2k", "100k", "1.2M", "−3.0k"]);
});

test("learning: moments rise, begin dense, and end at the end", () => {
  for (const last of [1, 7, 119, 5000, 1_000_000]) {
    let [moment, moments] = [0, 0];
    for (let next = nextMoment(0, last); next !== null; next = nextMoment(moment, last)) {
      assert.ok(next > moment);
      moment = next;
      moments += 1;
    }
    assert.equal(moment, last);
    assert.ok(moments <= FRAMES + 1, `${moments} of ${last}`);
  }
  assert.ok(nextMoment(0, 5000) < 5000 / FRAMES);
});

test("time travel: modes, and what is typed", () => {
  const state = { ...initialState(), episode: 40 };
  assert.equal(modeOf(state), "acted");
  setMode(state, "pinned");
  assert.deepEqual([modeOf(state), state.moment], ["pinned", 40]);
  setMode(state, "change");
  assert.deepEqual([modeOf(state), state.moment, state.since], ["change", 40, 0]);
  setMode(state, "acted");
  assert.deepEqual([state.moment, state.since], [null, null]);
  assert.deepEqual(["1,234", " 7 ", "99999", "x", "-3"].map((text) => typed(text, 5000)), [1234, 7, 5000, null, null]);
});

test("lanes: numbers, names, and a Dict as a tree", () => {
  assert.deepEqual(lanesOf([1, 2], ["x", "v"]).map(({ label }) => label), ["x", "v"]);
  assert.deepEqual(lanesOf(0.5).map(({ label, path }) => [label, path]), [["observation", []]]);
  const tree = lanesOf({ position: [1, 2], goal: { near: true, name: "door" } });
  assert.deepEqual(tree.map(({ label, depth, path, text }) => [label, depth, path?.join(".") ?? null, text]), [
    ["position", 0, null, undefined],
    ["[0]", 1, "position.0", undefined],
    ["[1]", 1, "position.1", undefined],
    ["goal", 0, null, undefined],
    ["near", 1, "goal.near", undefined],
    ["name", 1, "goal.name", "door"],
  ]);
  assert.equal(lanesOf({ pixels: Array.from({ length: 200 }, () => 0) }).length, 1, "a long array is one line");
  const board = Array.from({ length: 9 }, () => Array.from({ length: 9 }, () => 0));
  assert.deepEqual(lanesOf({ board }).map(({ label, text }) => [label, text]), [["board", "81 values"]], "however it is nested");
});

test("lanes: what the space calls an image is one, within a Dict too", () => {
  const row = Array.from({ length: 8 }, () => [0, 0, 0]);
  const camera = Array.from({ length: 8 }, () => row);
  const space = { type: "Dict", spaces: { camera: { type: "Box", dtype: "uint8", shape: [8, 8, 3] }, wind: { type: "Box", dtype: "float32", shape: [] } } };
  assert.deepEqual(lanesOf({ camera, wind: 0.5 }, null, space), [
    { label: "camera", depth: 0, path: ["camera"], image: { height: 8, width: 8, channels: 3 } },
    { label: "wind", depth: 0, path: ["wind"] },
  ]);
});
