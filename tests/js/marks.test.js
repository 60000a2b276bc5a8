import assert from "node:assert/strict";
import { test } from "node:test";
import { marksOf, nextEvent, nextMark, usual } from "../../web/js/logic/marks.js";
import { format, parse } from "../../web/js/logic/route.js";
import { Settings } from "../../web/js/logic/settings.js";

const REWARDS = [-1, -1, 5, -1, -10, -1];
const EVENTS = [
  { at: 1, episode: 2, global_step: 20, kind: "stage", text: "harder" },
  { at: 2, episode: 4, global_step: 43, kind: "note", text: "look" },
  { at: 3, episode: 4, global_step: 45, kind: "gap", text: "" },
  { at: 4, episode: 9, global_step: 99, kind: "note", text: "" },
];
const EPISODE = { episode: 4, known: 6, length: 6, firstStep: 40, reward: (t) => REWARDS[t] };

test("marks are unusual rewards, the timeline's events and the end, in order", () => {
  const marks = marksOf(EPISODE, EVENTS);
  assert.deepEqual(
    marks.map(({ step, kind }) => [step, kind]),
    [[3, "up"], [3, "event"], [5, "down"], [5, "gap"], [6, "end"]],
  );
  assert.equal(marks[1].text, "look");
  assert.equal(marks[3].text, "gap");
});

test("an episode that runs has no end, and steps that are not here no marks", () => {
  const marks = marksOf({ ...EPISODE, length: null, reward: (t) => (t < 3 ? REWARDS[t] : undefined) }, []);
  assert.deepEqual(marks.map(({ kind }) => kind), ["up"]);
});

test("the previous and the next mark lie strictly to either side", () => {
  const marks = marksOf(EPISODE, EVENTS);
  assert.equal(nextMark(marks, 0, 1).step, 3);
  assert.equal(nextMark(marks, 3, 1).step, 5);
  assert.equal(nextMark(marks, 3, -1), undefined);
  assert.equal(nextMark(marks, 6, 1), undefined);
  assert.equal(nextEvent(EVENTS, 4, 1).episode, 9);
  assert.equal(nextEvent(EVENTS, 4, -1).episode, 2);
  assert.equal(nextEvent(EVENTS, 9, 1), undefined);
});

test("the usual reward is the commonest", () => {
  assert.equal(usual([0, 0, 1, undefined]), 0);
  assert.equal(usual([]), 0);
});

test("settings that are not as usual are in the address, and come back from it", () => {
  const settings = new Settings();
  const values = { x: "episode", ov: "q" };
  for (const name of Object.keys(values)) {
    settings.add(name, { get: () => values[name], set: (value) => (values[name] = value) });
  }
  assert.deepEqual(settings.view(), {});
  values.x = "step";
  const hash = format({ run: "a", episode: 3, step: 4, view: settings.view() });
  assert.equal(hash, "#run=a&ep=3&step=4&x=step");
  values.ov = "value";
  settings.restore(parse(hash).view);
  assert.deepEqual(values, { x: "step", ov: "q" });
});

test("a setting cannot pose as the place, nor fill the address", () => {
  assert.equal(format({ run: "a", view: { run: "b", q: "" } }), "#run=a");
  assert.deepEqual(parse(`#q=${"x".repeat(501)}&x=step`).view, { x: "step" });
});
