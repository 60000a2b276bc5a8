/**
 * Maps of GridWorld as the editor holds them: drawing, checking, the way to the goal, and
 * the link that carries one. A map is rows of `S` start, `G` goal, `#` wall, `X` hazard
 * and `.` free, with its rewards; written, it is what the environment itself takes.
 *
 * @typedef {{desc: string[], goal_reward: number, hazard_reward: number, step_reward: number}} WorldMap
 */

export const START = "S";
export const GOAL = "G";
export const WALL = "#";
export const HAZARD = "X";
export const FREE = ".";
export const LARGEST = 20;
const SMALLEST = 2;
const REWARDS = /** @type {const} */ (["goal_reward", "hazard_reward", "step_reward"]);

/** @param {number} rows @param {number} columns @returns {WorldMap} */
export function blank(rows = 6, columns = 8) {
  const desc = Array.from({ length: rows }, () => FREE.repeat(columns));
  return paint(paint({ desc, goal_reward: 20, hazard_reward: -20, step_reward: -1 }, 0, 0, START), rows - 1, columns - 1, GOAL);
}

/**
 * The map with one cell drawn anew. There is one start: the old one becomes free.
 * @param {WorldMap} map @param {number} row @param {number} column @param {string} kind
 * @returns {WorldMap}
 */
export function paint(map, row, column, kind) {
  const desc = map.desc.map((line, r) => {
    const bare = kind === START ? line.replaceAll(START, FREE) : line;
    return r === row && column >= 0 && column < line.length ? bare.slice(0, column) + kind + bare.slice(column + 1) : bare;
  });
  return { ...map, desc };
}

/** The map cut or filled up to a size. @param {WorldMap} map @param {number} rows @param {number} columns @returns {WorldMap} */
export function resize(map, rows, columns) {
  const [height, width] = [bound(rows), bound(columns)];
  const desc = Array.from({ length: height }, (_, r) => (map.desc[r] ?? "").slice(0, width).padEnd(width, FREE));
  return { ...map, desc };
}

/** @param {number} size */
const bound = (size) => Math.max(SMALLEST, Math.min(LARGEST, Math.round(size) || SMALLEST));

/**
 * Why a map cannot be played; null if it can.
 * @param {WorldMap} map
 * @returns {string | null}
 */
export function problem(map) {
  const text = map.desc.join("");
  const starts = text.split(START).length - 1;
  if (starts !== 1) return `a map needs one start, and this one has ${starts || "none"}: draw one`;
  if (!text.includes(GOAL)) return "a map needs a goal, and this one has none: draw one";
  for (const name of REWARDS) if (!Number.isFinite(map[name])) return `${name.replace("_", " ")} must be a number`;
  if (shortest(map) !== null) return null;
  return text.includes(HAZARD) && shortest(map, [WALL]) !== null
    ? "no goal can be reached without entering a hazard, which ends the episode: clear a way around"
    : "no goal can be reached from the start, for walls close every way: open one";
}

/**
 * The cells of a shortest way from the start to a goal, both included, by breadth-first
 * search; null if there is none.
 * @param {WorldMap} map @param {string[]} closed  kinds of cells that may not be entered
 * @returns {[number, number][] | null}
 */
export function shortest(map, closed = [WALL, HAZARD]) {
  const { desc } = map;
  const from = desc.findIndex((line) => line.includes(START));
  if (from < 0) return null;
  const width = desc[0].length;
  const start = from * width + desc[from].indexOf(START);
  /** @type {Map<number, number>} */
  const before = new Map([[start, -1]]);
  const queue = [start];
  for (const cell of queue) {
    const [row, column] = [Math.floor(cell / width), cell % width];
    if (desc[row][column] === GOAL) {
      /** @type {[number, number][]} */
      const way = [];
      for (let at = cell; at >= 0; at = before.get(at) ?? -1) way.unshift([Math.floor(at / width), at % width]);
      return way;
    }
    for (const [r, c] of [[row - 1, column], [row, column + 1], [row + 1, column], [row, column - 1]]) {
      const kind = desc[r]?.[c];
      const next = r * width + c;
      if (kind === undefined || closed.includes(kind) || before.has(next)) continue;
      before.set(next, cell);
      queue.push(next);
    }
  }
  return null;
}

/** As the environment takes it, and as a link or a file carries it. @param {WorldMap} map */
export function write(map) {
  return JSON.stringify({ desc: map.desc, goal_reward: map.goal_reward, hazard_reward: map.hazard_reward, step_reward: map.step_reward });
}

/**
 * A map that was written. It need not be solvable, for it may be half drawn.
 * @param {string} text
 * @returns {WorldMap}
 * @throws {Error} a sentence for people
 */
export function parse(text) {
  /** @type {any} */
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("this is no map: it is not JSON");
  }
  const desc = value?.desc;
  if (!Array.isArray(desc) || desc.length < 1 || desc.length > LARGEST || !desc.every((line) => typeof line === "string" && /^[SG#X.]+$/.test(line)))
    throw new Error(`a map must have a desc of at most ${LARGEST} rows of S, G, #, X and .`);
  if (desc[0].length > LARGEST || new Set(desc.map((line) => line.length)).size !== 1) throw new Error(`the rows of a map must be equally long, and at most ${LARGEST} cells`);
  const map = { ...blank(2, 2), desc };
  for (const name of REWARDS) {
    if (value[name] === undefined) continue;
    if (typeof value[name] !== "number" || !Number.isFinite(value[name])) throw new Error(`${name.replace("_", " ")} of a map must be a number`);
    map[name] = value[name];
  }
  return map;
}
