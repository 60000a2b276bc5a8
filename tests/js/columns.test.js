import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeColumn, GrowingColumn, rowOf } from "../../web/js/logic/columns.js";
import { column, packed } from "./wire.js";

test("bytes and lists give the same rows", () => {
  const values = [0, -1.5, 2.25, 1e-300];
  const fromBytes = decodeColumn(packed("<f8", Float64Array.from(values)));
  const fromLists = decodeColumn(column("<f8", values));
  for (let i = 0; i < 4; i += 1) assert.equal(rowOf(fromBytes, i), rowOf(fromLists, i));
});

test("each dtype of the protocol is read", () => {
  const arrays = {
    "<f8": Float64Array, "<f4": Float32Array, "<i4": Int32Array, "<i2": Int16Array,
    "|i1": Int8Array, "|u1": Uint8Array, "<u2": Uint16Array, "<u4": Uint32Array,
  };
  for (const [dtype, Type] of Object.entries(arrays)) {
    assert.deepEqual(Array.from(decodeColumn(packed(dtype, Type.from([3, 0, 7]))).data), [3, 0, 7], dtype);
  }
  assert.deepEqual(Array.from(decodeColumn(packed("<i8", BigInt64Array.from([5n, -2n]))).data), [5, -2]);
});

test("rows with a shape come as arrays, booleans as booleans", () => {
  const q = decodeColumn(packed("<f4", Float32Array.from([1, 2, 3, 4]), [2]));
  assert.deepEqual(rowOf(q, 1), [3, 4]);
  assert.equal(rowOf(decodeColumn(packed("|b1", Uint8Array.from([1, 0]))), 0), true);
});

test("what JSON has no number for comes back as one", () => {
  const read = decodeColumn(column("<f8", [null, "Infinity", "-Infinity", 0]));
  assert.ok(Number.isNaN(rowOf(read, 0)));
  assert.deepEqual(Array.from(read.data).slice(1), [Infinity, -Infinity, 0]);
});

test("columns that are not numbers keep their values", () => {
  const read = decodeColumn({ dtype: "json", data: [{ a: 1 }, "text", null] });
  assert.deepEqual([0, 1, 2].map((i) => rowOf(read, i)), [{ a: 1 }, "text", null]);
});

test("an unknown dtype and a short column are refused with a reason", () => {
  assert.throws(() => decodeColumn({ dtype: "<c16", shape: [1], data: new Uint8Array(16) }), /<c16/);
  assert.throws(() => decodeColumn({ dtype: "<f8", shape: [3], data: [1] }), /3 values expected, 1 came/);
});

test("a growing column skips the rows it has", () => {
  const grown = new GrowingColumn(decodeColumn(column("<i8", [0, 1])));
  grown.append(decodeColumn(column("<i8", [0, 1])));
  for (let i = 0; i < 50; i += 1) grown.append(decodeColumn(column("<i8", [i + 1, i + 2])), 1);
  assert.equal(grown.rows, 52);
  assert.deepEqual([0, 1, 2, 51].map((i) => rowOf(grown, i)), [0, 1, 2, 51]);
});
