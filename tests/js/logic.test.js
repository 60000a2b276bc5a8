/** The small modules: messages, keys, routes, formats, grids, colours, waiting, values seen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { delay } from "../../web/js/logic/backoff.js";
import * as text from "../../web/js/logic/format.js";
import { actionName, Grid } from "../../web/js/logic/grid.js";
import { command, HELP, nextSpeed } from "../../web/js/logic/keys.js";
import { decode, encode } from "../../web/js/logic/messages.js";
import { format, parse } from "../../web/js/logic/route.js";
import { colour, inkOn, luminance, PALETTES, rangeOf, Scale, Span } from "../../web/js/logic/scales.js";
import { robustSpan, rollingQuartiles, trend } from "../../web/js/logic/rolling.js";

test("messages: text is JSON, bytes go to the decoder that was handed in", () => {
  assert.deepEqual(decode('["state", {"step": 0}]', assert.fail), { type: "state", data: { step: 0 } });
  assert.deepEqual(decode(new Uint8Array([1, 2]).buffer, (bytes) => ["steps", { n: bytes.length }]), { type: "steps", data: { n: 2 } });
  assert.equal(encode("control", { playing: false }), '["control",{"playing":false}]');
  assert.throws(() => decode("{}", assert.fail), /\[type, data\]/);
});

test("keys: the table of the viewer", () => {
  const page = { tag: "body" };
  const name = (key, more = {}) => command({ key, ...more }, page)?.name;
  assert.equal(name(" "), "toggle");
  assert.equal(name("K"), "toggle");
  assert.deepEqual(command({ key: "ArrowLeft" }, page), { name: "step", by: -1 });
  assert.deepEqual(command({ key: "ArrowRight", shiftKey: true }, page), { name: "step", by: 10 });
  assert.deepEqual(command({ key: "0" }, page), { name: "percent", fraction: 0 });
  assert.deepEqual(command({ key: "p" }, page), { name: "episode", by: -1 });
  assert.deepEqual(command({ key: "ArrowDown" }, page), { name: "episode", by: 1 });
  for (const [key, what] of [["Home", "first"], ["End", "last"], ["<", "slower"], [">", "faster"], ["=", "normal"], ["l", "live"], ["o", "loop"], ["/", "search"], ["?", "help"], ["f", "fullscreen"], ["Escape", "close"]]) {
    assert.equal(name(key), what, key);
  }
  assert.equal(name("constructor"), undefined);
});

test("keys: inputs keep theirs, a focused button keeps Space, the browser keeps its own", () => {
  assert.equal(command({ key: "k" }, { tag: "input", editable: true }), null);
  assert.equal(command({ key: " " }, { tag: "button", pressable: true }), null);
  assert.equal(command({ key: "k" }, { tag: "button", pressable: true })?.name, "toggle");
  const radio = { tag: "button", pressable: true, oneOf: true };
  assert.deepEqual(["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"].map((key) => command({ key }, radio)), [-1, -1, 1, 1].map((by) => ({ name: "choose", by })));
  assert.deepEqual(command({ key: "ArrowRight", shiftKey: true }, radio), { name: "step", by: 10 });
  assert.equal(command({ key: "f", ctrlKey: true }, { tag: "body" }), null);
  assert.equal(command({ key: "Escape" }, { tag: "input", editable: true })?.name, "close");
  assert.ok(HELP.length > 10);
});

test("speeds: up and down again is where one was", () => {
  assert.equal(nextSpeed(1, 1), 2);
  assert.equal(nextSpeed(2, -1), 1);
  assert.equal(nextSpeed(50, 1), "max");
  assert.equal(nextSpeed("max", 1), "max");
  assert.equal(nextSpeed("max", -1), 50);
  assert.equal(nextSpeed(0.25, -1), 0.25);
  assert.equal(nextSpeed(3, -1), 2);
});

test("routes: a view survives the address, zeros included", () => {
  const view = { run: "maze-7", episode: 0, step: 0, speed: 2, view: { x: "step" } };
  const plain = { loop: "off", points: { a: null, b: null }, autoplay: false };
  assert.deepEqual(parse(format(view)), { ...view, ...plain });
  assert.equal(format(view), "#run=maze-7&ep=0&step=0&speed=2&x=step");
  assert.equal(format({ run: "maze-7", speed: 1 }), "#run=maze-7");
  assert.deepEqual(parse("#ep=-1&step=x&speed=0"), { run: null, episode: null, step: null, speed: null, ...plain, view: {} });
  assert.equal(parse("#speed=max").speed, "max");
  assert.deepEqual(["0.1", "7.5", "1000", "0.05", "1e9", "-1"].map((speed) => parse(`#speed=${speed}`).speed), [0.1, 7.5, 1000, null, null, null], "what the protocol takes");
});

test("routes: how it plays on survives the address, points the wrong way round included", () => {
  const at = { run: "maze-7", episode: 3, step: 0 };
  const ab = format({ ...at, loop: { from: 0, to: 9 }, points: { a: 9, b: 0 }, autoplay: true });
  assert.equal(ab, "#run=maze-7&ep=3&step=0&a=9&b=0&loop=ab&auto=1");
  const back = parse(ab);
  assert.deepEqual([back.loop, back.points, back.autoplay, back.view], [{ from: 0, to: 9 }, { a: 9, b: 0 }, true, {}]);
  assert.equal(parse(format({ ...at, loop: "episode" })).loop, "episode");
  assert.deepEqual(parse(format({ ...at, points: { a: 4, b: null } })).points, { a: 4, b: null });
  assert.deepEqual(["ab&a=4", "ab&a=4&b=4", "list", "x"].map((loop) => parse(`#loop=${loop}`).loop), ["off", "off", "off", "off"]);
  assert.equal(format({ run: "maze-7", points: { a: 4, b: 9 } }), "#run=maze-7", "points belong to an episode");
});

test("formats: zero is a number, absence a dash", () => {
  assert.equal(text.fixed(0), "0.000");
  assert.equal(text.fixed(-0.0001), "0.000");
  assert.equal(text.fixed(-0.01), "−0.010");
  assert.equal(text.fixed(undefined), "–");
  assert.equal(text.fixed(Number.NaN), "–");
  assert.equal(text.reward(0), "0");
  assert.equal(text.reward(-200), "−200");
  assert.equal(text.count(48211), "48,211");
  assert.equal(text.compact(48211), "48.2k");
  assert.equal(text.compact(1_234_567), "1.23M");
  assert.deepEqual([0, 1, 9.96, 12345, -2e9, 3.4e12, 5e15].map(text.compact), ["0", "1", "10.0", "12.3k", "−2.00G", "3.40T", "5.00e+15"]);
  assert.deepEqual([1234.5, -959259251, 123.45, 1e20].map((v) => text.fixed(v, 2)), ["1,235", "−959,259,251", "123.5", "1.00e+20"]);
  assert.deepEqual([-0.00123, 0.004, 0.006, 1e-7, -12.345].map(text.reward), ["−0.0012", "0.004", "0.01", "1.0e−7", "−12.35"]);
  assert.deepEqual([-99_999, 100_000, -1234567891, 0.5, null, Infinity].map(text.brief), ["−99,999", "100k", "−1.23G", "0.50", "–", "∞"]);
  assert.deepEqual([0.5, -12.3, 9999, -123_456].map(text.cell), [".50", "−12", "9999", "−123k"]);
  assert.equal(text.cell(-0.064), "−.06");
  assert.equal(text.cell(0), "0");
  assert.equal(text.short(0.05), "0.05");
  assert.equal(text.value([0.5, 1]), "[0.500, 1]");
});

test("formats: an incomplete episode is never passed off as a timeout", () => {
  assert.equal(text.ending({ episode: 1, incomplete: true, truncated: false }).word, "incomplete");
  assert.equal(text.ending({ episode: 1, truncated: true }).word, "timeout");
  assert.equal(text.ending({ episode: 1, terminated: true }).word, "terminated");
  assert.equal(text.ending({ episode: 1, running: true }).word, "running");
  const words = [{ word: "goal", reward: 20, good: true }, { word: "hazard", reward: -20 }];
  const grid = { kind: "grid", endings: { step_reward: -0.1, words } };
  const ended = { episode: 1, length: 8, terminated: true };
  assert.deepEqual(text.ending({ ...ended, episode_return: 19.3 }, grid), { word: "goal", kind: "goal" });
  assert.deepEqual(text.ending({ ...ended, episode_return: -20.7 }, grid), { word: "hazard", kind: "failed" });
  assert.equal(text.ending({ ...ended, episode_return: 5 }, grid).word, "terminated");
  assert.equal(text.ending({ ...ended, terminated: false, truncated: true, episode_return: 19.3 }, grid).word, "timeout");
  assert.equal(text.ending({ ...ended, episode_return: 5 }, { kind: "grid", endings: { words: [{ word: "delivered", good: true }] } }).word, "delivered");
});

const TAXI = new Grid({
  kind: "grid", rows: 2, columns: 3, cells: ["S.#", "..G"], observation: { divisor: 4 },
  markers: [[], [{ cell: 0, kind: "passenger" }], [{ cell: null, kind: "passenger" }], []],
  actions: [{ name: "down", vector: [1, 0] }, { name: "left", vector: [0, -1] }, { name: "pick up", vector: null }],
});

test("grids: cell and context of an observation", () => {
  assert.equal(TAXI.cellOf(0), 0);
  assert.equal(TAXI.cellOf(21), 5);
  assert.equal(TAXI.cellOf(24), null);
  assert.equal(TAXI.describe(5), "row 1, column 2");
  assert.equal(TAXI.kind(2), "#");
  assert.equal(TAXI.markers(1)[0].cell, 0);
  assert.equal(TAXI.markers(22)[0].cell, null);
  assert.equal(TAXI.observationAt(3, 22), 14);
  assert.deepEqual([0, 1, 2].map((a) => TAXI.wedge(a)), [2, 3, null]);
});

test("grids: action 0 has a name, and an action without one its number", () => {
  const presentation = { kind: "grid", actions: [{ name: "up" }] };
  assert.equal(actionName(presentation, 0), "up");
  assert.equal(actionName(presentation, 3), "action 3");
  assert.equal(actionName(presentation, undefined), null);
  assert.deepEqual([5, 6].map((action) => actionName(presentation, action, 5)), ["up", "action 6"], "a space may begin elsewhere");
});

test("colours: a range is symmetric where both signs matter", () => {
  assert.deepEqual(rangeOf(0.2, 0.9), { low: 0.2, high: 0.9, diverging: false });
  assert.equal(rangeOf(-0.05, 0.9).diverging, false, "a trifle below zero is no second sign");
  assert.deepEqual(rangeOf(-0.5, 0.9), { low: -0.9, high: 0.9, diverging: true });
  assert.deepEqual(rangeOf(0.2, 0.9, true), { low: -0.9, high: 0.9, diverging: true }, "a difference always");
  assert.deepEqual(rangeOf(Infinity, -Infinity), { low: 0, high: 1, diverging: false });
  const span = new Span();
  span.widen([0.5, Number.NaN, -2]);
  assert.deepEqual([span.low, span.high], [-2, 0.5]);
});

test("colours: a scale clamps what lies outside, and counts lie on a log", () => {
  const plain = new Scale({ low: 0, high: 10, diverging: false }, [0, 0, 0], "cividis");
  assert.deepEqual([-5, 0, 5, 10, 99].map((v) => plain.at(v)), [0, 0, 0.5, 1, 1]);
  assert.equal(plain.level(10), 255);
  assert.equal(new Scale({ low: 3, high: 3, diverging: false }, [0, 0, 0], "viridis").at(3), 0.5);
  const log = new Scale({ low: 0, high: 999, diverging: false }, [0, 0, 0], "cividis", true);
  assert.deepEqual([0, 999].map((v) => log.at(v)), [0, 1]);
  assert.ok(Math.abs(log.at(Math.sqrt(1000) - 1) - 0.5) < 1e-9);
});

test("colours: both palettes only ever grow lighter, so that they read in grey", () => {
  for (const [name, stops] of Object.entries(PALETTES)) {
    const light = stops.map(luminance);
    assert.deepEqual(light, [...light].sort((a, b) => a - b), name);
  }
});

test("colours: zero on a diverging scale is the surface; ink is readable on any", () => {
  const range = { low: -1, high: 1, diverging: true };
  for (const surface of [[29, 36, 46], [236, 239, 244]]) {
    assert.deepEqual(colour(0, range, surface).map(Math.round), surface);
    for (let v = -1; v <= 1; v += 0.1) {
      const fill = colour(v, range, surface);
      const [a, b] = [luminance(fill), inkOn(fill) === "#000" ? 0 : 1].sort((x, y) => y - x);
      assert.ok((a + 0.05) / (b + 0.05) >= 4.5, `contrast at ${v}`);
    }
  }
});

test("waiting: three seconds, then longer, spread, and never above 36 s", () => {
  assert.equal(delay(0), 3000);
  assert.equal(delay(1, () => 0.5), 4500);
  assert.equal(delay(50, () => 1), 36_000);
  assert.ok(delay(2, () => 0) < delay(2, () => 1));
});

test("rolling quartiles: centred, cut off at the ends, unknown values left out", () => {
  const values = Array.from({ length: 60 }, (_, i) => (i % 11 === 0 ? null : Math.sin(i * 7.3) * 10));
  const by = (sorted, q) => {
    const at = (sorted.length - 1) * q;
    const [a, b] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
    return a + (b - a) * (at - Math.floor(at));
  };
  const { low, median, high } = rollingQuartiles(values, 9);
  values.forEach((_, i) => {
    const window = values.slice(Math.max(0, i - 4), i + 5).filter((v) => v !== null).sort((a, b) => a - b);
    if (window.length === 0) return assert.equal(median[i], null);
    [low, median, high].forEach((line, q) => assert.ok(Math.abs(line[i] - by(window, (q + 1) / 4)) < 1e-9, `${i}`));
  });
  assert.deepEqual(rollingQuartiles([null, Number.NaN], 5).median, [null, null]);
});

test("a curve of successes and failures shows how often, any other its median", () => {
  const won = [0, 0, 0, 1, 0, 1, 1, 1];
  const points = { mean: won, min: won, max: won };
  const { line, low, high, means } = trend(points, 5);
  assert.deepEqual([means, new Set([...low, ...high])], [true, new Set([null])]);
  [0, 1 / 4, 1 / 5, 2 / 5, 3 / 5, 4 / 5, 3 / 4, 1].forEach((share, i) => assert.ok(Math.abs(line[i] - share) < 1e-9, `${i}`));
  const chance = [-100, -100, -100, -73, -100, -100];
  assert.equal(trend({ mean: chance, min: chance, max: chance }, 3).means, false);
  const other = [3, 1, 2, 5, 4];
  const { median, ...band } = rollingQuartiles(other, 3);
  assert.deepEqual(trend({ mean: other, min: other, max: other }, 3), { ...band, line: median, means: false });
});

test("a y-axis shows everything, unless a few outliers would flatten the rest", () => {
  const steady = Array.from({ length: 400 }, (_, i) => (i % 10) / 10);
  assert.deepEqual(robustSpan([], []), { low: 0, high: 1, clipped: false });
  assert.equal(robustSpan(steady, steady).clipped, false);
  const early = [-200, -150, ...steady];
  const span = robustSpan(early, early);
  assert.equal(span.clipped, true);
  assert.ok(span.low > -1 && span.high >= 0.9);
  const long = Array.from({ length: 400 }, (_, i) => (i < 20 ? -200 : 1));
  assert.equal(robustSpan(long, long).low < -200, true, "five percent of a run are no outliers");
  assert.ok(robustSpan([3], [3]).high > 3);
});

test("an axis has one unit, and the decimals that tell its ticks apart", () => {
  assert.deepEqual(text.tickTexts([-100, -50, 0]), ["−100", "−50", "0"]);
  assert.deepEqual(text.tickTexts([0, 0.25, 0.5]), ["0", "0.25", "0.50"]);
  assert.deepEqual(text.tickTexts([-1250e6, -1000e6, 0]), ["−1.25G", "−1.00G", "0"]);
  assert.deepEqual(text.tickTexts([0, 2500, 5000]), ["0", "2,500", "5,000"]);
  assert.deepEqual(text.tickTexts([-20000, -17500]), ["−20.0k", "−17.5k"]);
  assert.deepEqual(text.tickTexts([0.1 + 0.2, 0.4]), ["0.3", "0.4"]);
  assert.deepEqual(text.tickTexts([]), []);
  for (const ticks of [[1.5e6, 2e6], [0, 1e-4], [99_990, 100_000]]) assert.equal(new Set(text.tickTexts(ticks)).size, 2, `${ticks}`);
});

test("times of day tell ticks apart by seconds or parts of one", () => {
  const at = new Date(2026, 10, 21, 9, 5, 34).getTime() / 1000;
  assert.deepEqual(text.clockTexts([at, at + 0.2, at + 0.4]), ["09:05:34.0", "09:05:34.2", "09:05:34.4"]);
  assert.deepEqual(text.clockTexts([at, at + 30]), ["09:05:34", "09:06:04"]);
  assert.deepEqual(text.clockTexts([at + 0.05, at + 0.1]), ["09:05:34.05", "09:05:34.10"]);
  assert.deepEqual(text.clockTexts([]), []);
});
