/**
 * The composition root: makes the parts, hands them to each other, and decides when to
 * draw. What the page knows is in logic/state.js; how it changes, in logic/inbox.js and
 * logic/session.js.
 */

import { decode as unpack } from "@msgpack/msgpack";
import { leftOut } from "./logic/marks.js";
import { decode, encode, SUBPROTOCOLS } from "./logic/messages.js";
import { Desk } from "./logic/moments.js";
import { Session } from "./logic/session.js";
import { Settings } from "./logic/settings.js";
import { holeAt, recording } from "./logic/state.js";
import { ApiError, api } from "./net/api.js";
import { Filler } from "./net/filler.js";
import { Socket } from "./net/socket.js";
import { Address } from "./view/address.js";
import { Announcer } from "./view/announcer.js";
import { Compare } from "./view/compare.js";
import { Curve } from "./view/curve.js";
import { byId, chooseBeside, on, perFrame, reducedMotion, watchPixelRatio } from "./view/dom.js";
import { Episodes } from "./view/episodes.js";
import { Frames } from "./view/frames.js";
import { Highlights } from "./view/highlights.js";
import { Keyboard } from "./view/help.js";
import { Export } from "./view/export.js";
import { Inspector } from "./view/inspector.js";
import { InspectorMore } from "./view/inspector-more.js";
import { Notices } from "./view/notices.js";
import { Runs } from "./view/runs.js";
import { Stage } from "./view/stage.js";
import { Theme } from "./view/theme.js";
import { Ticks } from "./logic/ticks.js";
import { Timeline } from "./logic/timeline.js";
import { TrainerPanel } from "./view/trainer.js";
import { TopBar } from "./view/topbar.js";
import { Training } from "./view/training.js";
import { Transport } from "./view/transport.js";

const clock = () => performance.now();
const redraw = perFrame((now) => draw(now));
const settings = new Settings();

/** Who wants less motion starts what moves. */
const plays = () => !reducedMotion.matches;
const session = new Session((type, data) => socket.send(encode(type, data)), notify, clock);
const { state } = session;
const address = new Address(session, settings, clock);
const announcer = new Announcer(session, clock);

const theme = new Theme(() => {
  curve.setTheme();
  runs.setTheme();
  redraw();
});
const desk = new Desk((data) => {
  const id = session.nextId();
  return session.send("qtable", { id, ...data }) ? id : null;
}, clock);
const stage = new Stage(session, theme, redraw, null, desk);
const training = new Training(session, /** @type {import("./logic/moments.js").Moments} */ (stage.moments), redraw, () => stage.grid !== null && stage.hasQ, { share: (episode) => curve.share(episode), episodeOf: (share) => curve.episodeOf(share) });
const transport = new Transport(session, theme, redraw);
const more = new InspectorMore(session, () => stage.moments?.acted ?? null, { copy: (text) => void notices.copy(text, "Step copied"), actions: api.actions, redraw });
const inspector = new Inspector(session, theme, () => stage.qRange(), more);
const ticks = new Ticks(redraw);
const episodes = new Episodes(session, ticks, redraw);
const curve = new Curve(session, theme, (from, to) => episodes.choose(from, to), redraw);
const topBar = new TopBar(session, (run) => session.open({ run, playing: plays() }));
const compare = new Compare(session, ticks, stage, { theme, redraw, say: (text) => notices.toast(text), open: (target) => session.open(target) });
const runs = new Runs(session, theme, { open: (run) => session.open({ run, playing: plays() }), reread: readRuns, say: (text) => notices.toast(text) });
new Export(session, stage, theme, { say: (text) => notices.toast(text), link: copyLink });
new Highlights(session);
const filler = new Filler(session, api.steps, redraw);
const notices = new Notices(
  session,
  {
    retryNow: () => socket.connect(),
    openNewest: () => session.open({ playing: plays() }),
    openLast: () => session.open({ run: session.target.run, playing: false }),
    again: () => (state.missing ? session.seek(state.step, state.episode) : session.open(session.target)),
    back: () => session.seek(state.step, state.episode, false),
    behind: () => session.seek((holeAt(state)?.to ?? state.step) + 1, state.episode, false),
    next: () => void episodes.walk(1).catch(complain),
    train: () => void trainer.form.open(),
    reload: () => location.reload(),
  },
  redraw,
);

