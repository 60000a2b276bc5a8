/**
 * What can be said of a step beyond what was recorded: what it still earned, how wrong the
 * agent was, what it changed. Everything follows from the steps that are here and the
 * Q-table; what does not is left out, never guessed.
 *
 * @typedef {import("./cache.js").EpisodeCache} Cache
 * @typedef {import("./state.js").State} State
 * @typedef {{name: string, from: string, to: string}} Change
 */

import { fixed, value as anyText } from "./format.js";
import { actionName, firstAction } from "./grid.js";
import { greatest } from "./tables.js";

/** The run's discount; null where it does not say. @param {import("../types.js").Run | null} run @returns {number | null} */
export function discountOf(run) {
  const told = /** @type {any} */ (run)?.hyperparameters ?? {};
  const discount = told.discount ?? told.gamma ?? told.discount_factor;
  return typeof discount === "number" && discount >= 0 && discount <= 1 ? discount : null;
}

/** What the steps of one cache still earned, as long as it holds the same. @type {WeakMap<Cache, {version: number, discount: number, sums: Float64Array}>} */
const earnings = new WeakMap();

/**
 * Discounted sum of the rewards from a step on.
 * @param {Cache} cache @param {number} step @param {number | null} discount
 * @returns {number | undefined}  undefined where not all of them are here
 */
export function returnToGo(cache, step, discount) {
  const { length, version } = cache;
  if (discount === null || length === null) return undefined;
  let known = earnings.get(cache);
  if (!known || known.version !== version || known.discount !== discount) {
    known = { version, discount, sums: sumsToGo(cache, length, discount) };
    earnings.set(cache, known);
  }
  const sum = step >= length ? 0 : known.sums[step];
  return Number.isNaN(sum) ? undefined : sum;
}

/** For each step what is earned from it on; NaN before a reward that is not here. @param {Cache} cache @param {number} length @param {number} discount */
function sumsToGo(cache, length, discount) {
  const sums = new Float64Array(length).fill(Number.NaN);
  let sum = 0;
  for (let t = length - 1; t >= 0; t -= 1) {
    const reward = cache.value("reward", t);
    if (typeof reward !== "number") break;
    sum = reward + discount * sum;
    sums[t] = sum;
  }
  return sums;
}

/**
 * r + gamma max Q(s', .) - Q(s, a): by how much the value that the agent acted on missed
 * what the step then told.
 * @param {State} state @param {Cache} cache @param {number} step
 * @param {{row(observation: any): number[] | undefined, step: number} | null} table  as acted, at this step
 */
export function tdError(state, cache, step, table) {
  const discount = discountOf(state.run);
  const row = cache.row(step);
  const q = row?.channels.q_values;
  if (discount === null || !row || !Array.isArray(q) || typeof row.action !== "number" || typeof row.reward !== "number") return undefined;
  const chosen = q[row.action - firstAction(state.run)];
  if (step + 1 === state.length && state.info?.terminated) return row.reward - chosen;
  const following = cache.observation(step + 1);
  // As it was when the step was taken: the row that the next step recorded may have learned from this one.
  const own = table && table.step === step && typeof following === "number" ? table.row(following) : undefined;
  const next = own ?? cache.value("q_values", step + 1);
  return Array.isArray(next) ? row.reward + discount * greatest(next) - chosen : undefined;
}

/**
 * What is other than at the step before.
 * @param {State} state @param {Cache} cache @param {number} step
 * @param {import("./grid.js").Grid | null} grid
 * @param {{row(observation: any): number[] | undefined, step: number} | null} table
 * @returns {Change[]}
 */
