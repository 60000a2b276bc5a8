/**
 * Numbers and words as the page prints them. A true minus sign keeps columns straight;
 * absent values are a dash, never 0.
 */

export const DASH = "–";
const MINUS = "\u2212";

/** @param {string} text */
const signed = (text) => text.replaceAll("-", MINUS);

/** 48211 as "48,211". @param {number | null | undefined} value */
export function count(value) {
  if (!isNumber(value)) return DASH;
  const whole = Math.round(value);
  if (Math.abs(whole) >= 1e15) return signed(whole.toLocaleString("en-US"));
  // By hand: some browsers take a tenth of a millisecond for it, and a frame has dozens of counts.
  let digits = String(Math.abs(whole));
  for (let at = digits.length - 3; at > 0; at -= 3) digits = `${digits.slice(0, at)},${digits.slice(at)}`;
  return whole < 0 ? MINUS + digits : digits;
}

/** 1234567 as "1.23M": for rates, where the magnitude matters. @param {number | null | undefined} value */
export function compact(value) {
  if (!isNumber(value)) return DASH;
  if (Math.abs(value) >= 1e15) return signed(value.toExponential(2));
  for (const [size, letter] of /** @type {[number, string][]} */ ([[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]])) {
    if (Math.abs(value) >= size) {
      const scaled = letter === "k" ? value / 1e3 : value / size;
      return signed(scaled.toFixed(Math.abs(scaled) < 10 ? 2 : Math.abs(scaled) < 100 ? 1 : 0)) + letter;
    }
  }
  return !Number.isInteger(value) && Math.abs(value) < 10 ? signed(value.toFixed(1)) : count(value);
}

/** A fixed number of decimals; fewer for large values, thousands apart. @param {number | null | undefined} value @param {number} [digits] */
export function fixed(value, digits = 3) {
  if (typeof value !== "number" || Number.isNaN(value)) return DASH;
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  const magnitude = Math.abs(value);
  if (magnitude >= 1000) return magnitude < 1e15 ? count(value) : compact(value);
  const fewer = magnitude >= 100 ? Math.min(digits, 1) : digits;
  const text = value.toFixed(fewer);
  return signed(Number(text) === 0 ? text.replace("-", "") : text);
}

/** A return or reward: integers without decimals, else two, or as many as tell it from 0. @param {number | null | undefined} value */
export function reward(value) {
  if (!isNumber(value)) return fixed(value);
  if (Math.abs(value) >= 1e15) return compact(value);
  if (Number.isInteger(value)) return count(value);
  const magnitude = Math.abs(value);
  if (magnitude < 0.005) return signed(magnitude < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(2))));
  return fixed(value, 2);
}

/** A return where there is room for eight characters. @param {number | null | undefined} value */
export function brief(value) {
  return isNumber(value) && Math.abs(value) >= 1e5 ? compact(value) : reward(value);
}

/** At most `digits` decimals, no trailing zeros: epsilon, rates. @param {number | null | undefined} value @param {number} [digits] */
export function short(value, digits = 3) {
  if (!isNumber(value)) return DASH;
  if (value !== 0 && Math.abs(value) < 10 ** -digits) return signed(value.toExponential(1));
  return signed(String(Number(value.toFixed(digits))));
}

/** In a heat-map cell, where a character is dear: ".54". @param {number} value */
export function cell(value) {
  if (!Number.isFinite(value)) return "";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e4) return compact(value);
  const text = value.toFixed(magnitude >= 10 ? 0 : magnitude >= 1 ? 1 : 2);
  return signed(Number(text) === 0 ? "0" : text.replace(/^(-?)0\./, "$1."));
}

/** The numbers along an axis, all in one unit and with the decimals that tell them apart. @param {number[]} ticks */
export function tickTexts(ticks) {
  const most = Math.max(...ticks.map(Math.abs));
  const [size, letter] = /** @type {[number, string][]} */ ([[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]).find(([least]) => most >= least) ?? [1, ""];
  const unit = letter === "k" ? 1e3 : size;
  const gap = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) / unit : 1;
  const digits = [0, 1, 2, 3].find((n) => Math.abs(gap * 10 ** n - Math.round(gap * 10 ** n)) < 1e-6 && Math.round(gap * 10 ** n) > 0) ?? 4;
  return ticks.map((tick) => (tick === 0 ? "0" : fixed(tick / unit, digits) + letter));
}

