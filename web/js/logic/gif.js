/**
 * An animated GIF, written from pictures of the same size, of which each holds what changed. Colours are those that most pixels
 * have, 256 at most; a colour that is not among them is shown as the nearest that is.
 */

const MOST_COLOURS = 256;
/** Colours are told apart by five bits a channel, which a flat picture never misses. */
const key = (/** @type {number} */ r, /** @type {number} */ g, /** @type {number} */ b) => ((r >> 3) << 10) | ((g >> 3) << 5) | (b >> 3);

/** Counts the colours of pictures, and chooses. */
export class Palette {
  constructor() {
    /** Of each key: how many pixels, and the colour first seen. @type {Map<number, {n: number, rgb: [number, number, number]}>} */
    this.seen = new Map();
    /** @type {[number, number, number][]} */
    this.colours = [];
    /** @type {Map<number, number>} */
    this.index = new Map();
  }

  /** @param {Uint8ClampedArray} rgba */
  count(rgba) {
    for (let i = 0; i < rgba.length; i += 4) {
      const k = key(rgba[i], rgba[i + 1], rgba[i + 2]);
      const known = this.seen.get(k);
      if (known) known.n += 1;
      else this.seen.set(k, { n: 1, rgb: [rgba[i], rgba[i + 1], rgba[i + 2]] });
    }
  }

  choose() {
    const most = [...this.seen.values()].sort((a, b) => b.n - a.n).slice(0, MOST_COLOURS);
    this.colours = most.map(({ rgb }) => rgb);
    this.index.clear();
    this.colours.forEach(([r, g, b], i) => this.index.set(key(r, g, b), i));
  }

  /** @param {Uint8ClampedArray} rgba @returns {Uint8Array} the number of each pixel's colour */
  apply(rgba) {
    const pixels = new Uint8Array(rgba.length / 4);
    for (let i = 0; i < pixels.length; i += 1) pixels[i] = this.#nearest(rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]);
    return pixels;
  }

  /** @param {number} r @param {number} g @param {number} b */
  #nearest(r, g, b) {
    const k = key(r, g, b);
    const known = this.index.get(k);
    if (known !== undefined) return known;
    let [best, least] = [0, Infinity];
    this.colours.forEach((c, i) => {
      const distance = (c[0] - r) ** 2 + (c[1] - g) ** 2 + (c[2] - b) ** 2;
      if (distance < least) [best, least] = [i, distance];
    });
    this.index.set(k, best);
    return best;
  }
}

export class Gif {
  /** @param {number} width @param {number} height @param {Palette} palette */
  constructor(width, height, palette) {
    this.width = width;
    this.height = height;
    this.palette = palette;
    /** @type {number[]} */
    this.bytes = [...ascii("GIF89a"), ...u16(width), ...u16(height), 0xf7, 0, 0];
    for (let i = 0; i < MOST_COLOURS; i += 1) this.bytes.push(...(palette.colours[i] ?? [0, 0, 0]));
    // Played over and over, as every program spells it.
    this.bytes.push(0x21, 0xff, 11, ...ascii("NETSCAPE2.0"), 3, 1, 0, 0, 0);
  }

  /** The picture before, as colours of the palette. @type {Uint8Array | null} */
  before = null;

  /** @param {Uint8ClampedArray} rgba @param {number} seconds  how long it is shown */
  add(rgba, seconds) {
    const { bytes, width } = this;
    const pixels = this.palette.apply(rgba);
    const [left, top, right, bottom] = this.#changed(pixels);
    this.before = pixels;
    // What was there stays under what is drawn: only the part that changed is written.
    bytes.push(0x21, 0xf9, 4, 1 << 2, ...u16(Math.max(2, Math.round(seconds * 100))), 0, 0);
    bytes.push(0x2c, ...u16(left), ...u16(top), ...u16(right - left), ...u16(bottom - top), 0, 8);
    const part = new Uint8Array((right - left) * (bottom - top));
    for (let y = top; y < bottom; y += 1) part.set(pixels.subarray(y * width + left, y * width + right), (y - top) * (right - left));
    const coded = lzw(part);
    for (let i = 0; i < coded.length; i += 255) {
      const block = coded.slice(i, i + 255);
      bytes.push(block.length);
      for (const byte of block) bytes.push(byte);
    }
    bytes.push(0);
  }

  /** The box around all pixels that are other than before, one at least: left, top, right, bottom. @param {Uint8Array} pixels @returns {[number, number, number, number]} */
  #changed(pixels) {
    const { before, width, height } = this;
    if (!before) return [0, 0, width, height];
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let i = 0; i < pixels.length; i += 1) {
      if (pixels[i] === before[i]) continue;
      const [x, y] = [i % width, Math.floor(i / width)];
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
    return right > 0 ? [left, top, right, bottom] : [0, 0, 1, 1];
  }

  /** @returns {Uint8Array<ArrayBuffer>} the file */
  end() {
    return Uint8Array.from([...this.bytes, 0x3b]);
  }
}

/** @param {string} text */
const ascii = (text) => [...text].map((letter) => letter.charCodeAt(0));
/** @param {number} n */
const u16 = (n) => [n & 255, n >> 8];

/** Eight-bit pixels in GIF's variable-width LZW. @param {Uint8Array} pixels @returns {Uint8Array} */
export function lzw(pixels) {
  const [clear, end] = [256, 257];
  const out = new Uint8Array(pixels.length * 2 + 16);
  let [at, hold, held, width, next] = [0, 0, 0, 9, 258];
  /** Codes of a prefix and one more pixel. @type {Map<number, number>} */
  let table = new Map();
  const emit = (/** @type {number} */ code) => {
    hold |= code << held;
    for (held += width; held >= 8; held -= 8) {
      out[at++] = hold & 255;
      hold >>>= 8;
    }
  };
  emit(clear);
  let prefix = pixels[0];
  for (let i = 1; i < pixels.length; i += 1) {
    const longer = (prefix << 8) | pixels[i];
    const known = table.get(longer);
    if (known !== undefined) {
      prefix = known;
      continue;
    }
    emit(prefix);
    table.set(longer, next);
    // The reader's table is one entry behind: it widens when the code itself needs the bit.
    if (next === 1 << width && width < 12) width += 1;
    next += 1;
    if (next === 4096) {
      emit(clear);
      table = new Map();
      [width, next] = [9, 258];
    }
    prefix = pixels[i];
  }
  emit(prefix);
  emit(end);
  if (held > 0) out[at++] = hold & 255;
  return out.slice(0, at);
}
