/**
 * Episodes ticked to be compared: at most two, of the same run or of different ones. A third
 * tick takes the place of the older one.
 *
 * @typedef {{run: string, episode: number}} Place
 */

export class Ticks {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** Oldest first. @type {Place[]} */
    this.places = [];
  }

  /** @param {string} run @param {number} episode */
  has(run, episode) {
    return this.places.some((place) => place.run === run && place.episode === episode);
  }

  /** @param {string} run @param {number} episode */
  toggle(run, episode) {
    const rest = this.places.filter((place) => place.run !== run || place.episode !== episode);
    this.places = rest.length < this.places.length ? rest : [...rest, { run, episode }].slice(-2);
    this.changed();
  }

  /** @param {Place[]} places */
  set(places) {
    this.places = places.slice(-2);
    this.changed();
  }
}
