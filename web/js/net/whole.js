/** A finished episode, read over HTTP with all its steps. */

import { EpisodeCache } from "../logic/cache.js";
import { api } from "./api.js";

/** Steps of an episode that are read at most. */
export const MOST_STEPS = 20_000;
const CHUNK = 2_000;

/**
 * @param {import("../logic/ticks.js").Place} place
 * @param {number} length  of the episode
 * @param {() => boolean} wanted  asked between two reads
 * @returns {Promise<EpisodeCache>}
 */
export async function whole({ run, episode }, length, wanted) {
  const cache = new EpisodeCache();
  cache.clear(episode);
  cache.length = length;
  const last = Math.min(length, MOST_STEPS);
  for (let from = 0; from < last && wanted(); from += CHUNK) {
    const steps = await api.steps(run, episode, from, Math.min(last, from + CHUNK));
    cache.add({ ...steps, episode });
    if (steps.final_observation) cache.finish({ episode, length, final_observation: steps.final_observation });
  }
  return cache;
}
