import assert from "node:assert/strict";
import { test } from "node:test";
import { Session } from "../../web/js/logic/session.js";
import { behind, chip, ended, stalledSince, holeAt } from "../../web/js/logic/state.js";
import { column, steps } from "./wire.js";

const RUN = { run: "maze-7", status: "finished", episodes: 9, presentation: { kind: "grid" } };

/** A session on an open run, with what it sent, its events, and a clock to turn. */
function viewer({ run = RUN, state = {} } = {}) {
  const sent = [];
  const events = [];
  const world = { now: 0, online: true };
  const session = new Session(
    (type, data) => {
      if (world.online) sent.push([type, data]);
      return world.online;
    },
    (event) => events.push(event),
    () => world.now,
  );
  const say = (type, data) => session.receive({ type, data });
  session.open({ run: run.run });
  say("run", run);
  say("state", { id: sent[0][1].id, epoch: 1, run: run.run, status: "playing", playing: true, live: false, episode: 4, step: 0, length: 10, speed: 1, loop: "off", autoplay: false, behind: 0, ...state });
  say("episode_start", { epoch: 1, episode: 4, length: 10, from: 0, return_before: 0, first_step: 40 });
  say("steps", { epoch: 1, ...steps(0, 1) });
  sent.length = 0;
  return { session, state: session.state, sent, events, world, say };
}

test("steps move the position to where the server is", () => {
  const { state, say } = viewer();
  say("steps", { epoch: 1, ...steps(1, 3) });
  assert.equal(state.step, 3);
  assert.equal(state.episode, 4);
});

test("messages of an older epoch are dropped", () => {
  const { state, session, say } = viewer();
  say("state", { epoch: 2, playing: false, status: "paused", live: false, episode: 4, step: 6, length: 10 });
  say("steps", { epoch: 1, ...steps(1, 3) });
  assert.equal(state.step, 6);
  assert.equal(session.cache.has(2), false);
});

test("types and fields of a newer protocol are ignored", () => {
  const { state, say } = viewer();
  const before = structuredClone(state);
  say("hologram", { epoch: 9 });
  assert.deepEqual(state, before);
});

test("the end of an episode stands at its length, where play means play again", () => {
  const { session, state, sent, say } = viewer();
  say("steps", { epoch: 1, ...steps(1, 9) });
  say("episode_end", { epoch: 1, episode: 4, length: 10, episode_return: -10, terminated: true, truncated: false, final_observation: column("<i8", [10]) });
  say("state", { epoch: 1, playing: false, status: "ended", live: false, episode: 4, step: 10, length: 10 });
  assert.equal(state.step, 10);
  assert.ok(ended(state));
  session.toggle();
  assert.deepEqual(sent.at(-1)[1].seek, { episode: 4, step: 0 });
  assert.equal(sent.at(-1)[1].playing, true);
});

test("stepping is absolute, pauses, and shows at once", () => {
  const { session, state, sent } = viewer();
  session.stepBy(1);
  assert.equal(state.step, 1);
  assert.deepEqual(sent[0], ["control", { id: sent[0][1].id, seek: { episode: 4, step: 1 }, playing: false }]);
});

test("what is said of playing after a seek that waits for its turn comes after it", () => {
  const { session, sent, say, state } = viewer();
  session.stepBy(1);
  session.stepBy(1);
  session.play();
  assert.equal(sent.length, 2, "one step is in the air, one waits");
  say("state", { id: sent[0][1].id, epoch: 2, status: "paused", playing: false, live: false, episode: 4, step: 1, length: 10 });
  assert.deepEqual([sent[2][1].seek.step, sent[2][1].playing], [2, true]);
  session.pause();
  session.seek(7);
  say("state", { id: sent[2][1].id, epoch: 3, status: "playing", playing: true, live: false, episode: 4, step: 2, length: 10 });
  assert.equal(sent.at(-1)[1].playing ?? false, false);
  assert.equal(state.playing, false);
});

