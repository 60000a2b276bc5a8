import assert from "node:assert/strict";
import { test } from "node:test";
import * as maps from "../../web/js/logic/maps.js";
import { problem, read, runName } from "../../web/js/logic/parameters.js";
import { isOver, PACES, paceAt, paceText, progress, Trainings } from "../../web/js/logic/trainings.js";

const rate = { name: "learning_rate", type: "number", exclusive_minimum: 0, maximum: 1, allowed: "a number above 0 and at most 1", nullable: false };
const episodes = { name: "episodes", type: "integer", minimum: 1, allowed: "a whole number of at least 1" };
const choice = { name: "algorithm", type: "string", choices: ["sarsa", "q-learning"], allowed: "one of sarsa, q-learning" };
const name = { name: "name", type: "string", nullable: true, allowed: "a text" };

test("what is typed is checked by the schema, with the range in the sentence", () => {
  for (const [parameter, text] of [[rate, "0.5"], [rate, "1"], [rate, "1e-3"], [rate, ".5"], [episodes, "1"], [episodes, "1e3"], [choice, "sarsa"], [name, ""], [name, "a"]]) assert.equal(problem(parameter, read(parameter, text)), null, text);
  for (const [parameter, text] of [[rate, "0"], [rate, "1.01"], [rate, "NaN"], [rate, "Infinity"], [rate, "1e999"], [rate, "half"], [rate, ""], [rate, "0x1"], [episodes, "0"], [episodes, "2.5"], [episodes, "-3"], [choice, "magic"]]) {
    const why = problem(parameter, read(parameter, text));
    assert.ok(why?.includes(parameter.allowed), `${parameter.name} ${text}: ${why}`);
  }
  assert.match(problem(rate, 7), /learning rate must be a number above 0 and at most 1, not 7/);
  assert.deepEqual(read({ name: "o", type: "object" }, '{"a": 1}'), { a: 1 });
  assert.ok(problem({ name: "o", type: "object" }, read({ name: "o", type: "object" }, "[1]")));
});

test("a run that is given no name is called by its environment, map, algorithm and seed", () => {
  const parameters = [{ name: "env", type: "string", default: "GridWorld-v0" }, { name: "algorithm", type: "string", default: "q-learning" }, { name: "seed", type: "integer", default: 0 }, ...["env_kwargs", "difficulty", "map_seed", "hazards"].map((other) => ({ name: other, type: "string", default: null }))];
  // As gridworld.starting.run_name calls them.
  for (const [given, called] of [
    [{}, "gridworld-easy-0"],
    [{ difficulty: "hard", map_seed: 0, hazards: true, seed: 7 }, "gridworld-hard-map0-hazards-7"],
    [{ hazards: false, algorithm: "sarsa" }, "gridworld-easy-sarsa-0"],
    [{ env_kwargs: { desc: ["SG"] } }, "gridworld-map-0"],
    [{ env: "Taxi-v4", algorithm: "n-step-sarsa", seed: 3 }, "taxi-n-step-sarsa-3"],
    [{ env: "FrozenLake8x8-v1" }, "frozenlake8x8-0"],
    [{ env: "Own-very-v2-b" }, "own-very-0"],
    [{ env: "Unversioned" }, "unversioned-0"],
    [{ env: "" }, ""],
  ]) assert.equal(runName(given, parameters), called);
});

const drawn = (...desc) => ({ desc, goal_reward: 1, hazard_reward: -1, step_reward: 0 });

test("a map that cannot be solved is refused with the reason", () => {
  assert.equal(maps.problem(maps.blank()), null);
  assert.match(maps.problem(drawn("S#", "#G")), /walls close every way/);
  assert.match(maps.problem(drawn("SX", "XG")), /hazard/);
  assert.match(maps.problem(drawn("..", ".G")), /one start/);
  assert.match(maps.problem(drawn("S.", "..")), /goal/);
  assert.match(maps.problem({ ...drawn("SG"), goal_reward: Number.NaN }), /goal reward/);
});

test("the shortest way goes round walls and hazards", () => {
  assert.deepEqual(maps.shortest(drawn("S#G", "...")), [[0, 0], [1, 0], [1, 1], [1, 2], [0, 2]]);
  assert.equal(maps.shortest(drawn("SXG", "...")).length, 5);
  assert.equal(maps.shortest(drawn("SG.", "..G")).length, 2);
  assert.equal(maps.shortest(drawn("S#G")), null);
});

