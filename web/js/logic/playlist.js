/**
 * The list that playing, `next` and `previous` go through where the episode table does not
 * simply show all episodes: what matches its filter, in its order. Pure.
 *
 * @typedef {{where: string, text: string, sort: string}} Playlist  as the protocol takes it
 */

/** The table's own order, and the order in which a person watches it: as it was recorded. */
const PLAIN = "newest";
const IN_ORDER = "oldest";

/**
 * @param {string} where @param {string} text @param {string} sort  what the table shows
 * @returns {Playlist | null} null: all episodes, by number
 */
export function playlist(where, text, sort) {
  if (!where && !text && sort === PLAIN) return null;
  return { where, text, sort: sort === PLAIN ? IN_ORDER : sort };
}

/** Whether a list's order is that of the episodes' numbers. @param {Playlist} list */
export function byNumber(list) {
  return list.sort === IN_ORDER;
}

/**
 * What to ask for the one episode that comes before or after another in a list by number.
 * @param {Playlist} list @param {number} episode @param {number} by
 */
export function besides(list, episode, by) {
  const side = `episode ${by > 0 ? ">" : "<"} ${episode} and kept and not running`;
  return { sort: by > 0 ? IN_ORDER : PLAIN, filter: list.where ? `(${list.where}) and ${side}` : side, words: list.text };
}