test("a seek past either end is clamped", () => {
  const { session, state } = viewer();
  session.seek(99);
  assert.equal(state.step, 10);
  session.seek(-5);
  assert.equal(state.step, 0);
});

test("while a seek is due, one is in the air and the newest wish follows it", () => {
  const { session, state, sent, say } = viewer();
  for (const step of [2, 3, 4, 5]) session.seek(step);
  assert.equal(sent.length, 1);
  say("state", { id: sent[0][1].id, epoch: 2, playing: true, status: "playing", live: false, episode: 4, step: 2, length: 10 });
  assert.equal(sent.length, 2);
  assert.deepEqual(sent[1][1].seek, { episode: 4, step: 5 });
  say("steps", { epoch: 2, ...steps(0, 3) });
  assert.equal(state.step, 5, "the answer to the older seek does not pull the slider back");
  say("state", { id: sent[1][1].id, epoch: 3, playing: true, status: "playing", live: false, episode: 4, step: 5, length: 10 });
  say("steps", { epoch: 3, ...steps(0, 7) });
  assert.equal(state.step, 6);
});

test("an answer that never comes is not waited for", () => {
  const { session, state, world, say } = viewer();
  session.seek(5);
  world.now = 3_999;
  say("steps", { epoch: 1, ...steps(1, 1) });
  assert.equal(state.step, 5);
  world.now = 4_001;
  say("steps", { epoch: 1, ...steps(2, 1) });
  assert.equal(state.step, 2);
});

test("without a connection what is loaded stays scrubbable, and resume tells where", () => {
  const { session, state, sent, world } = viewer();
  world.online = false;
  session.seek(7);
  session.stepBy(-1);
  assert.equal(state.step, 6);
  world.online = true;
  session.resume();
  assert.deepEqual(sent.at(-1)[0], "open");
  const { run, episode, step, playing } = sent.at(-1)[1];
  assert.deepEqual({ run, episode, step, playing }, { run: "maze-7", episode: 4, step: 6, playing: false });
});

test("resume at step 0 of episode 0 is that, not the default", () => {
  const { session, sent, say } = viewer();
  say("state", { epoch: 2, playing: false, status: "paused", live: false, episode: 0, step: 0, length: 3 });
  session.resume();
  assert.equal(sent.at(-1)[1].episode, 0);
  assert.equal(sent.at(-1)[1].step, 0);
});

test("a new connection counts its epochs from the start", () => {
  const { session, state, say } = viewer();
  say("state", { epoch: 12, playing: false, status: "paused", live: false, episode: 4, step: 3, length: 10 });
  session.resume();
  say("state", { epoch: 1, playing: false, status: "paused", live: false, episode: 4, step: 8, length: 10 });
  assert.equal(state.step, 8);
});

const LIVE = { run: { ...RUN, status: "recording" }, state: { live: true, status: "live" } };

test("live, paused from live, history: the chip and what one is behind", () => {
  const { session, state, say } = viewer(LIVE);
  assert.equal(chip(state), "live");
  say("metrics", { run: "maze-7", recording: true, episodes: 8, steps: 80 });
  session.pause();
  assert.equal(chip(state), "paused");
  assert.equal(behind(state), 3);
  say("state", { epoch: 2, playing: false, status: "paused", live: false, episode: 2, step: 0, length: 10 });
  assert.equal(chip(state), "archive");
  say("state", { epoch: 3, playing: true, status: "live", live: true, episode: 7, step: 0, length: null });
  assert.equal(chip(state), "live");
});

test("an episode that live went on to before the server heard of the pause is the one paused", () => {
  const { session, state, sent, say } = viewer(LIVE);
  say("metrics", { run: "maze-7", recording: true, episodes: 8, steps: 80 });
  session.pause();
  const { id } = sent.at(-1)[1];
  say("episode_start", { epoch: 1, episode: 7, from: 0, length: 10 });
  say("state", { epoch: 1, id, playing: false, status: "paused", live: false, episode: 7, step: 1, length: 10 });
  assert.equal(chip(state), "paused");
  session.setLoop("episode");
  say("state", { epoch: 2, id: sent.at(-1)[1].id, playing: false, status: "paused", live: false, episode: 3, step: 0, length: 10 });
  assert.equal(chip(state), "archive");
});

