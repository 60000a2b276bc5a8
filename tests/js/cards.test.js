import assert from "node:assert/strict";
import { test } from "node:test";
import { cardOf } from "../../web/js/logic/cards.js";
import { initialState } from "../../web/js/logic/state.js";

const HERE = { command: "bin/reel", trains: true };
const card = (/** @type {any} */ more, asked = null, here = HERE) => cardOf({ ...initialState(), connection: "open", ...more }, asked, here);
const acts = ({ buttons }) => buttons.map(([, act]) => act);

test("a picture has no card", () => {
  assert.equal(card({ run: { run: "r" }, episode: 3 }), null);
  assert.equal(card({}), null, "nor has a page that waits for its first answer");
});

test("nothing recorded: every way to begin, and only those there are", () => {
  const { ways, title } = card({ empty: true });
  assert.equal(title, "Nothing recorded yet");
  assert.deepEqual(ways.map(({ act, code }) => act ?? code.split("\n")[0]), ["train", "bin/reel train", "from recorder import EpisodeRecorder"]);
  const fewer = card({ empty: true }, null, { ...HERE, trains: false }).ways;
  assert.deepEqual(fewer.map(({ act }) => act), [undefined, undefined]);
  assert.equal(card({ empty: true, run: { run: "r" }, episode: 0 }), null, "once an episode is there, it is shown");
});

test("a problem: a sentence, and a way back to what was shown", () => {
  const problem = { code: "unknown_episode", message: "expected an episode of run 'r' (0 to 9), got 12" };
  const fresh = card({ problem });
  assert.deepEqual([fresh.title, fresh.text], ["There is no such episode", "Expected an episode of run 'r' (0 to 9), got 12."]);
  assert.deepEqual(acts(fresh), ["openLast", "again", "copy"]);
  assert.equal(fresh.copy, `unknown_episode: ${problem.message}`, "details are copied as the server said them");
  const later = card({ problem, run: { run: "r" }, episode: 1234 });
  assert.deepEqual(later.buttons[1], ["Back to episode 1,234", "back"]);
  assert.notEqual(fresh.key, later.key);
  assert.deepEqual(acts(card({ problem: { code: "unknown_run", message: "no." } })), ["openNewest", "again", "copy"]);
  assert.equal(card({ problem: { code: "unknown_run", message: "no." } }).text, "No.");
});

test("a run that is there and cannot be read is no unknown run", () => {
  const problem = { code: "damaged", message: "x" };
  const runs = [{ run: "r", status: "unreadable" }];
  assert.equal(card({ problem, runs }, "r").title, "This run cannot be read");
  assert.equal(card({ problem, runs }, "other").title, "This recording is damaged");
  assert.equal(card({ problem: { code: "odd", message: "x" } }).title, "This cannot be shown");
});

test("a run without episodes waits, or is over", () => {
  const metrics = { run: "r", recording: true };
  assert.equal(card({ run: { run: "r", status: "recording" }, metrics }).title, "Waiting for the first episode");
  assert.equal(card({ run: { run: "r", status: "finished" }, metrics: { ...metrics, recording: false } }).title, "This run has no episodes");
  assert.equal(card({ run: { run: "r" }, metrics, waitingSince: 5 }), null);
});

test("steps that are damaged or were not kept; a server of another age", () => {
  const shown = { run: { run: "r" }, episode: 7 };
  const damaged = card({ ...shown, missing: { reason: "damaged", from_episode: 7, to_episode: 9 } });
  assert.match(damaged.text, /episode 7 .* run r .*bin\/reel check/);
  assert.match(damaged.copy, /r\/run\.db\. Episodes 7 to 9/);
  assert.deepEqual(acts(damaged), ["next", "again", "copy"]);
  assert.deepEqual(acts(card({ ...shown, missing: { reason: "not_kept" } })), ["next"]);
  assert.deepEqual(acts(card({ ...shown, newer: 2, problem: { code: "x", message: "y" } })), ["reload", "copy"]);
});

test("where a part of the episode is damaged the card says which, and leads on behind it", () => {
  const there = { run: { run: "r" }, episode: 2, length: 9000, step: 4500, holes: [{ from: 4096, to: 8191 }] };
  const found = card(there);
  assert.match(found.text, /^Steps 4,096 to 8,191 of episode 2 cannot be read/);
  assert.deepEqual(acts(found), ["behind", "copy"]);
  assert.equal(card({ ...there, step: 4095 }), null);
  assert.deepEqual(acts(card({ ...there, holes: [{ from: 4096, to: 8999 }], step: 9000 })), ["next", "copy"]);
});
