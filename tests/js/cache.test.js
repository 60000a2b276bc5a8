import assert from "node:assert/strict";
import { test } from "node:test";
import { EpisodeCache } from "../../web/js/logic/cache.js";
import { column, steps } from "./wire.js";

/** A cache in which episode 4 of ten steps has begun at `from`. */
function begun(from = 0, before = 0) {
  const cache = new EpisodeCache();
  cache.start({ episode: 4, length: 10, from, return_before: before });
  return cache;
}

test("batches that follow each other make one episode", () => {
  const cache = begun();
  cache.add(steps(0, 4));
  cache.add(steps(4, 6));
  assert.ok(cache.complete());
  assert.equal(cache.observation(7), 7);
  assert.deepEqual(cache.row(5).channels.q_values, [5, 0, -5, 0.5]);
  assert.equal(cache.row(5).channels.explored, false);
});

test("action 0, reward 0 and observation 0 are values, not absences", () => {
  const cache = begun();
  cache.add(steps(0, 1));
  assert.equal(cache.observation(0), 0);
  assert.equal(cache.row(0).action, 0);
  assert.equal(cache.returnBefore(0), 0);
});

test("doubled and overlapping batches change nothing", () => {
  const cache = begun();
  cache.add(steps(0, 5));
  cache.add(steps(0, 5));
  cache.add(steps(3, 4));
  assert.equal(cache.known(), 10);
  assert.equal(cache.observation(6), 6);
  assert.equal(cache.observation(7), undefined);
  assert.equal(cache.returnBefore(7), -7);
});

test("a seek into the middle knows the return from what the server says", () => {
  const cache = begun(6, -6);
  cache.add(steps(6, 2));
  assert.equal(cache.returnBefore(6), -6);
  assert.equal(cache.returnBefore(8), -8);
  assert.equal(cache.returnBefore(3), undefined);
  assert.equal(cache.has(3), false);
  assert.equal(cache.nearest(9), 7);
  assert.equal(cache.nearest(2), null);
});

test("the whole episode replaces the pieces it covers", () => {
  const cache = begun(6, -6);
  cache.add(steps(6, 2));
  cache.add(steps(0, 10));
  assert.equal(cache.spans.length, 1);
  assert.ok(cache.complete());
});

test("position T shows the final observation and the whole return", () => {
  const cache = begun();
  cache.add(steps(0, 10));
  assert.equal(cache.has(10), false);
  cache.finish({ episode: 4, length: 10, final_observation: column("<i8", [99]) });
  assert.equal(cache.observation(10), 99);
  assert.equal(cache.returnBefore(10), -10);
  assert.equal(cache.row(10), undefined);
});

test("steps of another episode are none of its business", () => {
  const cache = begun();
  cache.add(steps(0, 3, { episode: 5 }));
  assert.equal(cache.has(0), false);
});

test("starting the same episode again keeps its rows, another one forgets them", () => {
  const cache = begun();
  cache.add(steps(0, 3));
  cache.start({ episode: 4, length: 10, from: 2, return_before: -2 });
  assert.ok(cache.has(1));
  cache.start({ episode: 5, length: 3, from: 0, return_before: 0 });
  assert.equal(cache.has(1), false);
});

test("a running episode of great length does not grow without end", () => {
  const cache = new EpisodeCache();
  cache.start({ episode: 4, length: null, from: 0, return_before: 0 });
  for (let from = 0; from < 120_000; from += 1000) cache.add(steps(from, 1000));
  const rows = cache.spans.reduce((sum, span) => sum + span.count, 0);
  assert.ok(rows <= 50_000, `${rows} rows kept`);
  assert.equal(cache.observation(119_999), 119_999);
  assert.equal(cache.returnBefore(119_999), -119_999);
});
