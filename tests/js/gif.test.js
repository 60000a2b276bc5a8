import assert from "node:assert/strict";
import { test } from "node:test";
import { Gif, lzw, Palette } from "../../web/js/logic/gif.js";

/** GIF's LZW read back, as the specification tells it. */
function unlzw(bytes) {
  let [at, hold, held, width] = [0, 0, 0, 9];
  const read = () => {
    while (held < width) {
      hold |= bytes[at++] << held;
      held += 8;
    }
    const code = hold & ((1 << width) - 1);
    hold >>>= width;
    held -= width;
    return code;
  };
  const out = [];
  let table = [];
  let before = null;
  for (;;) {
    const code = read();
    if (code === 257) return out;
    if (code === 256) {
      table = [...Array.from({ length: 256 }, (_, i) => [i]), null, null];
      width = 9;
      before = null;
      continue;
    }
    const entry = code < table.length ? table[code] : [...before, before[0]];
    out.push(...entry);
    if (before && table.length < 4096) table.push([...before, entry[0]]);
    if (table.length === 1 << width && width < 12) width += 1;
    before = entry;
  }
}

test("pixels come back from the code, also when the table fills and begins anew", () => {
  let seed = 7;
  const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);
  const pictures = [
    Uint8Array.of(3),
    new Uint8Array(5000),
    Uint8Array.from({ length: 60_000 }, () => random() >> 16),
    Uint8Array.from({ length: 60_000 }, (_, i) => (i >> 5) % 7),
    Uint8Array.from({ length: 60_000 }, (_, i) => (random() % 9 === 0 ? i : 4)),
  ];
  for (const pixels of pictures) assert.deepEqual(unlzw(lzw(pixels)), [...pixels]);
});

test("a palette holds the commonest colours, and shows others as the nearest", () => {
  const rgba = new Uint8ClampedArray(4 * 600);
  for (let i = 0; i < 600; i += 1) rgba.set([i < 300 ? 255 : 0, (i % 300) * 0.8, 0, 255], 4 * i);
  const palette = new Palette();
  palette.count(rgba);
  palette.choose();
  assert.ok(palette.colours.length <= 256);
  const pixels = palette.apply(rgba);
  pixels.forEach((colour, i) => {
    const [r, g] = palette.colours[colour];
    assert.ok(Math.abs(r - rgba[4 * i]) < 8 && Math.abs(g - rgba[4 * i + 1]) < 8);
  });
});

/** The pictures of a file as a reader shows them, each over the one before. */
function shown(bytes) {
  const width = bytes[6] | (bytes[7] << 8);
  const screen = new Array(width * (bytes[8] | (bytes[9] << 8))).fill(null);
  const pictures = [];
  let at = 13 + 3 * 256;
  while (bytes[at] !== 0x3b) {
    const blocks = (from) => {
      const data = [];
      for (at = from; bytes[at] !== 0; at += bytes[at] + 1) data.push(...bytes.slice(at + 1, at + 1 + bytes[at]));
      at += 1;
      return data;
    };
    if (bytes[at] === 0x21) {
      blocks(at + 2);
      continue;
    }
    assert.equal(bytes[at], 0x2c);
    const [left, top, across, down] = [1, 3, 5, 7].map((i) => bytes[at + i] | (bytes[at + i + 1] << 8));
    const pixels = unlzw(blocks(at + 11));
    assert.equal(pixels.length, across * down);
    pixels.forEach((colour, i) => {
      screen[(top + Math.floor(i / across)) * width + left + (i % across)] = colour;
    });
    pictures.push({ screen: [...screen], size: across * down });
  }
  return pictures;
}

test("a file holds each picture, and of a later one only what changed", () => {
  const palette = new Palette();
  const rgba = (grey) => Uint8ClampedArray.from(grey.flatMap((level) => [level, level, level, 255]));
  const first = Array.from({ length: 20 }, (_, i) => (i % 4) * 40);
  const second = first.with(6, 200).with(13, 200);
  const pictures = [first, second, second, first];
  for (const picture of pictures) palette.count(rgba(picture));
  palette.choose();
  const gif = new Gif(5, 4, palette);
  for (const picture of pictures) gif.add(rgba(picture), 0.1);
  const bytes = gif.end();
  assert.equal(String.fromCharCode(...bytes.slice(0, 6)), "GIF89a");
  assert.equal(bytes.at(-1), 0x3b);
  const found = shown(bytes);
  assert.deepEqual(found.map(({ screen }) => screen.map((i) => palette.colours[i][0])), pictures);
  assert.deepEqual(found.map(({ size }) => size), [20, 6, 1, 6]);
});
