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
