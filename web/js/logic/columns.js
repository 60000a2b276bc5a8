/**
 * Columns of the wire, made readable: `{dtype, shape, data}` where `data` is raw
 * little-endian bytes (msgpack) or nested lists (JSON) becomes a flat array and a
 * width per row. 64-bit integers become doubles: every count Reel knows is below 2^53.
 *
 * @typedef {{dtype: string, shape?: number[], data: unknown}} WireColumn
 * @typedef {{dtype: string, rows: number, width: number, inner: number[], data: ArrayLike<any>}} Column
 */

/** @type {Record<string, any>} */
const ARRAYS = {
  "<f8": Float64Array,
  "<f4": Float32Array,
  "<i8": BigInt64Array,
  "<u8": BigUint64Array,
  "<i4": Int32Array,
  "<u4": Uint32Array,
  "<i2": Int16Array,
  "<u2": Uint16Array,
  "|i1": Int8Array,
  "|u1": Uint8Array,
  "|b1": Uint8Array,
};

/**
 * @param {WireColumn} wire
 * @returns {Column}
 */
export function decodeColumn(wire) {
  const { dtype, data } = wire;
  if (dtype === "json") {
    const list = Array.isArray(data) ? data : [];
    return { dtype, rows: list.length, width: 1, inner: [], data: list };
  }
  const shape = wire.shape ?? [Array.isArray(data) ? data.length : 0];
  const inner = shape.slice(1);
  const width = inner.reduce((product, side) => product * side, 1);
  const rows = shape[0] ?? 0;
  const flat = data instanceof Uint8Array ? fromBytes(dtype, data) : fromLists(data);
  if (flat.length < rows * width) {
    throw new Error(`column ${dtype}: ${rows * width} values expected, ${flat.length} came`);
  }
  return { dtype, rows, width, inner, data: flat };
}

/**
 * @param {string} dtype
 * @param {Uint8Array} bytes
 * @returns {ArrayLike<number>}
 */
function fromBytes(dtype, bytes) {
  const Type = ARRAYS[dtype];
  if (!Type) throw new Error(`column of dtype ${dtype}: expected one of ${Object.keys(ARRAYS)}`);
  // A message's columns lie at any offset; typed arrays need alignment, hence the copy.
  const values = new Type(bytes.slice().buffer);
  return typeof values[0] === "bigint" ? Float64Array.from(values, Number) : values;
}

/**
 * @param {unknown} nested
 * @returns {Float64Array}
 */
function fromLists(nested) {
  const flat = Array.isArray(nested) ? nested.flat(Number.POSITIVE_INFINITY) : [nested];
  // JSON has no NaN: null stands for it. Number("Infinity") and Number(true) do the rest.
  return Float64Array.from(flat, (value) => (value === null ? Number.NaN : Number(value)));
}

/**
 * One row: a number, a boolean, an array, or whatever a `json` column holds.
 * @param {Column} column
 * @param {number} index
 * @returns {any}
 */
export function rowOf(column, index) {
  if (column.dtype === "json") return column.data[index];
  if (column.inner.length === 0) {
    const value = column.data[index];
    return column.dtype === "|b1" ? value !== 0 : value;
  }
  const from = index * column.width;
  const row = new Array(column.width);
  for (let i = 0; i < column.width; i += 1) row[i] = column.data[from + i];
  return row;
}

/** A column that grows by appending rows, doubling its room so that appending stays cheap. */
export class GrowingColumn {
  /** @param {Column} like */
  constructor(like) {
    this.dtype = like.dtype;
    this.width = like.width;
    this.inner = like.inner;
    this.rows = 0;
    /** @type {any} */
    this.data = like.dtype === "json" ? [] : new Float64Array(Math.max(16, like.rows * like.width));
  }

  /**
   * @param {Column} column
   * @param {number} skip  rows at its head that are known already
   */
  append(column, skip = 0) {
    const values = (column.rows - skip) * this.width;
    const used = this.rows * this.width;
    if (this.dtype === "json") {
      for (let i = skip; i < column.rows; i += 1) this.data.push(column.data[i]);
    } else {
      if (used + values > this.data.length) {
        const larger = new Float64Array(Math.max(used + values, this.data.length * 2));
        larger.set(this.data.subarray(0, used));
        this.data = larger;
      }
      for (let i = 0; i < values; i += 1) this.data[used + i] = column.data[skip * this.width + i];
    }
    this.rows += column.rows - skip;
  }
}
