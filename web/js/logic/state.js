/**
 * What the page knows, field by field. Rules in session.js change it; drawing reads it.
 *
 * @typedef {import("../types.js").Run} Run
 * @typedef {import("../types.js").Speed} Speed
 *
 * @typedef {"triangles" | "value" | "policy" | "visits" | "trail"} Overlay
 *
 * @typedef {{from: number, to: number}} Hole  steps that cannot be read, both included
 *
 * @typedef {object} State
 * @property {"connecting" | "open" | "lost" | "refused"} connection  refused: the server asks for a token
 * @property {number | null} retryAt    clock (ms) of the next attempt while lost
 * @property {Run[]} runs               the newest runs, 1,000 at most, recording ones first
 * @property {{next: string, total: number} | null} rest  where the others begin, and how many there are in all; null: no others
 * @property {Run | null} run           the one that is open
 * @property {boolean} empty            the server has no run at all
 * @property {number} epoch             messages of an older one are late and dropped
 * @property {"playing" | "paused" | "live" | "ended" | "waiting" | null} status
 * @property {boolean} playing
 * @property {boolean} live             following the newest episode
 * @property {number | null} pausedLive the episode that was shown when live was left, else null
 * @property {number | null} episode
 * @property {number} step              the position shown, 0 .. length
 * @property {number | null} length     null while the episode runs
 * @property {Speed} speed
 * @property {import("../types.js").Loop} loop
 * @property {{a: number | null, b: number | null}} points  of the A-B loop, as set in the episode shown
 * @property {boolean | import("./playlist.js").Playlist} autoplay  through all episodes, or through a list
 * @property {number} behind            episodes finished after the one shown, as last told
 * @property {import("../types.js").EpisodeRow | null} info  what is known of the episode
 * @property {import("../types.js").Metrics | null} metrics
 * @property {(import("../types.js").Gap & {at: number}) | null} gap  the last one, and when it came
 * @property {import("../types.js").Gap | null} missing  why the steps of the episode shown cannot be
 * @property {Hole[]} holes             what of the episode shown was found to be damaged
 * @property {import("../types.js").RunEvent[]} events  what the run's timeline marks, oldest first
 * @property {number} unmarked          events of the run that are older than those, and not marked
 * @property {number | null} parting    where the episode shown and the one beside it part
 * @property {boolean} gone             the open run is no longer among the runs
 * @property {number | null} newer      the protocol's version, where it is newer than the page's
 * @property {import("../types.js").Problem | null} problem  why nothing can be shown
 * @property {Overlay} overlay         what the stage shows of the agent's mind
 * @property {number | null} moment     pinned: the episode at whose start the Q-table is shown; null: as acted
 * @property {number | null} since      what changed since the start of this episode is shown; null: no difference
 * @property {boolean} perFrame         colours span each frame's own values, not the run's
 * @property {"cividis" | "viridis"} palette
 * @property {number | null} waitingSince  clock (ms) since which an answer is due
 */

/** @returns {State} */
export function initialState() {
  return {
    connection: "connecting",
    retryAt: null,
    runs: [],
    rest: null,
    run: null,
    empty: false,
    epoch: 0,
    status: null,
    playing: false,
    live: false,
    pausedLive: null,
    episode: null,
    step: 0,
    length: null,
    speed: 1,
    loop: "off",
    points: { a: null, b: null },
    autoplay: false,
    behind: 0,
    info: null,
    metrics: null,
    gap: null,
    missing: null,
    holes: [],
    events: [],
    unmarked: 0,
    parting: null,
    gone: false,
    newer: null,
    problem: null,
    overlay: "triangles",
    moment: null,
    since: null,
    perFrame: false,
    palette: "cividis",
    waitingSince: null,
  };
}

/** Whether the open run is being recorded now. @param {State} state */
export function recording(state) {
  if (state.metrics && state.metrics.run === state.run?.run) return state.metrics.recording;
  return state.run?.status === "recording";
}

/** Another run that is being recorded. The open one is known better than the list tells. @param {State} state */
export function otherLive(state) {
  return state.runs.find((run) => run.status === "recording" && run.run !== state.run?.run);
}

/**
 * What the chip says. Leaving live pauses it; opening another episode is history.
 * @param {State} state
 * @returns {"offline" | "connecting" | "error" | "waiting" | "live" | "paused" | "archive"}
 */
export function chip(state) {
  if (state.connection === "lost" || state.connection === "refused") return "offline";
  if (state.connection === "connecting" && state.run === null) return "connecting";
  if (state.problem || state.newer !== null) return "error";
  if (state.live) return "live";
  if (state.episode === null && (state.run === null || recording(state))) return "waiting";
  if (recording(state) && state.pausedLive === state.episode && !state.playing) return "paused";
  return "archive";
}

/** Episodes that finished after the one shown. @param {State} state */
export function behind(state) {
  if (state.episode === null) return 0;
  const newest = state.metrics?.run === state.run?.run ? (state.metrics?.episodes ?? 0) - 1 : 0;
  return Math.max(state.behind, newest - state.episode, 0);
}

/** The damaged part of the episode that the position is in: its end is in a part that goes to the end. @param {State} state */
export function holeAt({ holes, step, length }) {
  return holes.find(({ from, to }) => from <= step && (step <= to || (step === length && to === length - 1)));
}

/** At the end of a finished episode, where play means play again. @param {State} state */
export function ended(state) {
  return !state.live && !state.playing && state.length !== null && state.length > 0 && state.step >= state.length;
}

/**
 * Since when a step is due that plays and has not come, as a clock's ms; null where none is.
 * @param {State} state @param {number} movedAt  when the last one came
 */
export function stalledSince(state, movedAt) {
  if (!state.playing || state.live || state.status !== "playing" || state.connection !== "open") return null;
  const rate = stepsPerSecond(state);
  return movedAt + (rate === null ? 0 : 1000 / rate);
}

/** Steps due per second at the speed set; null at max. @param {State} state */
export function stepsPerSecond(state) {
  const own = state.run?.presentation?.steps_per_second ?? 10;
  return state.speed === "max" ? null : own * state.speed;
}