export function changes(state, cache, step, grid, table) {
  const before = step > 0 ? cache.row(step - 1) : undefined;
  if (!before) return [];
  /** @type {Change[]} */
  const found = [];
  const now = cache.observation(step);
  if (grid) {
    const [a, b] = [grid.cellOf(before.observation), grid.cellOf(now)];
    if (a !== null && b !== null) found.push({ name: "state", from: place(grid, a), to: a === b ? "stayed" : place(grid, b) });
  } else found.push(...numbers(before.observation, now, state.run?.presentation));
  const q = before.channels.q_values;
  const learned = table && table.step === step ? table.row(before.observation) : undefined;
  if (Array.isArray(q) && learned && typeof before.action === "number") {
    const name = `Q(s, ${actionName(state.run?.presentation, before.action, firstAction(state.run))})`;
    const at = before.action - firstAction(state.run);
    if (learned[at] !== q[at]) found.push({ name, ...apart(q[at], learned[at]) });
  }
  const row = cache.row(step);
  for (const [name, value] of Object.entries(row?.channels ?? {})) {
    if (name === "q_values" || name === "info" || typeof value === "object") continue;
    const old = before.channels[name];
    if (old !== undefined && old !== value) found.push({ name: name.replaceAll("_", " "), from: anyText(old), to: anyText(value) });
  }
  const was = leaves(before.channels.info);
  for (const [path, item] of leaves(row?.channels.info)) {
    if (before.channels.info && was.get(path) !== item) found.push({ name: `info ${path}`, from: anyText(was.get(path)), to: anyText(item) });
  }
  return found;
}

/**
 * Two numbers with the decimals that tell them apart; where six do not, by how much they are.
 * @param {number} a @param {number} b @returns {{from: string, to: string}}
 */
function apart(a, b) {
  for (let digits = 3; digits <= 6; digits += 1) {
    const [from, to] = [fixed(a, digits), fixed(b, digits)];
    if (from !== to) return { from, to };
  }
  const by = (b - a).toExponential(1).replaceAll("-", "\u2212");
  return { from: fixed(a), to: `${fixed(b)} (${b > a ? "+" : ""}${by})` };
}

/** @param {import("./grid.js").Grid} grid @param {number} cell */
function place(grid, cell) {
  return `(${grid.place(cell).join(", ")})`;
}

/** The numbers of an observation that moved most, and what else is other. @param {any} before @param {any} now @param {import("../types.js").Presentation | undefined} presentation @returns {Change[]} */
function numbers(before, now, presentation) {
  const labels = /** @type {any} */ (presentation)?.labels;
  const was = leaves(before);
  const is = leaves(now);
  if (is.size > 64) return [];
  return [...is]
    .filter(([path, item]) => item !== was.get(path))
    .map(([path, item]) => ({ path, item, old: was.get(path) }))
    .sort((a, b) => Math.abs(b.item - b.old) - Math.abs(a.item - a.old) || 0)
    .slice(0, 4)
    .map(({ path, item, old }) => ({ name: Array.isArray(now) && typeof labels?.[path] === "string" ? labels[path] : nameOf(path), from: short(old), to: short(item) }));
}

/** "lidar.3" as the stage calls it: "lidar[3]". @param {string} path */
function nameOf(path) {
  return path.replace(/(^|\.)(\d+)(?=\.|$)/g, "[$2]");
}

/** @param {any} item */
function short(item) {
  return typeof item === "number" && !Number.isInteger(item) ? fixed(item) : anyText(item);
}

/** What a nested value holds at its ends, by path. @param {any} item @param {string} [path] @param {Map<string, any>} [found] */
function leaves(item, path = "", found = new Map()) {
  if (item !== null && typeof item === "object") {
    for (const [key, inner] of Object.entries(item)) leaves(inner, path ? `${path}.${key}` : key, found);
  } else if (item !== undefined && found.size < 256) found.set(path || "observation", item);
  return found;
}

/** The steps of an episode, as far as they are here, at which an action was taken. @param {Cache} cache @param {number} action */
export function stepsWith(cache, action) {
  const steps = [];
  for (let t = 0; t < cache.known(); t += 1) if (cache.value("action", t) === action) steps.push(t);
  return steps;
}

/** A step as a program would want it. @param {State} state @param {Cache} cache @param {number} step @param {{returnToGo?: number, tdError?: number}} more */
export function stepAsJson(state, cache, step, more) {
  const row = cache.row(step);
  const { info, ...channels } = row?.channels ?? {};
  return {
    run: state.run?.run,
    episode: state.episode,
    step,
    global_step: typeof state.info?.first_step === "number" ? state.info.first_step + step : undefined,
    observation: cache.observation(step),
    action: row?.action,
    action_name: row ? actionName(state.run?.presentation, row.action, firstAction(state.run)) : undefined,
    reward: row?.reward,
    return_so_far: cache.returnBefore(step),
    return_to_go: more.returnToGo,
    td_error: more.tdError,
    ...channels,
    info,
  };
}
