/**
 * Lines through a cloud of dots: quartiles over a window that moves with them, and the span
 * that a chart should show.
 */

/**
 * The quartiles of the values around each point. At the ends the window is cut off rather
 * than filled with what is not there; unknown values (null, NaN) are left out.
 *
 * @param {ArrayLike<number | null>} values
 * @param {number} window  points
 * @returns {{low: (number | null)[], median: (number | null)[], high: (number | null)[]}}
 */
export function rollingQuartiles(values, window) {
  const half = Math.floor(window / 2);
  /** Those of the window, in order. @type {number[]} */
  const inside = [];
  /** @type {{low: (number | null)[], median: (number | null)[], high: (number | null)[]}} */
  const out = { low: [], median: [], high: [] };
  let [from, to] = [0, 0];
  const take = (/** @type {number | null} */ v, /** @type {0 | 1} */ add) => {
    if (typeof v !== "number" || !Number.isFinite(v)) return;
    if (add) inside.splice(place(inside, v), 0, v);
    else inside.splice(place(inside, v), 1);
  };
  for (let i = 0; i < values.length; i += 1) {
    for (; to <= Math.min(i + half, values.length - 1); to += 1) take(values[to], 1);
    for (; from < i - half; from += 1) take(values[from], 0);
    out.low.push(quantile(inside, 0.25));
    out.median.push(quantile(inside, 0.5));
    out.high.push(quantile(inside, 0.75));
  }
  return out;
}

/** Ends of points, of which an episode alone has two. */
const SEEN = 6;

/**
 * The line through a cloud and the band around it: median and quartiles, or, where there are
 * but two values (success or not), the mean, which is how often; a median would jump between
 * the two, and a middle half says nothing.
 *
 * @param {{mean: number[], min: number[], max: number[]}} points
 * @param {number} window  points
 * @returns {{low: (number | null)[], line: (number | null)[], high: (number | null)[], means: boolean}}
 */
export function trend({ mean, min, max }, window) {
  /** How often each value is an end of a point. @type {Map<number, number>} */
  const found = new Map();
  for (let i = 0; i < mean.length && found.size < 3; i += 1) for (const end of [min[i], max[i]]) found.set(end, (found.get(end) ?? 0) + 1);
  // Of a few episodes a second value may be chance.
  if (found.size !== 2 || Math.min(...found.values()) < SEEN) {
    const { low, median, high } = rollingQuartiles(mean, window);
    return { low, line: median, high, means: false };
  }
  const none = mean.map(() => null);
  return { low: none, line: rollingMean(mean, window), high: none, means: true };
}

/** @param {number[]} values @param {number} window  points */
function rollingMean(values, window) {
  const half = Math.floor(window / 2);
  const sums = [0];
  for (const value of values) sums.push(sums[sums.length - 1] + value);
  return values.map((_, i) => {
    const [from, to] = [Math.max(0, i - half), Math.min(values.length, i + half + 1)];
    return (sums[to] - sums[from]) / (to - from);
  });
}

/** Where a value stands, or would, in a sorted list. @param {number[]} sorted @param {number} value */
function place(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Between two values, in proportion. @param {number[]} sorted @param {number} q */
function quantile(sorted, q) {
  if (sorted.length === 0) return null;
  const at = (sorted.length - 1) * q;
  const i = Math.floor(at);
  const next = sorted[Math.min(i + 1, sorted.length - 1)];
  return sorted[i] + (next - sorted[i]) * (at - i);
}

/**
 * What a chart's y-axis should show. Everything, unless the outermost percent on either
 * side would squeeze the rest into less than a fifth of the height; then all but that.
 *
 * @param {number[]} low   least of each point
 * @param {number[]} high  most of each point
 * @returns {{low: number, high: number, clipped: boolean}}
 */
export function robustSpan(low, high) {
  const lows = sorted(low);
  const highs = sorted(high);
  if (lows.length === 0) return { low: 0, high: 1, clipped: false };
  const cut = Math.floor(lows.length * 0.01);
  const [least, most] = [lows[0], highs[highs.length - 1]];
  const [inner, outer] = [lows[cut], highs[highs.length - 1 - cut]];
  const clipped = cut > 0 && outer > inner && (most - least) > 5 * (outer - inner);
  const [a, b] = clipped ? [inner, outer] : [least, most];
  const pad = (b - a || Math.abs(a) || 1) * 0.06;
  return { low: a - pad, high: b + pad, clipped };
}

/** @param {number[]} values */
function sorted(values) {
  return values.filter(Number.isFinite).sort((a, b) => a - b);
}
