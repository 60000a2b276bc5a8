import assert from "node:assert/strict";
import { test } from "node:test";
import { beside, divergence, divergenceSoFar } from "../../web/js/logic/compare.js";
import { episodeNumber, expression, noQuery, offset, pack, unpack, words } from "../../web/js/logic/query.js";
import { age, lookOf, matches, parameters, size, tagsOf } from "../../web/js/logic/runs.js";
import { Ticks } from "../../web/js/logic/ticks.js";

const query = (parts) => ({ ...noQuery(), ...parts });

test("what is asked for becomes one expression", () => {
  assert.equal(expression(noQuery()), "");
  assert.equal(expression(query({ text: " length > 40 " })), "length > 40");
  const all = query({ text: "length > 40 or success", low: -3, high: 2.5, span: [10, 99], facets: { outcome: "truncated", seed: 4, tags: 'a"b\\' } });
  assert.equal(
    expression(all),
    '(length > 40 or success) and episode_return >= -3 and episode_return <= 2.5 and episode >= 10 and episode <= 99 and outcome == "truncated" and seed == 4 and "a\\"b\\\\" in tags',
  );
  assert.equal(offset(all), 1);
  assert.equal(offset(query({ text: "length > 40" })), 0);
});

test("words are looked for, and flags are filters", () => {
  assert.equal(words(query({ text: "promising start" })), "promising start");
  assert.equal(expression(query({ text: "promising start", low: 0 })), "episode_return >= 0");
  for (const text of ["success", "not kept", "length > 3", 'stage == "3"']) assert.equal(words(query({ text })), "");
});

test("a number is a place to go to", () => {
  for (const text of ["412", " #412 ", "0", "48,211"]) assert.notEqual(episodeNumber(text), null, text);
  for (const text of ["", "x", "4 < length", "-3", "1e5"]) assert.equal(episodeNumber(text), null, text);
});

test("a query survives the address, and a spoilt one is no query", () => {
  const all = query({ text: "length > 40", low: -3, span: [10, 99], facets: { outcome: "truncated" } });
  assert.deepEqual(unpack(pack(all)), all);
  assert.equal(pack(query({ text: "length > 40" })), "length > 40");
  assert.deepEqual(unpack('{"text":"le'), noQuery());
  assert.deepEqual(unpack('{"low":"x","span":[1],"facets":{"a b":1,"c":{}}}'), noQuery());
});

const steps = (observations, actions) => ({ length: actions.length, observation: (t) => observations[t], value: (_, t) => actions[t] });

test("two episodes part where one saw, did or ended otherwise", () => {
  const a = steps([0, 1, 2, 3], [1, 1, 1]);
  assert.equal(divergence(a, steps([0, 1, 2, 3], [1, 1, 1])), null);
  assert.deepEqual(divergence(a, steps([0, 1, 7, 3], [1, 1, 1])), { step: 2, what: "observation" });
  assert.deepEqual(divergence(a, steps([0, 1, 2, 3], [1, 2, 1])), { step: 1, what: "action" });
  assert.deepEqual(divergence(a, steps([0, 1, 2], [1, 1])), { step: 2, what: "length" });
  assert.deepEqual(divergence({ ...steps([0, 1], [1, 1]), length: 9 }, { ...steps([0, 1], [1, 1]), length: 9 }), { step: 2, what: "unread" }, "of steps that are not here nothing is known");
  assert.equal(divergence(steps([{ x: [1, Number.NaN] }], []), steps([{ x: [1, Number.NaN] }], [])), null);
});

test("of one that runs the newest position is no end", () => {
  const over = { ...steps([0, 1, 2, 3], [1, 1, 1]), known: () => 3 };
  const runs = (observations, actions) => ({ ...steps(observations, actions), length: null, known: () => observations.length });
  assert.equal(divergenceSoFar(runs([0, 1, 2], [1, 1, 1]), over), null);
  assert.equal(divergenceSoFar(over, runs([0, 1, 2], [1, 1, 1])), null);
  assert.equal(divergenceSoFar(runs([], []), over), null);
  assert.deepEqual(divergenceSoFar(runs([0, 7], [1, 1]), over), { step: 1, what: "observation" });
  assert.deepEqual(divergenceSoFar(runs([0, 1, 2, 3, 4], [1, 1, 1, 1, 1]), over), { step: 3, what: "length" }, "the other one did end");
});

test("beside: the same step, or the same share of the way", () => {
  assert.equal(beside(30, 100, 20, "step"), 20);
  assert.equal(beside(30, 100, 20, "percent"), 6);
  assert.equal(beside(100, 100, 20, "percent"), 20);
  assert.equal(beside(5, null, 20, "percent"), 5);
});

test("two ticks at most: a third takes the place of the oldest", () => {
  const ticks = new Ticks(() => {});
  for (const episode of [1, 2, 3]) ticks.toggle("a", episode);
  assert.deepEqual(ticks.places.map(({ episode }) => episode), [2, 3]);
  ticks.toggle("a", 2);
  assert.ok(ticks.has("a", 3) && !ticks.has("a", 2) && !ticks.has("b", 3));
});

test("runs: found by any of their facts, written short", () => {
  const run = { run: "maze-7", name: "Maze", status: "finished", env_id: "GridWorld-v0", algorithm: "q-learning", seed: 7, tags: ["good"], hyperparameters: { learning_rate: 0.1 } };
  assert.ok(matches(run, "maze GOOD 0.1"));
  assert.ok(!matches(run, "maze lake"));
  assert.equal(parameters(run), "seed 7, learning rate 0.1");
  assert.equal(age("2026-01-01T00:00:00Z", Date.parse("2026-01-03T05:00:00Z")), "2 d");
  assert.equal(age(undefined, 0), "–");
  assert.equal(size(430_123), "430 kB");
  assert.equal(size(1_800_000), "1.8 MB");
  assert.deepEqual(tagsOf(" a, b a "), ["a", "b"]);
  const looks = new Set(Array.from({ length: 12 }, (_, n) => JSON.stringify(lookOf(n))));
  assert.equal(looks.size, 12);
});