test("drawing keeps one start, and a size keeps what fits", () => {
  const moved = maps.paint(maps.blank(3, 3), 1, 1, "S");
  assert.deepEqual(moved.desc, ["...", ".S.", "..G"]);
  assert.deepEqual(maps.paint(moved, 9, 9, "#").desc, moved.desc);
  assert.deepEqual(maps.resize(moved, 2, 5).desc, [".....", ".S..."].map((line, i) => (i ? ".S..." : line)));
  assert.equal(maps.resize(moved, 999, 0).desc.length, maps.LARGEST);
});

test("a map survives its link, and what is none is refused", () => {
  const map = maps.paint(maps.blank(4, 5), 2, 2, "X");
  assert.deepEqual(maps.parse(maps.write(map)), map);
  for (const bad of ["", "{", "3", '{"desc": "S.G"}', '{"desc": ["S.", "G"]}', '{"desc": ["S?G"]}', '{"desc": []}', JSON.stringify({ desc: ["S".repeat(99)] }), '{"desc": ["SG"], "goal_reward": "x"}']) assert.throws(() => maps.parse(bad), Error, bad);
});

test("trainings follow what the server tells", () => {
  const known = new Trainings();
  known.listed({ allowed: true, reason: null, trainings: [{ training: "a", run: "r", state: "running", started_at: 1, figures: {} }] });
  assert.ok(known.receive({ type: "training_update", data: { training: "a", run: "r", state: "running", figures: { episode: 5, episodes: 10 } } }));
  assert.equal(progress(known.of("r")), 0.5);
  known.receive({ type: "training_started", data: { id: 3, training: "b", run: "q", state: "running", started_at: 2, figures: {} } });
  assert.deepEqual(known.all.map((one) => one.training), ["b", "a"]);
  assert.equal(known.of("q").id, undefined);
  known.receive({ type: "training_stopped", data: { training: "a", run: "r", state: "failed", started_at: 1, figures: {}, problem: "x" } });
  assert.ok(isOver(known.of("r")));
  assert.ok(!isOver(known.of("q")));
  assert.equal(known.receive({ type: "metrics", data: {} }), false);
  assert.equal(known.receive({ type: "training_update", data: { training: "never seen" } }), true);
});

test("the pace slider finds a pace again", () => {
  for (const [position, pace] of PACES.entries()) assert.equal(paceAt(pace), position);
  assert.equal(paceAt(3), 2);
  assert.equal(paceAt(5000), PACES.length - 2);
  assert.deepEqual([null, 60, 0.05, 2000].map(paceText), ["full", "60/s", "0.05/s", "2,000/s"]);
});

test("an answer that was on its way takes back nothing that was told meanwhile", () => {
  const known = new Trainings();
  const one = (training, state, more = {}) => ({ training, run: `run-${training}`, state, started_at: 1, figures: {}, ...more });
  const list = (...trainings) => ({ allowed: true, reason: null, trainings });
  known.listed(list(one("a", "running"), one("b", "running"), one("gone", "running")));
  const since = known.told;
  known.receive({ type: "training", data: one("a", "paused") });
  known.receive({ type: "training_started", data: one("c", "running") });
  known.listed(list(one("a", "running"), one("b", "stopping")), since);
  assert.deepEqual([...known.known.values()].map(({ training, state }) => `${training} ${state}`).sort(), ["a paused", "b stopping", "c running"]);
  known.started(one("c", "starting"));
  known.started(one("d", "starting"));
  assert.deepEqual([known.known.get("c").state, known.known.get("d").state], ["running", "starting"]);
  const later = known.told;
  known.receive({ type: "training_update", data: one("b", "paused") });
  known.listed(list(one("a", "running"), one("b", "running", { parameters: { epsilon: 0.5 } })), later);
  assert.deepEqual([known.known.get("b").state, known.known.get("b").parameters], ["paused", { epsilon: 0.5 }], "an update tells only so much");
  known.listed(list(one("a", "running")));
  assert.deepEqual(known.all.map(({ training, state }) => `${training} ${state}`), ["a running"], "a later list stands");
});
