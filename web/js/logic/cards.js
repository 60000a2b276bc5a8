/**
 * What stands over the stage where there is no picture: nothing recorded, nothing to be
 * found, nothing to be read. Each card says what is so, why, and what can be done about it.
 *
 * @typedef {"retryNow" | "openNewest" | "openLast" | "again" | "back" | "behind" | "next" | "reload" | "train"} Act
 * @typedef {{words: string, label?: string, act?: Act, code?: string}} Way  to begin: a button, or words to copy
 * @typedef {{key: string, title: string, text: string, copy?: string, pulse?: boolean, types?: boolean,
 *            ways?: Way[], buttons: [string, "copy" | Act][]}} Card
 *   `types`: it names what a person types for `reel`
 */

import { count } from "./format.js";
import { holeAt, recording } from "./state.js";

export const SNIPPET = `from recorder import EpisodeRecorder

recorder = EpisodeRecorder("runs", env=env)
# in your training loop:
recorder.record_step(observation, action, reward)
recorder.finish_episode(observation, terminated=True, truncated=False)
recorder.close()`;

/** @type {Record<string, string>} */
const TITLES = {
  unknown_run: "There is no such run",
  unknown_episode: "There is no such episode",
  damaged: "This recording is damaged",
};

/**
 * @param {import("./state.js").State} state
 * @param {string | null | undefined} asked  the run that was asked for
 * @param {{command: string, trains: boolean}} here  what a person types for `reel`; whether the server trains
 * @returns {Card | null}  null: there is a picture
 */
export function cardOf(state, asked, { command, trains }) {
  if (state.newer !== null) {
    const text = `The server speaks version ${state.newer} of the protocol, this page version 1. Load the page again to get the one that belongs to the server.`;
    return { key: `newer|${state.newer}`, title: "This page is older than its server", text, copy: text, buttons: [["Load again", "reload"], ["Copy details", "copy"]] };
  }
  if (state.problem) return problemCard(state, asked, state.problem);
  if (state.empty && state.episode === null) {
    /** @type {Way[]} */
    const ways = trains ? [{ words: "", label: "Train an agent …", act: "train" }] : [];
    ways.push({ words: trains ? "or in another terminal" : "Train an agent in another terminal", code: `${command} train` });
    ways.push({ words: "or record your own loop", code: SNIPPET });
    return { key: `empty|${command}|${trains}`, types: true, title: "Nothing recorded yet", text: "This page opens by itself when the first episode arrives.", ways, buttons: [] };
  }
  if (state.run && state.episode === null && state.waitingSince === null && state.metrics !== null) {
    if (!recording(state)) return { key: "none", title: "This run has no episodes", text: "It ended before its first episode did.", buttons: [["Open the newest run", "openNewest"]] };
    return { key: "waiting", pulse: true, title: "Waiting for the first episode", text: "The run is there; nothing of it has been recorded yet.", buttons: [] };
  }
  const hole = holeAt(state);
  if (hole) {
    const text = `Steps ${count(hole.from)} to ${count(hole.to)} of episode ${count(state.episode)} cannot be read: the tape of run ${state.run?.run} is damaged there. ${command} check says how far, ${command} recover saves what is whole.`;
    const on = state.length !== null && hole.to + 1 < state.length;
    return { key: `hole|${state.episode}|${hole.from}|${command}`, types: true, title: "A part of this episode is damaged", text, copy: `${text} File: ${state.run?.run}/run.db.`, buttons: [on ? ["Go on behind it", "behind"] : ["Next episode", "next"], ["Copy details", "copy"]] };
  }
  if (state.missing?.reason === "damaged") {
    const text = `The steps of episode ${count(state.episode)} cannot be read: the tape of run ${state.run?.run} is damaged there. ${command} check says how far, ${command} recover saves what is whole.`;
    const copy = `${text} File: ${state.run?.run}/run.db. Episodes ${state.missing.from_episode} to ${state.missing.to_episode}.`;
    return { key: `damaged|${state.episode}|${command}`, types: true, title: "This episode is damaged", text, copy, buttons: [["Next episode", "next"], ["Try again", "again"], ["Copy details", "copy"]] };
  }
  if (state.missing) {
    return { key: `kept|${state.episode}`, title: "The steps of this episode were not kept", text: "The run's recording policy kept its summary only.", buttons: [["Next episode", "next"]] };
  }
  return null;
}

/** @param {import("./state.js").State} state @param {string | null | undefined} asked @param {import("../types.js").Problem} problem @returns {Card} */
function problemCard(state, asked, { code, message }) {
  /** @type {Card["buttons"]} */
  const buttons = [code === "unknown_episode" ? ["Open the last episode", "openLast"] : ["Open the newest run", "openNewest"]];
  // What was shown before is still there, behind the card.
  if (state.run && state.episode !== null) buttons.push([`Back to episode ${count(state.episode)}`, "back"]);
  buttons.push(["Try again", "again"], ["Copy details", "copy"]);
  const unreadable = state.runs.some((run) => run.run === asked && run.status === "unreadable");
  const title = unreadable ? "This run cannot be read" : (TITLES[code] ?? "This cannot be shown");
  const details = `${code}: ${message}`;
  return { key: `problem|${title}${details}|${state.episode}`, title, text: sentence(message), copy: details, buttons };
}

/** A message of the server as a sentence of its own. @param {string} text */
function sentence(text) {
  const trimmed = text.trim();
  return `${trimmed.charAt(0).toUpperCase()}${trimmed.slice(1)}${/[.!?…]$/.test(trimmed) ? "" : "."}`;
}
