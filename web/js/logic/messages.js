/**
 * Bytes to messages and back. The msgpack decoder is handed in, so that this module,
 * and all that stands on it, runs without a browser and without a vendor folder.
 *
 * @typedef {import("../types.js").Message} Message
 */

/** Offered in this order; the server takes the first that it knows. */
export const SUBPROTOCOLS = ["reel.v1.msgpack", "reel.v1.json"];

/**
 * @param {string | ArrayBuffer | Uint8Array} payload
 * @param {(bytes: Uint8Array) => unknown} unpack
 * @returns {Message}
 */
export function decode(payload, unpack) {
  const value =
    typeof payload === "string"
      ? JSON.parse(payload)
      : unpack(payload instanceof Uint8Array ? payload : new Uint8Array(payload));
  if (!Array.isArray(value) || value.length < 2 || typeof value[0] !== "string") {
    throw new Error("expected a [type, data] array from the server");
  }
  return { type: value[0], data: value[1] ?? {} };
}

/**
 * @param {string} type
 * @param {Record<string, unknown>} data
 */
export function encode(type, data) {
  return JSON.stringify([type, data]);
}
