/**
 * A centred moving average, weighted by how many episodes stand behind each point. At the
 * ends the window shrinks rather than inventing what is not there.
 *
 * @param {ArrayLike<number | null>} values
 * @param {ArrayLike<number>} weights
 * @param {number} window  points
 * @returns {(number | null)[]}
 */
export function smooth(values, weights, window) {
  const half = Math.floor(window / 2);
  const sums = new Float64Array(values.length + 1);
  const counts = new Float64Array(values.length + 1);
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i];
    const weight = value === null || Number.isNaN(value) ? 0 : (weights[i] ?? 1);
    sums[i + 1] = sums[i] + (value ?? 0) * weight;
    counts[i + 1] = counts[i] + weight;
  }
  return Array.from({ length: values.length }, (_, i) => {
    const reach = Math.min(half, i, values.length - 1 - i);
    const weight = counts[i + reach + 1] - counts[i - reach];
    return weight > 0 ? (sums[i + reach + 1] - sums[i - reach]) / weight : null;
  });
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
