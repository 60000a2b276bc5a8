/** Makers of messages for tests, spelled as docs/protocol.md spells them. */

/** A column as JSON carries it. */
export const column = (dtype, values, inner = []) => ({ dtype, shape: [values.length, ...inner], data: values });

/** A column as msgpack carries it, at an odd offset so that alignment is never luck. */
export function packed(dtype, values, inner = []) {
  const bytes = new Uint8Array(values.buffer.byteLength + 1);
  bytes.set(new Uint8Array(values.buffer), 1);
  const rows = values.length / inner.reduce((a, b) => a * b, 1);
  return { dtype, shape: [rows, ...inner], data: bytes.subarray(1) };
}

/** Steps `from .. from+count-1` of an episode whose observation is its step and reward -1. */
export function steps(from, count, more = {}) {
  const range = Array.from({ length: count }, (_, i) => from + i);
  return {
    episode: 4,
    from,
    count,
    at: from + count - 1,
    columns: {
      observation: column("<i8", range),
      action: column("<i8", range.map((t) => t % 4)),
      reward: column("<f8", range.map(() => -1)),
      q_values: column("<f8", range.map((t) => [t, 0, -t, 0.5]), [4]),
      explored: column("|b1", range.map((t) => t % 2 === 0)),
    },
    ...more,
  };
}
