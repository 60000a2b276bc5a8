/** A finished episode, read over HTTP: all its steps, or some. */

import { EpisodeCache } from "../logic/cache.js";
import { api } from "./api.js";

/** Steps of an episode that are read at most, and numbers: one of pictures is large before it is long. */
export const MOST_STEPS = 20_000;
const MOST_NUMBERS = 4_000_000;
const CHUNK = 2_000;

/**
 * @param {import("../logic/ticks.js").Place} place
 * @param {number} length  of the episode
 * @param {() => boolean} wanted  asked between two reads
 * @returns {Promise<EpisodeCache>}  not complete where the episode is too large for that
 */
export async function whole(place, length, wanted) {
  const cache = emptyOf(place, length);
  await read(cache, place, 0, Math.min(length, MOST_STEPS), wanted);
  return cache;
}

/**
 * Some steps, into what is known of the episode.
 * @param {EpisodeCache} cache @param {import("../logic/ticks.js").Place} place
 * @param {number} from @param {number} to  the first step that is not read
 * @param {() => boolean} [wanted]
 */
export async function read(cache, { run, episode }, from, to, wanted = () => true) {
  for (let at = from; at < to && (at - from) * cache.width <= MOST_NUMBERS && wanted(); ) {
    // How large a step is the first one tells.
    const steps = await api.steps(run, episode, at, Math.min(to, at + (cache.spans.length > 0 ? CHUNK : 1)));
    cache.add({ ...steps, episode });
    if (steps.final_observation) cache.finish({ episode, length: cache.length, final_observation: steps.final_observation });
    if (!(steps.count > 0)) return;
    at += steps.count;
  }
}

/** @param {import("../logic/ticks.js").Place} place @param {number | null} length  null while it runs */
export function emptyOf({ episode }, length) {
  const cache = new EpisodeCache();
  cache.clear(episode);
  cache.length = length;
  return cache;
}