test("each way of leaving live is noticed", () => {
  for (const leave of [(s) => s.pause(), (s) => s.stepBy(-1), (s) => s.seek(0), (s) => s.setSpeed(2)]) {
    const { session, state } = viewer(LIVE);
    leave(session);
    assert.equal(state.live, false);
    assert.equal(state.pausedLive, 4);
  }
});

test("return to live finds the run that records, this one or another", () => {
  const here = viewer(LIVE);
  here.session.pause();
  here.session.goLive();
  assert.equal(here.sent.at(-1)[1].live, true);
  const there = viewer();
  there.state.runs = [{ run: "other-1", status: "recording" }];
  there.session.goLive();
  assert.equal(there.sent.at(-1)[1].run, "other-1");
});

test("an open that fails is a problem on the page; a failed seek is undone by the server's word", () => {
  const { session, state, sent, say } = viewer();
  session.open({ run: "nope" });
  say("error", { id: sent.at(-1)[1].id, code: "unknown_run", message: "no run nope" });
  assert.equal(state.problem.code, "unknown_run");
  assert.equal(chip(state), "error");
  session.seek(3, 4);
  assert.deepEqual(sent.at(-1)[0], "open", "there is nothing open to seek in");
  assert.equal(state.problem, null);
});

test("what the server refuses otherwise is told, and playback goes on", () => {
  const { session, state, sent, events, say } = viewer();
  session.setSpeed(4);
  say("error", { id: sent.at(-1)[1].id, code: "bad_message", message: "expected a message of at most 49,152 bytes, got 50,000" });
  assert.equal(events.at(-1), "error");
  assert.equal(state.problem, null);
  say("steps", { epoch: 1, ...steps(1, 3) });
  assert.equal(state.step, 3);
});

test("an open that fails stops what played before, and playing on goes back to it", () => {
  const { session, state, sent, say } = viewer();
  session.open({ run: RUN.run, episode: 99 });
  say("error", { id: sent.at(-1)[1].id, code: "unknown_episode", message: "no episode 99" });
  assert.equal(state.playing, false);
  assert.equal(sent.at(-1)[1].playing, false);
  session.toggle();
  const [type, data] = sent.at(-1);
  assert.deepEqual([type, data.run, data.episode, data.playing], ["open", RUN.run, 4, true]);
});

test("a link to what begins later can be opened once it is there", () => {
  const { session, sent, say } = viewer();
  session.open({ run: "late", episode: 3 });
  const refuse = (code) => say("error", { id: sent.findLast(([type]) => type === "open")[1].id, code, message: "no" });
  refuse("unknown_run");
  assert.equal(session.findable(), false);
  session.listed([{ run: "late", status: "unreadable", episodes: 0 }]);
  assert.equal(session.findable(), false);
  session.listed([{ run: "late", status: "recording", episodes: 0 }]);
  assert.equal(session.findable(), true);
  session.open(session.target);
  refuse("unknown_episode");
  assert.equal(session.findable(), false);
  session.listed([{ run: "late", status: "finished", episodes: 4 }]);
  assert.equal(session.findable(), true);
});

test("after a lost connection what could not be opened is asked for again", () => {
  const { session, sent, say } = viewer();
  session.open({ run: "nope" });
  say("error", { id: sent.at(-1)[1].id, code: "unknown_run", message: "no run nope" });
  session.resume();
  assert.equal(sent.at(-1)[1].run, "nope");
});

