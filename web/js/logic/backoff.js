/**
 * How long to wait before the next attempt to connect: 3 s, then growing by half to at
 * most 30 s, spread by a fifth either way so that viewers of a restarted server do not
 * come back all at once.
 *
 * @param {number} attempt  0 for the first one after a loss
 * @param {() => number} [random]
 */
export function delay(attempt, random = Math.random) {
  const base = Math.min(30_000, 3_000 * 1.5 ** attempt);
  if (attempt === 0) return base;
  return Math.round(base * (0.8 + 0.4 * random()));
}
