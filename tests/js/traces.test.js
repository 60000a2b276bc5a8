import assert from "node:assert/strict";
import { test } from "node:test";
import { Traces } from "../../web/js/logic/traces.js";

/** What a lane shows of a wave: `swing` at odd steps, 0 at even ones. */
const wave = (t) => ({ x: [t % 2 ? 3 : 0, t], lamp: t % 4 === 0 });
const PATHS = [["x", 0], ["x", 1], ["lamp"]];

test("a short episode is drawn step by step", () => {
  const [x, , lamp] = new Traces().of("r/1", PATHS, wave, 0, 5, 5, 300);
  assert.deepEqual(x.points, [[0, 0], [1, 3], [2, 0], [3, 3], [4, 0], [5, 3]]);
  assert.deepEqual([x.low, x.high, x.whole], [0, 3, true]);
  assert.deepEqual(lamp.points.map(([, value]) => value), [1, 0, 0, 0, 1, 0]);
});

test("a long one keeps the least and the greatest of every stretch, whatever the width", () => {
  for (const most of [300, 250, 100, 7]) {
    const [x, line] = new Traces().of("r/1", PATHS, (t) => ({ x: [t === 777 ? 99 : t % 2, t + 0.5], lamp: false }), 0, 1000, 1000, most);
    assert.ok(x.points.length <= 4 * most + 2, `${x.points.length} points in ${most}`);
    assert.deepEqual([x.low, x.high], [0, 99], "one step that stands out is seen");
    assert.ok(x.points.some(([t, value]) => t === 777 && value === 99));
    // No stretch looks calm that is not.
    for (let i = 1; i < x.points.length - 1; i += 2) assert.notEqual(x.points[i][1], x.points[i - 1][1]);
    assert.deepEqual(x.points.map(([t]) => t), x.points.map(([t]) => t).toSorted((a, b) => a - b));
    assert.equal(line.whole, false);
  }
});

test("steps that come later are added, and are looked at once", () => {
  const asked = [];
  const observation = (t) => {
    asked.push(t);
    return t < 40 ? wave(t) : undefined;
  };
  const traces = new Traces();
  traces.of("r/1", PATHS, observation, 0, 19, 19, 10);
  const grown = traces.of("r/1", PATHS, observation, 0, 39, 19, 10);
  assert.equal(asked.length, 40);
  assert.deepEqual(grown, new Traces().of("r/1", PATHS, wave, 0, 39, 19, 10));
  // What was not there yet is looked for again.
  traces.of("r/1", PATHS, observation, 0, 41, 19, 10);
  assert.deepEqual(traces.of("r/1", PATHS, wave, 0, 41, 19, 10), new Traces().of("r/1", PATHS, wave, 0, 41, 19, 10));
});

test("another episode, another start, another width: read anew", () => {
  const other = (t) => ({ x: [-t, 0], lamp: false });
  const traces = new Traces();
  traces.of("r/1", PATHS, wave, 0, 30, 30, 300);
  assert.deepEqual(traces.of("r/2", PATHS, other, 0, 30, 30, 300), new Traces().of("", PATHS, other, 0, 30, 30, 300));
  assert.deepEqual(traces.of("r/2", PATHS, other, 10, 30, 30, 300), new Traces().of("", PATHS, other, 10, 30, 30, 300));
  assert.deepEqual(traces.of("r/2", PATHS, other, 10, 30, 30, 5), new Traces().of("", PATHS, other, 10, 30, 30, 5));
  assert.deepEqual(traces.of("r/2", PATHS, other, 10, 12, 30, 5), new Traces().of("", PATHS, other, 10, 12, 30, 5));
});

test("what is no number leaves a hole, not a zero", () => {
  const values = [1, null, Number.NaN, Infinity, 2];
  const [lane] = new Traces().of("k", [["v"]], (t) => ({ v: values[t] }), 0, 4, 4, 100);
  assert.deepEqual(lane.points, [[0, 1], [4, 2]]);
  const [none] = new Traces().of("k", [["w"]], (t) => ({ v: values[t] }), 0, 4, 4, 100);
  assert.deepEqual(none.points, []);
});