test("a step that is late is noticed where one plays, and nowhere else", () => {
  const { session, state, say } = viewer({ run: { ...RUN, presentation: { kind: "grid", steps_per_second: 10 } } });
  assert.equal(stalledSince(state, session.movedAt), null, "nobody is there to send one");
  state.connection = "open";
  assert.equal(stalledSince(state, session.movedAt), 100);
  state.speed = "max";
  assert.equal(stalledSince(state, session.movedAt), 0);
  say("state", { epoch: 2, status: "waiting", playing: true, live: false, episode: 4, step: 6, length: null });
  assert.equal(stalledSince(state, session.movedAt), null);
  session.pause();
  assert.equal(stalledSince(state, session.movedAt), null);
});

test("no run at all is an invitation, not an error", () => {
  const { session, state, sent, say } = viewer();
  session.open({});
  say("error", { id: sent.at(-1)[1].id, code: "unknown_run", message: "no runs" });
  assert.equal(state.problem, null);
  assert.equal(state.empty, true);
});

test("previous and next stay within the run", () => {
  const { session, sent, say } = viewer();
  say("state", { epoch: 2, playing: false, status: "paused", live: false, episode: 0, step: 0, length: 10 });
  assert.equal(session.episodeBy(-1), false);
  session.episodeBy(1);
  assert.deepEqual(sent.at(-1)[1].seek, { episode: 1, step: 0 });
});

test("the status of the open run is that of the newest list", () => {
  const { session, state } = viewer({ run: { ...RUN, status: "recording" } });
  const finished = { ...RUN, status: "finished", episodes: 12 };
  assert.equal(session.listed([{ run: "other", status: "recording" }]), false);
  assert.equal(session.listed([{ run: RUN.run, status: "unreadable", error: "gone" }]), false);
  assert.equal(state.run.status, "recording");
  assert.equal(session.listed([finished]), true);
  assert.deepEqual(state.run, finished);
  assert.equal(state.episode, 4, "what is shown stays");
  assert.equal(session.listed([finished]), false);
  assert.deepEqual(state.runs, [finished]);
});

test("an answer to a wish that was followed by another changes nothing back", () => {
  const { session, state, sent, say } = viewer();
  session.setSpeed(2);
  session.setSpeed(5);
  const [first, second] = sent.map(([, data]) => data.id);
  const answer = { epoch: 1, status: "playing", playing: true, live: false, episode: 4, step: 0, length: 10, loop: "off", autoplay: false };
  say("state", { ...answer, id: first, speed: 2 });
  assert.equal(state.speed, 5);
  say("state", { ...answer, id: second, speed: 5 });
  assert.equal(state.speed, 5);
  say("state", { ...answer, speed: 1 });
  assert.equal(state.speed, 1);
});

test("what was chosen before anything is open goes with what opens, over what its link says", () => {
  const sent = [];
  const world = { online: false };
  const session = new Session((type, data) => world.online && sent.push([type, data]) > 0, () => {}, () => 0);
  const link = { loop: "off", points: { a: null, b: null }, autoplay: true };
  session.setSpeed(2);
  session.nextLoop();
  session.openLink({ run: "maze-7", episode: 4, step: 1, playing: false, speed: 5 }, link);
  session.setSpeed(10);
  assert.deepEqual(sent, []);

  world.online = true;
  session.openLink({ run: "maze-7", episode: 4, step: 1, playing: false, speed: 5 }, link);
  const [[kind, opened], ...controls] = sent;
  assert.deepEqual([kind, opened.speed, opened.step], ["open", 10, 1]);
  assert.deepEqual(Object.assign({}, ...controls.map(([, data]) => data), { id: null }), { id: null, loop: "episode", autoplay: true });
  assert.ok(controls.every(([, { id }]) => id > opened.id));

  sent.length = 0;
  session.receive({ type: "error", data: { id: opened.id, code: "unknown_run", message: "none" } });
  session.open({ run: "maze-7" });
  assert.deepEqual(Object.assign({}, ...sent.map(([, data]) => data)).loop, "episode", "until a run is open");
  assert.equal(sent[0][1].speed, 10);

  session.receive({ type: "run", data: RUN });
  sent.length = 0;
  session.open({ run: "maze-8", speed: 1 });
  assert.deepEqual(sent.map(([type, { speed }]) => [type, speed]), [["open", 1]], "once");
});

