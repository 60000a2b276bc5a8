/** The runs table in words: what a filter finds, and how a run's facts are written. Pure. */

import { short, value } from "./format.js";

/** @typedef {import("../types.js").Run} Run */

/** Whether every word stands somewhere in what is known of a run. @param {Run} run @param {string} text */
export function matches(run, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const known = [run.run, run.name, run.env_id, run.algorithm, run.status, run.note, ...(run.tags ?? []), parameters(run)].join(" ").toLowerCase();
  return words.every((word) => known.includes(word));
}

/** Hyperparameters, the seed first: "seed 7, learning rate 0.1". @param {Run} run */
export function parameters(run) {
  const facts = Object.entries(run.hyperparameters ?? {}).map(([name, v]) => `${name.replaceAll("_", " ")} ${typeof v === "number" ? short(v, 6) : value(v)}`);
  if (run.seed !== null && run.seed !== undefined) facts.unshift(`seed ${run.seed}`);
  return facts.join(", ");
}

/** How long ago, in the largest unit that fits. @param {string | number | null | undefined} created @param {number} now  unix ms */
export function age(created, now) {
  const began = typeof created === "number" ? created * 1000 : Date.parse(created ?? "");
  if (Number.isNaN(began)) return "–";
  const seconds = Math.max(0, (now - began) / 1000);
  for (const [size, unit] of /** @type {[number, string][]} */ ([[86_400, "d"], [3_600, "h"], [60, "min"]])) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** @param {number | null | undefined} bytes */
export function size(bytes) {
  if (typeof bytes !== "number") return "–";
  for (const [unit, name] of /** @type {[number, string][]} */ ([[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]])) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(bytes / unit < 10 ? 1 : 0)} ${name}`;
  }
  return `${bytes} B`;
}

/** Words of a text field as tags, each once. @param {string} text */
export function tagsOf(text) {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}

/** Okabe-Ito, then the same again with another dash: told apart by more than colour. */
const COLOURS = ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00"];
const DASHES = [[], [8, 4], [2, 4], [9, 3, 2, 3]];

/** The look of the n-th of several curves. @param {number} n */
export function lookOf(n) {
  return { colour: COLOURS[n % COLOURS.length], dash: DASHES[(n + Math.floor(n / COLOURS.length)) % DASHES.length] };
}
