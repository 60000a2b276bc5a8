/**
 * Numbers to colours. Sequential data in cividis, data of both signs in purple-orange
 * with the page's own surface in the middle; both read the same to colour-blind eyes.
 *
 * @typedef {[number, number, number]} Rgb
 * @typedef {{low: number, high: number, diverging: boolean}} Range
 * @typedef {"cividis" | "viridis"} Palette
 */

/** @type {Rgb[]} */
const CIVIDIS = [
  [0, 34, 78], [33, 56, 110], [68, 80, 110], [103, 103, 112],
  [138, 128, 120], [176, 155, 112], [215, 184, 92], [254, 232, 56],
];
/** @type {Rgb[]} */
const VIRIDIS = [
  [68, 1, 84], [70, 50, 127], [54, 92, 141], [39, 127, 142],
  [31, 161, 135], [74, 194, 109], [159, 218, 58], [253, 231, 37],
];
export const PALETTES = { cividis: CIVIDIS, viridis: VIRIDIS };
/** @type {Rgb[]} */
const PURPLES = [[178, 171, 210], [128, 115, 172], [84, 39, 136]];
/** @type {Rgb[]} */
const ORANGES = [[253, 184, 99], [224, 130, 20], [179, 88, 6]];

/**
 * @param {Rgb[]} stops
 * @param {number} t  0 to 1, clamped
 * @returns {Rgb}
 */
function ramp(stops, t) {
  const at = Math.max(0, Math.min(1, t)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  const f = at - i;
  const [a, b] = [stops[i], stops[i + 1]];
  return [a[0] + (b[0] - a[0]) * f, a[1] + (b[1] - a[1]) * f, a[2] + (b[2] - a[2]) * f];
}

/**
 * The colour of a value within a range.
 * @param {number} value
 * @param {Range} range
 * @param {Rgb} middle  colour of zero on a diverging scale: the surface it lies on
 * @param {Palette} [palette]  of sequential data
 * @returns {Rgb}
 */
export function colour(value, range, middle, palette = "cividis") {
  if (!range.diverging) {
    const span = range.high - range.low;
    return ramp(PALETTES[palette], span > 0 ? (value - range.low) / span : 0.5);
  }
  const side = Math.max(-range.low, range.high);
  const t = side > 0 ? value / side : 0;
  // Dark surfaces want the ends bright, light ones want them deep: away from the middle.
  const dark = luminance(middle) < 0.3;
  const arm = t < 0 ? PURPLES : ORANGES;
  const ends = dark ? [middle, arm[1], arm[0]] : [middle, arm[0], arm[1], arm[2]];
  return ramp(ends, Math.abs(t));
}

/** @param {Rgb} c */
export function css(c) {
  return `rgb(${Math.round(c[0])},${Math.round(c[1])},${Math.round(c[2])})`;
}

/** A colour as an ImageData holds it, on the little-endian machines that browsers run on. @param {Rgb} c */
export function pixel(c) {
  return ((255 << 24) | (Math.round(c[2]) << 16) | (Math.round(c[1]) << 8) | Math.round(c[0])) >>> 0;
}

/** Relative luminance as WCAG defines it. @param {Rgb} c */
export function luminance(c) {
  const [r, g, b] = c.map((part) => {
    const s = part / 255;
    return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Black or white, whichever reads better on a colour. @param {Rgb} c */
export function inkOn(c) {
  return luminance(c) > 0.179 ? "#000" : "#fff";
}

/**
 * A range as it is drawn: symmetric around zero where both signs matter, plain where one
 * is a trifle. Percentiles of a run may leave a value outside; it takes the end's colour.
 * @param {number} low @param {number} high @param {boolean} [signed]  always symmetric: of differences
 * @returns {Range}
 */
export function rangeOf(low, high, signed = false) {
  if (!(low <= high)) return { low: 0, high: 1, diverging: false };
  const side = Math.max(-low, high);
  if (signed || (low < 0 && high > 0 && Math.min(-low, high) >= 0.1 * side)) {
    return { low: -(side || 1), high: side || 1, diverging: true };
  }
  return { low, high, diverging: false };
}

/** How many colours a scale has when it is looked up. */
export const LEVELS = 256;

/**
 * Colours of a scale, made once: looking up is many times faster than mixing, and cells
 * whose colours did not change need not be drawn again.
 */
export class Scale {
  /**
   * @param {Range} range @param {Rgb} middle @param {Palette} palette
   * @param {boolean} [logarithmic]  of counts: 0 and `high` are its ends
   */
  constructor(range, middle, palette, logarithmic = false) {
    this.range = range;
    this.logarithmic = logarithmic;
    /** @type {string[]} */
    this.fills = [];
    /** @type {string[]} black or white, to be read on each */
    this.inks = [];
    /** The fills as pixels of an ImageData. */
    this.pixels = new Uint32Array(LEVELS);
    for (let i = 0; i < LEVELS; i += 1) {
      const value = range.low + (i / (LEVELS - 1)) * (range.high - range.low);
      const c = colour(value, range, middle, palette);
      this.fills.push(css(c));
      this.inks.push(inkOn(c));
      this.pixels[i] = pixel(c);
    }
  }

  /** Where a value lies, 0 to 1. @param {number} value */
  at(value) {
    const { low, high } = this.range;
    if (this.logarithmic) return Math.max(0, Math.min(1, Math.log1p(Math.max(0, value)) / Math.log1p(Math.max(1, high))));
    if (!(high > low)) return 0.5;
    return Math.max(0, Math.min(1, (value - low) / (high - low)));
  }

  /** The level of a value, an index into `fills` and `inks`. @param {number} value */
  level(value) {
    return Math.round(this.at(value) * (LEVELS - 1));
  }
}

/** Grows to hold every number it is shown. */
export class Span {
  constructor() {
    this.low = Infinity;
    this.high = -Infinity;
  }

  /** @param {ArrayLike<number>} values */
  widen(values) {
    for (let i = 0; i < values.length; i += 1) {
      const v = values[i];
      if (!Number.isFinite(v)) continue;
      if (v < this.low) this.low = v;
      if (v > this.high) this.high = v;
    }
  }
}