test("a speed chosen where there is no run yet is that of the first", () => {
  const sent = [];
  const session = new Session((type, data) => sent.push([type, data]) > 0, () => {}, () => 0);
  session.open({});
  session.receive({ type: "error", data: { id: sent[0][1].id, code: "unknown_run", message: "none" } });
  session.setSpeed(4);
  assert.equal(sent.length, 1, "a server has nothing to set where nothing is open");
  session.open({ playing: true });
  assert.equal(sent[1][1].speed, 4);
});

test("points set in an episode loop between them, and go with it", () => {
  const { session, state, sent, say } = viewer();
  say("steps", { epoch: 1, ...steps(1, 9) });
  session.seek(7, 4, false);
  session.setPoint("b");
  assert.equal(state.loop, "off");
  session.nextLoop();
  assert.equal(state.loop, "episode");
  session.seek(3, 4, false);
  session.setPoint("a");
  assert.deepEqual(state.loop, { from: 3, to: 7 });
  assert.deepEqual(sent.at(-1)[1].loop, { from: 3, to: 7 });
  session.nextLoop();
  assert.equal(state.loop, "off");
  session.clearPoints();
  session.nextLoop();
  session.nextLoop();
  assert.equal(state.loop, "off");
});

test("a link opens an episode with its points and its loop, which another one has not", () => {
  const { session, state, sent, say } = viewer();
  const link = { loop: { from: 2, to: 6 }, points: { a: 6, b: 2 }, autoplay: true };
  session.openLink({ run: "maze-7", episode: 7, step: 3, playing: false }, link);
  assert.deepEqual(sent.map(([type, data]) => [type, data.loop, data.autoplay]), [["open", undefined, undefined], ["control", link.loop, true]]);
  say("state", { id: sent[0][1].id, epoch: 2, run: "maze-7", status: "paused", playing: false, live: false, episode: 7, step: 3, length: 10, speed: 1, loop: "off", autoplay: false });
  session.clearPoints(); // as the page does where another episode is shown
  assert.deepEqual([state.points, state.loop, state.autoplay], [link.points, link.loop, true]);
  session.clearPoints();
  assert.deepEqual([state.points, state.loop], [{ a: null, b: null }, "off"]);
});

test("a link to the episode that is shown sets its points at once, and without any it has none", () => {
  const { session, state, sent } = viewer();
  session.openLink({ run: "maze-7", episode: 4, step: 3 }, { loop: "off", points: { a: 5, b: null }, autoplay: false });
  assert.deepEqual(state.points, { a: 5, b: null });
  assert.deepEqual(sent.map(([type]) => type), ["open"], "nothing else is another than it was");
  session.openLink({ run: "maze-7", episode: 4, step: 3 }, { loop: "off", points: { a: null, b: null }, autoplay: false });
  assert.deepEqual(state.points, { a: null, b: null });
});

test("what cannot be shown of the episode is kept until another is", () => {
  const { state, say } = viewer();
  say("gap", { epoch: 1, reason: "damaged", from_episode: 4, to_episode: 4, episodes: 1 });
  assert.equal(state.missing.reason, "damaged");
  say("gap", { epoch: 1, reason: "skipped", from_episode: 4, to_episode: 9, episodes: 6 });
  assert.equal(state.missing.reason, "damaged");
  say("episode_start", { epoch: 1, episode: 5, length: 3, from: 0, return_before: 0, first_step: 50 });
  assert.equal(state.missing, null);
});