const trainer = new TrainerPanel(session, { toast: (text, more) => notices.toast(text, more), redraw });

const frames = new Frames(session, (text) => notices.toast(text, { kind: "alarm" }), redraw);

/** What the last frames took in ms, all panels together, for who measures. @type {number[]} */
const frameTimes = [];

/** Everything, at most once per animation frame. @param {number} now */
function draw(now) {
  const began = clock();
  stage.draw(now);
  frames.draw();
  transport.draw();
  inspector.draw();
  topBar.draw();
  training.draw(now);
  curve.draw();
  episodes.draw();
  compare.draw(now);
  notices.draw(clock());
  trainer.draw();
  address.write();
  frameTimes.push(clock() - began);
  if (frameTimes.length > 1200) frameTimes.splice(0, 600);
}

/** @param {import("./logic/inbox.js").Event} event @param {any} detail */
function notify(event, detail) {
  if (event === "run") {
    if (detail) {
      // A moment of one run is none of another's, unless the address named both.
      if (!address.named()) Object.assign(state, { moment: null, since: null });
      training.setRun();
      stage.setRun();
      inspector.setRun();
      episodes.setRun();
      curve.setRun();
      void readEvents();
    }
    if (state.runs.length === 0) void readRuns();
  }
  if (event === "metrics" || event === "end") {
    episodes.refresh();
    void curve.refresh();
  }
  if (event === "end" && recording(state) && clock() - eventsRead > EVENTS_MS) void readEvents();
  if (event === "over") void readEnding(detail);
  if (event === "episode") session.clearPoints();
  if (event === "moved" || event === "end") filler.consider();
  if (event === "runs") void readRuns();
  // A Q-table that cannot be had is said where it would be: no reason to alarm.
  if ((event === "qtable" || event === "error") && desk.answer(detail)) return redraw();
  // Of a run that is gone the stage itself tells.
  if (event === "error" && !state.problem && !state.empty && !(state.gone && detail.code === "unknown_run")) notices.toast(detail.message, { kind: "alarm" });
  announcer.consider();
  redraw();
}

const FIRST_RUNS = 100;
/** The list of runs; and news of one that began elsewhere, since history never jumps by itself. */
async function readRuns() {
  try {
    const known = new Set(state.runs.map((run) => run.run));
    const first = state.runs.length === 0;
    // Of thousands a few can be shown at once, and the server need not read more for that.
    const answer = await api.runs(null, first ? FIRST_RUNS : undefined);
    state.rest = answer.next ? { next: answer.next, total: answer.total } : null;
    if (session.listed(answer.runs, !answer.next)) {
      inspector.setRun();
      episodes.refresh();
    }
    runs.refresh();
    const begun = state.runs.find((run) => run.status === "recording" && !known.has(run.run));
    if (session.findable()) session.open(session.target);
    else if (state.empty && state.runs.length > 0) session.open({ playing: plays() });
    else if (begun && !first && begun.run !== state.run?.run) {
      const act = () => session.open({ run: begun.run, live: true });
      notices.toast(`${begun.name ?? begun.run} is recording`, { kind: "live", label: "Watch live", act });
    }
    if (first && answer.next) void readRuns();
  } catch (error) {
    if (state.connection === "open") notices.toast(`The list of runs could not be read: ${error instanceof Error ? error.message : error}`);
  }
  redraw();
}

/** How the episode that is shown ended, where it did so behind what is shown of it. @param {number} episode */
async function readEnding(episode) {
  const run = state.run?.run;
  if (!run) return;
  try {
    session.told(run, await api.episode(run, episode));
  } catch {
    // Then nothing is said of its end.
  }
}

const EVENTS_MS = 5_000;
let eventsRead = 0;
const timeline = new Timeline(api.events);
/** What the run's timeline marks; while it records, now and then again. */
async function readEvents() {
  const run = state.run?.run;
  if (!run) return;
  eventsRead = clock();
  try {
    await timeline.read(run, (events) => {
      if (state.run?.run === run) Object.assign(state, { events, unmarked: timeline.older });
      redraw();
    });
  } catch {
    // The page does without marks; the episodes' own errors tell of a run that cannot be read.
  }
}

/** Before the first mark: whether there would be more. */
function sayLeftOut() {
  const text = leftOut(state.events, state.unmarked);
  if (text) notices.toast(text);
}

