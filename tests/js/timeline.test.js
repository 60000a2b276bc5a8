/** What the timeline marks: all of it is read, whatever the server gives at once, and nothing twice. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { leftOut } from "../../web/js/logic/marks.js";
import { MOST_EVENTS, Timeline } from "../../web/js/logic/timeline.js";

/** A server that gives 1,000 at once. @param {Record<string, number>} totals  by run */
function serverOf(totals) {
  /** @type {[string, number][]} */
  const asked = [];
  const ask = async (/** @type {string} */ run, /** @type {number} */ skip) => {
    asked.push([run, skip]);
    const total = totals[run];
    const count = Math.max(0, Math.min(1000, total - skip));
    return { events: Array.from({ length: count }, (_, i) => ({ at: 0, episode: skip + i, global_step: 0, kind: "note", text: "" })), total };
  };
  return { ask, asked };
}

/** @param {Timeline} timeline @param {string} run */
async function episodesOf(timeline, run) {
  /** @type {number[]} */
  let shown = [];
  await timeline.read(run, (events) => {
    shown = events.map((event) => event.episode);
  });
  return shown;
}

const upTo = (/** @type {number} */ first, /** @type {number} */ stop) => Array.from({ length: stop - first }, (_, i) => first + i);

test("more than the server gives at once are read to the last", async () => {
  const { ask } = serverOf({ a: 2500 });
  assert.deepEqual(await episodesOf(new Timeline(ask), "a"), upTo(0, 2500));
});

test("of a run that records only what came since is asked for", async () => {
  const totals = { a: 3 };
  const { ask, asked } = serverOf(totals);
  const timeline = new Timeline(ask);
  await episodesOf(timeline, "a");
  totals.a = 5;
  assert.deepEqual(await episodesOf(timeline, "a"), upTo(0, 5));
  assert.deepEqual(asked, [["a", 0], ["a", 3]]);
});

test("of too many the newest are kept", async () => {
  const { ask, asked } = serverOf({ a: 1_000_000 });
  assert.deepEqual(await episodesOf(new Timeline(ask), "a"), upTo(1_000_000 - MOST_EVENTS, 1_000_000));
  assert.equal(asked.length, 1 + MOST_EVENTS / 1000);
});

test("another run, and another one of that name, begin anew", async () => {
  const totals = { a: 3, b: 2 };
  const timeline = new Timeline(serverOf(totals).ask);
  await episodesOf(timeline, "a");
  assert.deepEqual(await episodesOf(timeline, "b"), upTo(0, 2));
  totals.b = 1;
  assert.deepEqual(await episodesOf(timeline, "b"), upTo(0, 1));
});

test("what comes of a run that was left is not shown", async () => {
  const { ask } = serverOf({ a: 3, b: 2 });
  const timeline = new Timeline(ask);
  const late = episodesOf(timeline, "a");
  assert.deepEqual(await episodesOf(timeline, "b"), upTo(0, 2));
  assert.deepEqual(await late, []);
});

test("how many older ones are left out is said, with the episode from which on there are marks", async () => {
  const totals = { a: 1_000_000, b: 3 };
  const timeline = new Timeline(serverOf(totals).ask);
  await episodesOf(timeline, "a");
  assert.equal(timeline.older, 980_000);
  assert.equal(leftOut(timeline.events, timeline.older), "Only the newest 20,000 of this run's 1,000,000 events are marked: those from episode 980,000 on");
  totals.a += 1;
  await episodesOf(timeline, "a");
  assert.equal(timeline.older, 980_001);
  await episodesOf(timeline, "b");
  assert.equal(timeline.older, 0);
  assert.equal(leftOut(timeline.events, timeline.older), null);
});