test("what is damaged of an episode is known as long as it is shown, and the rest goes on", () => {
  const { state, say } = viewer();
  const gap = { epoch: 1, reason: "damaged", from_episode: 4, to_episode: 4, episodes: 1, from_step: 3, to_step: 5 };
  say("gap", gap);
  say("episode_start", { epoch: 1, episode: 4, length: 9, from: 6, return_before: 2, first_step: 40 });
  say("gap", gap);
  assert.deepEqual([state.missing, state.holes], [null, [{ from: 3, to: 5 }]]);
  assert.deepEqual([2, 3, 5, 6, 9].map((step) => holeAt({ ...state, step }) !== undefined), [false, true, true, false, false]);
  const last = { ...state, holes: [{ from: 7, to: 8 }], length: 9 };
  assert.deepEqual([8, 9].map((step) => holeAt({ ...last, step }) !== undefined), [true, true], "its end is lost with its last steps");
  say("episode_start", { epoch: 1, episode: 5, length: 3, from: 0, return_before: 0, first_step: 50 });
  assert.deepEqual(state.holes, []);
});

test("of a newer protocol nothing is believed", () => {
  const { state, say } = viewer();
  say("hello", { protocol: 2 });
  say("state", { epoch: 1, episode: 9, step: 9, speed: 9 });
  assert.deepEqual([state.newer, state.episode, state.speed], [2, 4, 1]);
  assert.equal(chip(state), "error");
});

test("a run that is not among all there are is gone; of a part of them nothing follows", () => {
  const { session, state } = viewer();
  session.listed([{ run: "other", status: "finished" }], false);
  assert.equal(state.gone, false);
  session.listed([{ run: "other", status: "finished" }]);
  assert.equal(state.gone, true);
  session.listed([RUN]);
  assert.equal(state.gone, false);
});

test("an event noted behind the last episode is in none, and is not gone to", async () => {
  const { session, state, sent } = viewer();
  state.events = [{ at: 0, episode: 9, global_step: 90, kind: "checkpoint", text: "saved" }];
  state.step = 10;
  const read = () => assert.fail("there is no such episode to read");
  assert.equal(await session.eventBy(1, read), false);
  assert.deepEqual(sent, []);
  state.events.unshift({ at: 0, episode: 8, global_step: 85, kind: "note", text: "" });
  await session.eventBy(1, async () => ({ episode: 8, first_step: 80 }));
  assert.deepEqual(sent.at(-1)[1].seek, { episode: 8, step: 5 });
});

test("another list is gone through at once by one that plays on, and by none else", () => {
  const { session, state, sent } = viewer();
  const list = { where: "truncated", text: "", sort: "oldest" };
  session.setList(list);
  assert.deepEqual(sent, []);
  session.setAutoplay(true);
  assert.deepEqual(sent.at(-1)[1].autoplay, list);
  session.setList(null);
  assert.equal(sent.at(-1)[1].autoplay, true);
  session.setAutoplay(false);
  assert.equal(state.autoplay, false);
});

test("an episode that ends behind the position shown runs no more, and how it ended is asked for", () => {
  const { session, state, events, say } = viewer();
  say("episode_start", { epoch: 1, episode: 4, length: null, from: 0, return_before: 0, first_step: 40 });
  assert.equal(state.info.running, true);
  const paused = { playing: false, status: "paused", live: false, episode: 4, step: 1 };
  say("state", { epoch: 1, ...paused, length: null });
  assert.equal(state.info.running, true);
  say("state", { epoch: 1, ...paused, length: 6 });
  assert.equal(state.info.running, false);
  assert.equal(events.filter((event) => event === "over").length, 1);
  say("state", { epoch: 1, ...paused, length: 6 });
  assert.equal(events.filter((event) => event === "over").length, 1, "asked once");
  const row = { episode: 4, running: false, incomplete: true, length: 6 };
  session.told("another", row);
  session.told(RUN.run, { ...row, episode: 5 });
  session.told(RUN.run, { ...row, running: true });
  assert.equal(state.info.incomplete, undefined);
  session.told(RUN.run, row);
  assert.equal(state.info.incomplete, true);
  assert.equal(state.info.first_step, 40);
  assert.equal(events.at(-1), "end");
});
