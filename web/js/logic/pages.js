/**
 * A list of any length, read by cursor in pages and shown through a window. Pages that
 * scrolled far away are let go and read again by the cursor that is kept for them, so
 * memory stays flat whatever the run holds.
 *
 * @typedef {import("../types.js").EpisodeRow} EpisodeRow
 * @typedef {{episodes: EpisodeRow[], next: string | null, total: number, total_exact?: boolean}} Answer
 * @typedef {(cursor: string | null, limit: number) => Promise<Answer>} Fetch
 */

export const PAGE = 100;
const MOST_PAGES = 12;

export class EpisodePages {
  /**
   * @param {Fetch} fetch
   * @param {() => void} changed  called when rows came
   */
  constructor(fetch, changed) {
    this.fetch = fetch;
    this.changed = changed;
    this.total = 0;
    /** False where there may be more than `total`. */
    this.exact = true;
    /** Cursor of each page; that of page 0 is null. @type {(string | null)[]} */
    this.cursors = [null];
    /** @type {Map<number, EpisodeRow[]>} */
    this.pages = new Map();
    /** @type {Set<number>} */
    this.loading = new Set();
    this.ended = false;
    /** @type {string | null} */
    this.error = null;
    /** What the server says of the question itself. @type {{message: string, position?: number} | null} */
    this.problem = null;
    /** Rises with each reset: answers to older questions are dropped. */
    this.generation = 0;
  }

  /** Starts over, keeping the rows on show until the new ones are there. */
  async reset() {
    this.generation += 1;
    this.loading.clear();
    return this.#load(0, true);
  }

  /** Rows that can be scrolled to: all that are known, and one page to come. */
  get reachable() {
    if (this.ended) return Math.min(this.total, this.#known());
    return Math.min(this.total, this.#known() + PAGE);
  }

  #known() {
    let rows = 0;
    for (const index of this.pages.keys()) rows = Math.max(rows, index * PAGE + (this.pages.get(index)?.length ?? 0));
    return Math.max(rows, (this.cursors.length - 1) * PAGE);
  }

  /** @param {number} index @returns {EpisodeRow | undefined} */
  row(index) {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** A row, read first where it is not here. @param {number} index @returns {Promise<EpisodeRow | undefined>} */
  async at(index) {
    const page = Math.floor(index / PAGE);
    if (index >= 0 && !this.pages.has(page) && page < this.cursors.length) await this.#load(page, false);
    return this.row(index);
  }

  /** Where an episode stands among the rows that are here, or -1. @param {number} episode */
  indexOf(episode) {
    for (const [index, rows] of this.pages) {
      const at = rows.findIndex((row) => row.episode === episode);
      if (at >= 0) return index * PAGE + at;
    }
    return -1;
  }

  /** Asks for what a window needs. @param {number} first @param {number} last */
  want(first, last) {
    for (let page = Math.floor(Math.max(0, first) / PAGE); page <= Math.floor(last / PAGE); page += 1) {
      if (!this.pages.has(page) && page < this.cursors.length) void this.#load(page, false);
    }
  }

  /** @param {number} page @param {boolean} fresh */
  async #load(page, fresh) {
    if (this.loading.has(page)) return;
    this.loading.add(page);
    const generation = this.generation;
    try {
      const answer = await this.fetch(this.cursors[page] ?? null, PAGE);
      if (generation !== this.generation) return;
      if (fresh) {
        this.pages.clear();
        this.cursors = [null];
        this.ended = false;
      }
      this.error = this.problem = null;
      this.total = answer.total;
      this.exact = answer.total_exact !== false;
      this.pages.set(page, answer.episodes);
      if (answer.next === null || answer.next === undefined) this.ended = true;
      else this.cursors[page + 1] = answer.next;
      this.#evict(page);
    } catch (error) {
      if (generation !== this.generation) return;
      this.error = error instanceof Error ? error.message : String(error);
      const { status, position } = /** @type {any} */ (error);
      this.problem = status === 400 ? { message: this.error, position } : null;
    } finally {
      if (generation === this.generation) this.loading.delete(page);
      this.changed();
    }
  }

  /** @param {number} near */
  #evict(near) {
    while (this.pages.size > MOST_PAGES) {
      let far = near;
      for (const page of this.pages.keys()) if (Math.abs(page - near) > Math.abs(far - near)) far = page;
      this.pages.delete(far);
    }
  }
}
