/** What the inspector derives: return-to-go, TD error, what changed, steps with an action. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EpisodeCache } from "../../web/js/logic/cache.js";
import { Grid } from "../../web/js/logic/grid.js";
import { changes, discountOf, returnToGo, stepAsJson, stepsWith, tdError } from "../../web/js/logic/insight.js";
import { initialState } from "../../web/js/logic/state.js";
import { column } from "./wire.js";

const RUN = { run: "r", hyperparameters: { discount: 0.5 }, presentation: { kind: "grid", actions: [{ name: "left" }, { name: "right" }] } };
const GRID = new Grid({ kind: "grid", rows: 1, columns: 4, cells: ["S..G"] });
const STATES = [0, 1, 1, 2];
const Q = [[0, 1], [2, 4], [2, 6], [8, 0]];
const REWARDS = [-1, -1, 0, 10];

function episode(count = 4, length = 4) {
  const cache = new EpisodeCache();
  cache.start({ episode: 4, length, from: 0, return_before: 0 });
  cache.add({
    episode: 4, from: 0, count,
    columns: {
      observation: column("<i8", STATES.slice(0, count)),
      action: column("<i8", [1, 0, 1, 1].slice(0, count)),
      reward: column("<f8", REWARDS.slice(0, count)),
      q_values: column("<f8", Q.slice(0, count), [2]),
      epsilon: column("<f8", [0.5, 0.5, 0.25, 0.25].slice(0, count)),
      info: { dtype: "json", shape: [count], data: [{}, { luck: 1 }, { luck: 2 }, { luck: 2 }].slice(0, count) },
    },
  });
  cache.finish({ episode: 4, length, final_observation: column("<i8", [3]) });
  return cache;
}
const STATE = { ...initialState(), run: RUN, episode: 4, length: 4, info: { episode: 4, first_step: 90, terminated: true } };

test("return to go: discounted, and silent where a reward is missing", () => {
  assert.equal(returnToGo(episode(), 3, 0.5), 10);
  assert.equal(returnToGo(episode(), 0, 0.5), -1 + 0.5 * (-1 + 0.5 * (0 + 0.5 * 10)));
  assert.equal(returnToGo(episode(), 4, 0.5), 0, "nothing is left at the end");
  assert.equal(returnToGo(episode(3), 0, 0.5), undefined);
  assert.equal(returnToGo(episode(), 0, null), undefined);
});

test("the discount is the run's own, by either name, or none", () => {
  assert.equal(discountOf(RUN), 0.5);
  assert.equal(discountOf({ hyperparameters: { gamma: 0.9 } }), 0.9);
  assert.equal(discountOf({ hyperparameters: { gamma: "high" } }), null);
  assert.equal(discountOf(null), null);
});

test("TD error: on the next row, on the table where the next row has learned, and on none at a terminal", () => {
  assert.equal(tdError(STATE, episode(), 0, null), -1 + 0.5 * 4 - 1);
  const table = { step: 1, row: () => [2, 4] };
  assert.equal(tdError(STATE, episode(), 1, table), -1 + 0.5 * 4 - 2, "state 1 leads to itself: its row before the step");
  assert.equal(tdError(STATE, episode(), 3, null), 10 - 0);
  const cut = { ...STATE, info: { ...STATE.info, terminated: false } };
  assert.equal(tdError(cut, episode(), 3, null), undefined, "nothing is known behind a timeout");
  assert.equal(tdError(cut, episode(), 3, { step: 3, row: () => [3, 1] }), 10 + 0.5 * 3 - 0);
});

test("changes: place, what was learned, channels and info", () => {
  const table = { step: 2, row: () => [1.5, 4] };
  assert.deepEqual(changes(STATE, episode(), 2, GRID, table), [
    { name: "state", from: "(0, 1)", to: "stayed" },
    { name: "Q(s, left)", from: "2.000", to: "1.500" },
    { name: "epsilon", from: "0.5000", to: "0.2500" },
    { name: "info luck", from: "1", to: "2" },
  ]);
  assert.deepEqual(changes(STATE, episode(), 0, GRID, null), []);
  const learned = (value) => changes(STATE, episode(), 2, GRID, { step: 2, row: () => [value, 4] })[1];
  assert.deepEqual(learned(2.00004), { name: "Q(s, left)", from: "2.00000", to: "2.00004" }, "as many decimals as tell the two apart");
  assert.deepEqual(learned(2 - 3e-9), { name: "Q(s, left)", from: "2.000", to: "2.000 (\u22123.0e\u22129)" });
});

test("steps with an action, and a step for programs", () => {
  assert.deepEqual(stepsWith(episode(), 1), [0, 2, 3]);
  const step = stepAsJson(STATE, episode(), 1, { returnToGo: 2.5, tdError: -1 });
  assert.deepEqual([step.run, step.episode, step.step, step.global_step], ["r", 4, 1, 91]);
  assert.deepEqual([step.action_name, step.return_so_far, step.return_to_go, step.q_values, step.info], ["left", -1, 2.5, [2, 4], { luck: 1 }]);
});
