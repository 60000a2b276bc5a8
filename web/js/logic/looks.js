/**
 * How an observation without a map is looked at: as an image, or as lanes, one for each
 * number, text or flag in it, with the names of a Dict's branches as headings.
 *
 * @typedef {{label: string, depth: number, path: (string | number)[] | null, text?: string, image?: Shape}} Lane
 *   `path` null: a heading; `text`: a value that has no curve; `image`: pixels
 * @typedef {{width: number, height: number, channels: number}} Shape
 * @typedef {{name: string, width: number, height: number, channels: number, values: ArrayLike<number>}} Picture
 */

/** Dimensions of one array shown as curves of their own. */
const MOST_IN_ARRAY = 64;
const LEAST_SIDE = 8;

/**
 * The picture at a step: a channel of frames where one was recorded, else the observation
 * itself where it is one.
 * @param {import("../types.js").Run | null} run
 * @param {import("./cache.js").EpisodeCache} cache @param {number} step
 * @returns {Picture | null}
 */
export function imageOf(run, cache, step) {
  for (const channel of run?.channels ?? []) {
    const shape = asImage(channel.shape, channel.dtype);
    // The frame behind the last step was not recorded: the one before it stays.
    const values = shape ? (cache.value(channel.name, step) ?? cache.value(channel.name, step - 1)) : undefined;
    if (shape && Array.isArray(values)) return { name: channel.name, ...shape, values };
  }
  const space = /** @type {any} */ (run)?.observation_space;
  const shape = space?.type === "Box" ? asImage(space.shape ?? [], space.dtype) : null;
  const values = shape ? cache.observation(step) : undefined;
  return shape && Array.isArray(values) ? { name: "observation", ...shape, values: values.flat(3) } : null;
}

/** Height, width and channels of pixels. @param {number[]} shape @param {string} dtype @returns {Shape | null} */
function asImage(shape, dtype) {
  if (dtype !== "uint8" && dtype !== "|u1") return null;
  const [height, width, channels = 1] = shape;
  if (shape.length < 2 || shape.length > 3 || height < LEAST_SIDE || width < LEAST_SIDE || ![1, 3, 4].includes(channels)) return null;
  return { height, width, channels };
}

/**
 * @param {any} observation
 * @param {unknown} [names]  of the dimensions, from the presentation
 * @param {any} [space]  of the observation: says which arrays are images
 * @returns {Lane[]}
 */
export function lanesOf(observation, names, space) {
  /** @type {Lane[]} */
  const lanes = [];
  walk(observation, [], "", 0, Array.isArray(names) ? names : null, lanes, space);
  return lanes;
}

/** @param {any} value @param {(string | number)[]} path @param {string} label @param {number} depth @param {any[] | null} names @param {Lane[]} lanes @param {any} space */
function walk(value, path, label, depth, names, lanes, space) {
  if (Array.isArray(value)) {
    const image = space?.type === "Box" ? asImage(space.shape ?? [], space.dtype) : null;
    if (image) return void lanes.push({ label: label || "observation", depth, path, image });
    const named = (/** @type {number} */ i) => (typeof names?.[i] === "string" ? names[i] : value.length === 1 && label ? label : `[${i}]`);
    const inner = label !== "" && value.length > 1;
    const all = inner ? countOf(value) : 0;
    if (inner) lanes.push({ label, depth, path: null, text: all > MOST_IN_ARRAY ? `${all} values` : undefined });
    if (all > MOST_IN_ARRAY) return;
    value.forEach((item, i) => walk(item, [...path, i], named(i), inner ? depth + 1 : depth, null, lanes, space?.spaces?.[i]));
  } else if (value !== null && typeof value === "object") {
    if (label !== "") lanes.push({ label, depth, path: null });
    for (const [key, item] of Object.entries(value)) walk(item, [...path, key], key, label === "" ? depth : depth + 1, null, lanes, space?.spaces?.[key]);
  } else if (typeof value === "number" || typeof value === "boolean") {
    lanes.push({ label: label || "observation", depth, path });
  } else {
    lanes.push({ label: label || "observation", depth, path, text: value === null || value === undefined ? "–" : String(value) });
  }
}

/** Values in an array and in those within it. @param {any[]} values @returns {number} */
function countOf(values) {
  return values.reduce((sum, item) => sum + (Array.isArray(item) ? countOf(item) : 1), 0);
}
