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

test("a file has its size, a block for each picture, and an end", () => {
  const palette = new Palette();
  const picture = Uint8ClampedArray.from({ length: 4 * 6 }, (_, i) => i * 9);
  palette.count(picture);
  palette.choose();
  const gif = new Gif(3, 2, palette);
  gif.add(picture, 0.1);
  gif.add(picture, 0.5);
  const bytes = gif.end();
  assert.equal(String.fromCharCode(...bytes.slice(0, 6)), "GIF89a");
  assert.deepEqual([...bytes.slice(6, 10)], [3, 0, 2, 0]);
  const pictures = [...bytes.keys()].filter((i) => bytes[i] === 0x2c && bytes[i + 5] === 3 && bytes[i + 7] === 2);
  assert.equal(pictures.length, 2);
  assert.equal(bytes.at(-1), 0x3b);
});