/** Times of day along an axis, with the parts of a second that tell them apart. @param {number[]} ticks  unix seconds */
export function clockTexts(ticks) {
  const gap = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 1;
  const digits = gap >= 1 ? 0 : gap >= 0.1 ? 1 : gap >= 0.01 ? 2 : 3;
  return ticks.map((tick) => {
    const at = new Date(Math.round(tick * 1000));
    const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
    const part = digits > 0 ? `.${String(at.getMilliseconds()).padStart(3, "0").slice(0, digits)}` : "";
    return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}${part}`;
  });
}

/**
 * How an episode ended, in one word, with the class that colours it. Where the presentation
 * says what the last reward means, the word is that of the environment.
 * @param {import("../types.js").EpisodeRow} episode
 * @param {import("../types.js").Presentation} [presentation]
 * @returns {{word: string, kind: "goal" | "failed" | "timeout" | "incomplete" | "running"}}
 */
export function ending(episode, presentation) {
  if (episode.running) return { word: "running", kind: "running" };
  if (episode.incomplete) return { word: "incomplete", kind: "incomplete" };
  if (episode.terminated) return termination(episode, presentation?.endings) ?? { word: "terminated", kind: "goal" };
  if (episode.truncated) return { word: "timeout", kind: "timeout" };
  return { word: DASH, kind: "running" };
}

/**
 * @param {import("../types.js").EpisodeRow} episode
 * @param {import("../types.js").Presentation["endings"]} endings
 * @returns {{word: string, kind: "goal" | "failed"} | null}
 */
function termination({ episode_return: earned, length }, endings) {
  if (!endings || !isNumber(earned) || !isNumber(length)) return null;
  const last = earned - (endings.step_reward ?? 0) * (length - 1);
  const close = (/** @type {number} */ r) => Math.abs(last - r) <= 1e-6 * Math.max(1, Math.abs(earned), Math.abs(r));
  const found = endings.words?.find(({ reward: r }) => r === null || r === undefined || close(r));
  return found ? { word: found.word, kind: found.good ? "goal" : "failed" } : null;
}

/** @param {number | "max"} speed */
export function speed(speed) {
  return speed === "max" ? "max" : `${speed}×`;
}

/** What a picker says of a run. @param {import("../types.js").Run} run */
export function runTitle(run) {
  const parts = [run.name ?? run.run];
  if (run.status === "unreadable") return `${parts[0]} · unreadable`;
  if (run.algorithm && !parts[0].includes(run.algorithm)) parts.push(run.algorithm);
  if (run.seed !== null && run.seed !== undefined) parts.push(`seed ${run.seed}`);
  return parts.join(" · ");
}

/** Any observation as a line of text. @param {any} value @returns {string} */
export function value(value) {
  if (typeof value === "number") return Number.isInteger(value) ? signed(String(value)) : fixed(value, 4);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value) && value.every((v) => typeof v === "number")) {
    const shown = value.slice(0, 8).map((v) => (Number.isInteger(v) ? signed(String(v)) : fixed(v, 3)));
    return `[${shown.join(", ")}${value.length > 8 ? `, … ${count(value.length)} values` : ""}]`;
  }
  if (Array.isArray(value)) return `[${value.slice(0, 8).map((item) => nested(item)).join(", ")}${value.length > 8 ? ", …" : ""}]`;
  if (value !== null && typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${key}: ${nested(item)}`).join(", ")}}`;
  return typeof value === "string" ? value : JSON.stringify(value) ?? DASH;
}

/** @param {any} item @returns {string} */
function nested(item) {
  return typeof item === "number" && !Number.isInteger(item) ? fixed(item, 3) : value(item);
}

/** @param {unknown} value @returns {value is number} */
function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
