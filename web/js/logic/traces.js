/**
 * The curve of one number of an observation over the steps of an episode, with as many
 * points as can be told apart: of each stretch the least and the greatest, in the order in
 * which they came. Every step is looked at, so no swing is left out and none is made up.
 * Steps that come later are added to what is there.
 *
 * @typedef {object} Trace
 * @property {[number, number][]} points  step and value, by step
 * @property {number} low
 * @property {number} high
 * @property {boolean} whole  whether all values are whole numbers
 */

/** @typedef {{first: number, least: [number, number], most: [number, number]}} Stretch */

export class Traces {
  /** What the stretches belong to. */
  key = "";
  /** Steps of which a stretch is made. */
  width = 1;
  from = 0;
  /** The first step that was not looked at yet. */
  next = 0;
  /** @type {{stretches: Stretch[], whole: boolean}[]} */
  lanes = [];

  /**
   * @param {string} key  another one: another episode, all is read anew
   * @param {(string | number)[][]} paths  of the numbers within an observation
   * @param {(step: number) => any} observation
   * @param {number} from  first step @param {number} to  last step
   * @param {number} length  of the axis, in steps @param {number} most  points to be told apart along it
   * @returns {Trace[]}
   */
  of(key, paths, observation, from, to, length, most) {
    const width = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(1, length) / Math.max(1, most))));
    const all = `${key}/${paths.map((path) => path.join(".")).join()}`;
    if (all !== this.key || width !== this.width || from !== this.from || to < this.next - 1) {
      Object.assign(this, { key: all, width, from, next: from, lanes: paths.map(() => ({ stretches: [], whole: true })) });
    }
    for (; this.next <= to; this.next += 1) {
      const whole = observation(this.next);
      if (whole === undefined) break;
      paths.forEach((path, i) => this.#add(this.lanes[i], path.reduce((value, part) => value?.[part], whole)));
    }
    return this.lanes.map(traceOf);
  }

  /** @param {{stretches: Stretch[], whole: boolean}} lane @param {any} found */
  #add(lane, found) {
    const value = typeof found === "boolean" ? Number(found) : found;
    if (typeof value !== "number" || !Number.isFinite(value)) return;
    if (!Number.isInteger(value)) lane.whole = false;
    const first = Math.floor(this.next / this.width);
    const last = lane.stretches.at(-1);
    if (last?.first !== first) return void lane.stretches.push({ first, least: [this.next, value], most: [this.next, value] });
    if (value < last.least[1]) last.least = [this.next, value];
    if (value > last.most[1]) last.most = [this.next, value];
  }
}

/** @param {{stretches: Stretch[], whole: boolean}} lane @returns {Trace} */
function traceOf({ stretches, whole }) {
  /** @type {[number, number][]} */
  const points = [];
  let [low, high] = [Infinity, -Infinity];
  for (const { least, most } of stretches) {
    low = Math.min(low, least[1]);
    high = Math.max(high, most[1]);
    if (least[0] === most[0]) points.push(least);
    else points.push(...(least[0] < most[0] ? [least, most] : [most, least]));
  }
  return { points, low, high, whole };
}
