/** The golden messages of tests/golden, which Python wrote, as the viewer reads them. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { decodeColumn, rowOf } from "../../web/js/logic/columns.js";
import { decode, encode } from "../../web/js/logic/messages.js";

const place = new URL("../golden/protocol-1/", import.meta.url);
const vendored = new URL("../../web/vendor/msgpack/index.mjs", import.meta.url);
const index = JSON.parse(readFileSync(new URL("index.json", place), "utf8"));
const spelled = { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY };
const { decode: unpack } = existsSync(vendored) ? await import(fileURLToPath(vendored)) : { decode: null };

/** @param {string} name */
function read(name) {
  const bytes = readFileSync(new URL(`server/${name}`, place));
  // A Buffer has a `slice` of its own; a browser hands out plain bytes.
  return decode(name.endsWith(".json") ? bytes.toString("utf8") : new Uint8Array(bytes), unpack);
}

for (const name of ["steps.json", "steps.msgpack"]) {
  const missing = name.endsWith(".msgpack") && unpack === null;
  test(`every column of ${name} is read exactly`, { skip: missing && "web/vendor is not built" }, () => {
    const { type, data } = read(name);
    assert.equal(type, "steps");
    assert.equal(data.epoch, index.epoch);
    assert.deepEqual(Object.keys(data.columns), Object.keys(index.columns));
    for (const [column, values] of Object.entries(index.columns)) {
      const rows = decodeColumn(data.columns[column]);
      for (let row = 0; row < data.count; row += 1) {
        const plain = data.columns[column].dtype === "json";
        const wanted = plain ? JSON.parse(JSON.stringify(values[row]).replace('"nan"', "null")) : values[row];
        assert.deepEqual(rowOf(rows, row), typeof wanted === "string" ? (spelled[wanted] ?? wanted) : wanted, column);
      }
    }
  });
}

for (const name of ["qtable.json", "qtable.msgpack"]) {
  const missing = name.endsWith(".msgpack") && unpack === null;
  test(`the table of ${name} is read exactly`, { skip: missing && "web/vendor is not built" }, () => {
    const { type, data } = read(name);
    assert.equal(type, "qtable");
    assert.deepEqual({ ...data, columns: null }, { id: 5, run: "golden", episode: 4, step: 12, start: 0, exact: false, range: { q_values: [0, 0], value: [0, 0], visits: 24 }, columns: null });
    const [values, exact, visits] = ["q_values", "exact", "visits"].map((column) => decodeColumn(data.columns[column]));
    assert.deepEqual([...rowOf(values, 0)], [2.25, -2.25, 0.1, Number.POSITIVE_INFINITY]);
    assert.deepEqual([...rowOf(values, 8)], [2.125, -2.125, 0.1, Number.POSITIVE_INFINITY]);
    assert.deepEqual(Array.from({ length: 9 }, (_, row) => rowOf(visits, row)), [2, 2, 2, 1, 1, 1, 1, 1, 1]);
    for (let row = 0; row < 9; row += 1) assert.equal(rowOf(exact, row), false);
  });
}

test("what is told of a run and of trainings is read", () => {
  const run = read("run.json").data;
  assert.deepEqual([run.episodes, run.steps, run.best_return, run.verified], [70, 210, 253.75, null]);
  assert.deepEqual(run.channels[0], { name: "q_values", dtype: "float64", shape: [4] });
  const names = ["training_started", "training", "training_complete", "training_stopped", "training_stopped-failed"];
  const states = names.map((name) => read(`${name}.json`).data.state);
  assert.deepEqual(states, ["running", "paused", "ended", "ended", "failed"]);
  assert.equal(read("training_update.json").data.figures.mean_return_100, -12.5);
  assert.equal(read("training_stopped-failed.json").data.log.length, 1);
  assert.equal(read("training_warning.json").data.message, "the disk is nearly full");
  for (const kind of ["qtable_saved", "qtable_loaded"]) assert.equal(read(`${kind}.json`).data.name, "good");
  assert.equal(read("checkpoint_mode.json").data.checkpoint.trained, 40);
});

test("every other message is one", () => {
  for (const name of readdirSync(new URL("server/", place))) {
    if (name.endsWith(".json")) assert.equal(read(name).type, name.split(/[-.]/)[0]);
  }
  assert.deepEqual(read("gap.json").data, { epoch: 70000, reason: "skipped", from_episode: 5, to_episode: 8, episodes: 4 });
  assert.deepEqual(read("gap-part.json").data, { epoch: 70000, reason: "damaged", from_episode: 4, to_episode: 4, episodes: 1, from_step: 16384, to_step: 32767 });
});

test("what the viewer sends has the same bytes", () => {
  for (const name of readdirSync(new URL("client/", place))) {
    const text = readFileSync(new URL(`client/${name}`, place), "utf8");
    const [type, data] = JSON.parse(text);
    assert.equal(encode(type, data), text);
  }
});