/** @param {unknown} error */
function complain(error) {
  notices.toast(error instanceof Error ? error.message : String(error), { kind: "alarm" });
}

/* -- connection ----------------------------------------------------------------------- */

const socketUrl = new URL("ws", document.baseURI);
socketUrl.protocol = socketUrl.protocol === "https:" ? "wss:" : "ws:";

const socket = new Socket(
  socketUrl.href,
  SUBPROTOCOLS,
  {
    opened: () => {
      const back = state.run !== null;
      Object.assign(state, { connection: "open", retryAt: null });
      if (back) session.resume();
      else address.open();
      void readRuns();
      void trainer.connected();
      episodes.connected();
      redraw();
    },
    message: (payload) => {
      try {
        const message = decode(payload, unpack);
        session.receive(message);
        trainer.receive(message);
      } catch (error) {
        notices.toast(`A message from the server could not be read: ${error instanceof Error ? error.message : error}`, { kind: "alarm" });
      }
    },
    lost: async (wait) => {
      desk.forget();
      session.seeks.clear();
      Object.assign(state, { connection: "lost", retryAt: clock() + wait, waitingSince: null });
      redraw();
      // A browser does not say why a WebSocket was refused; HTTP does.
      const refused = await api.status().then(() => false, (error) => error instanceof ApiError && error.status === 401);
      if (refused && state.connection === "lost") state.connection = "refused";
      redraw();
    },
  },
  { WebSocket },
);

/* -- people ---------------------------------------------------------------------------- */

const keyboard = new Keyboard({
  toggle: () => session.toggle(),
  step: ({ by }) => session.stepBy(by ?? 1),
  first: () => session.first(),
  last: () => session.last(),
  percent: ({ fraction }) => session.percent(fraction ?? 0),
  slower: () => transport.faster(-1),
  faster: () => transport.faster(1),
  normal: () => session.setSpeed(1),
  loop: () => session.nextLoop(),
  pointA: () => session.setPoint("a"),
  pointB: () => session.setPoint("b"),
  event: ({ by }) => void filler.now().then(() => session.eventBy(by ?? 1, api.episode)).then((found) => found || (by ?? 1) > 0 || sayLeftOut()).catch(complain),
  live: () => session.goLive(),
  episode: ({ by }) => void episodes.walk(by ?? 1).catch(complain),
  search: () => byId("goto").focus(),
  overlay: () => stage.nextOverlay(),
  choose: ({ by }) => chooseBeside(by ?? 1),
  training: () => training.focus(),
  fullscreen,
  help: () => keyboard.toggleHelp(),
  compare: () => void compare.toggle(),
  close: () => (compare.isOpen ? compare.close() : document.activeElement instanceof HTMLElement && document.activeElement.blur()),
});

function fullscreen() {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void byId("stage-panel").requestFullscreen();
}

on(byId("fullscreen"), "click", fullscreen);
// It scrolls, so the keyboard must be able to get there.
byId("right").tabIndex = 0;
on(byId("theme"), "click", () => theme.toggle());
on(byId("share"), "click", copyLink);

function copyLink() {
  void notices.copy(address.link, "Link copied");
}

on(document, "visibilitychange", redraw);
watchPixelRatio(redraw);

settings.add("ov", {
  get: () => (stage.overlay === "triangles" ? "q" : stage.overlay),
  set: (overlay) => stage.setOverlay(overlay === "q" ? "triangles" : /** @type {any} */ (overlay)),
});
settings.add("range", {
  get: () => (state.perFrame ? "frame" : "run"),
  set: (range) => {
    state.perFrame = range === "frame";
    redraw();
  },
});
training.settings(settings);
curve.settings(settings);
compare.settings(settings);
episodes.settings(settings);
frames.settings(settings);

socket.connect();
// For the console and for tests: a look at what the page knows, not a way to change it.
Object.defineProperty(window, "reel", { value: Object.freeze({ get state() { return structuredClone(state); }, get cached() { return session.cache.known(); }, get complete() { return session.cache.complete(); }, get due() { return state.waitingSince !== null || session.seeks.due || desk.waiting.size > 0; }, look: (/** @type {number} */ observation) => stage.look(observation), get drawTimes() { return stage.times; }, get frameTimes() { return frameTimes; } }) });
