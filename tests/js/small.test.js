import assert from "node:assert/strict";
import { test } from "node:test";
import { runTitle } from "../../web/js/logic/format.js";
import { worth } from "../../web/js/logic/heat.js";
import { keyed, lastEpisode } from "../../web/js/logic/learning.js";
import { imageOf } from "../../web/js/logic/looks.js";
import { Seeks } from "../../web/js/logic/seeks.js";
import { initialState, otherLive, stepsPerSecond } from "../../web/js/logic/state.js";

test("a run is called by its name, how it learns where the name does not say, and its seed", () => {
  assert.equal(runTitle({ run: "r1" }), "r1");
  assert.equal(runTitle({ run: "r1", name: "maze", algorithm: "sarsa", seed: 0 }), "maze · sarsa · seed 0");
  assert.equal(runTitle({ run: "r1", name: "maze sarsa", algorithm: "sarsa", seed: null }), "maze sarsa");
  assert.equal(runTitle({ run: "r1", name: "maze", algorithm: "sarsa", status: "unreadable" }), "maze · unreadable");
});

test("a state is worth the greatest of its values; of a change, what the change says", () => {
  assert.equal(worth({ row: () => [], visitsOf: () => 1 }, 3, [-2, -1, -5]), -1);
  assert.equal(worth({ row: () => [], visitsOf: () => 1, value: (o) => o / 2 }, 3, [9, 9]), 1.5);
});

test("keys on the scrubber: one, a tenth, the ends, and never beyond", () => {
  const to = (key, moment = 50) => keyed(key, moment, 100);
  assert.deepEqual(["ArrowLeft", "ArrowUp", "PageDown", "PageUp", "Home", "End"].map((key) => to(key)), [49, 51, 40, 60, 0, 100]);
  assert.deepEqual([to("ArrowLeft", 0), to("PageUp", 95)], [0, 100]);
  assert.equal(keyed("PageUp", 0, 3), 1, "a tenth of a short run is one");
  assert.deepEqual([to("a"), to("Enter"), to("toString")], [null, null, null]);
});

test("the last episode is the greatest that is known, of this run", () => {
  const state = (more) => ({ ...initialState(), run: { run: "r", episodes: 10 }, ...more });
  assert.equal(lastEpisode(state({})), 9);
  assert.equal(lastEpisode(state({ metrics: { run: "r", episodes: 25 } })), 24);
  assert.equal(lastEpisode(state({ metrics: { run: "another", episodes: 25 } })), 9);
  assert.equal(lastEpisode(state({ episode: 40 })), 40);
  assert.equal(lastEpisode(initialState()), 0);
});

test("a picture is a channel of pixels, else an observation of pixels, else none", () => {
  const pixels = Array.from({ length: 8 * 8 * 3 }, (_, i) => i % 256);
  const cache = (channels, observation) => ({ value: (name, step) => channels[name]?.[step], observation: () => observation });
  const space = { type: "Box", shape: [8, 8, 3], dtype: "uint8" };
  const frames = { channels: [{ name: "q", shape: [4], dtype: "<f8" }, { name: "frame", shape: [8, 8, 3], dtype: "|u1" }], observation_space: space };
  const found = imageOf(frames, cache({ frame: [pixels] }, undefined), 0);
  assert.deepEqual([found.name, found.width, found.height, found.channels, found.values], ["frame", 8, 8, 3, pixels]);
  assert.equal(imageOf(frames, cache({ frame: [pixels] }, undefined), 1).name, "frame", "behind the last step the last frame stays");
  assert.deepEqual(imageOf({ observation_space: space }, cache({}, [pixels]), 0).values, pixels);
  assert.equal(imageOf({ observation_space: { ...space, dtype: "float32" } }, cache({}, pixels), 0), null);
  assert.equal(imageOf({ observation_space: { ...space, shape: [4, 4] } }, cache({}, pixels), 0), null);
  assert.equal(imageOf({ observation_space: { ...space, shape: [8, 8, 2] } }, cache({}, pixels), 0), null);
  assert.equal(imageOf(null, cache({}, pixels), 0), null);
});

test("another run that records, never the open one; speed in steps a second", () => {
  const runs = [{ run: "a", status: "recording" }, { run: "b", status: "finished" }, { run: "c", status: "recording" }];
  assert.equal(otherLive({ ...initialState(), runs, run: runs[0] }).run, "c");
  assert.equal(otherLive({ ...initialState(), runs, run: runs[1] }).run, "a");
  assert.equal(otherLive({ ...initialState(), runs: runs.slice(0, 2), run: runs[0] }), undefined);
  const state = { ...initialState(), speed: 2 };
  assert.equal(stepsPerSecond(state), 20, "a grid plays ten steps a second");
  assert.equal(stepsPerSecond({ ...state, run: { run: "r", presentation: { steps_per_second: 50 } } }), 100);
  assert.equal(stepsPerSecond({ ...state, speed: "max" }), null);
});

test("one seek in the air, and behind it only the newest wish", () => {
  let clock = 0;
  const sent = [];
  const seeks = new Seeks((place) => sent.push(place), () => clock);
  const place = (step, playing = null) => ({ episode: 1, step, playing });
  assert.equal(seeks.want(place(5, false)), true);
  seeks.want(place(6, true));
  seeks.want(place(7));
  assert.deepEqual(sent.map(({ step }) => step), [5]);
  assert.deepEqual(seeks.target, place(7, true), "what was wished of playing is not lost on the way");
  seeks.answer(99);
  assert.equal(seeks.due, true, "an answer to something else is none");
  seeks.answer(1);
  assert.deepEqual(sent.map(({ step }) => step), [5, 7], "what was overtaken is never sent");
  seeks.answer(2);
  assert.deepEqual([seeks.due, seeks.target], [false, null]);
  // An answer that never comes is not waited for for ever.
  seeks.want(place(8));
  clock = 4_000;
  assert.equal(seeks.due, true);
  clock = 4_001;
  assert.equal(seeks.due, false);
  // Offline there is no one to ask, and nothing is due.
  const offline = new Seeks(() => null, () => clock);
  assert.deepEqual([offline.want(place(1)), offline.due], [false, false]);
});
