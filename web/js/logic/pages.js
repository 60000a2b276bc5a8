/**
 * A list of any length, read by cursor in pages and shown through a window. Pages that
 * scrolled far away are let go and read again by the cursor that is kept for them, so
 * memory stays flat whatever the run holds. Where the list is by number and has no holes,
 * any page of it can be had at once, and any episode has its place.
 *
 * @typedef {import("../types.js").EpisodeRow} EpisodeRow
 * @typedef {{episodes: EpisodeRow[], next: string | null, total: number, total_exact?: boolean}} Answer
 * @typedef {(cursor: string | null, limit: number) => Promise<Answer>} Fetch
 * @typedef {(episode: number, limit: number) => Promise<Answer>} FetchFrom  this episode and those below it
 */

export const PAGE = 100;
const MOST_PAGES = 12;
/** Taller than this no browser makes an element; rows of 24 px. */
const MOST_ROWS = 1_300_000;

export class EpisodePages {
  /**
   * @param {Fetch} fetch
   * @param {() => void} changed  called when rows came
   * @param {() => FetchFrom | null} [byNumber]  told where the list is of all episodes, greatest number first
   */
  constructor(fetch, changed, byNumber = () => null) {
    this.fetch = fetch;
    this.changed = changed;
    this.byNumber = byNumber;
    this.resetting = false;
    /** The number of the first row, where each row has the number below that of the row above. @type {number | null} */
    this.top = null;
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
    /** Pages that could not be read: not asked for again and again, but once there is reason to. @type {Set<number>} */
    this.failed = new Set();
    /** Rises with each reset: answers to older questions are dropped. */
    this.generation = 0;
  }

  /** Starts over, keeping the rows on show until the new ones are there. */
  async reset() {
    this.generation += 1;
    this.loading.clear();
    this.resetting = true;
    this.failed.clear();
    return this.#load(0, true);
  }

  /** What could not be read may be asked for again, as after a lost connection. */
  retry() {
    if (this.failed.size === 0) return;
    this.failed.clear();
    this.error = this.problem = null;
    this.changed();
  }

  /** Rows that can be scrolled to: all that are known, and one page to come. */
  get reachable() {
    if (this.top !== null) return Math.min(this.total, MOST_ROWS);
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
    if (index >= 0 && !this.pages.has(page) && (page < this.cursors.length || (this.top !== null && index < this.total))) await this.#load(page, false);
    return this.row(index);
  }

  /** Where an episode stands: among the rows that are here, or wherever it is known to; else -1. @param {number} episode */
  indexOf(episode) {
    if (this.top !== null) return episode >= 0 && episode <= this.top && this.top - episode < this.reachable ? this.top - episode : -1;
    for (const [index, rows] of this.pages) {
      const at = rows.findIndex((row) => row.episode === episode);
      if (at >= 0) return index * PAGE + at;
    }
    return -1;
  }

  /** Asks for what a window needs. @param {number} first @param {number} last */
  want(first, last) {
    // Pages of the list before have no place in the one to come.
    if (this.resetting) return;
    for (let page = Math.floor(Math.max(0, first) / PAGE); page <= Math.floor(last / PAGE); page += 1) {
      if (!this.pages.has(page) && !this.failed.has(page) && (page < this.cursors.length || this.top !== null) && page * PAGE < this.total) void this.#load(page, false);
    }
  }

  /** @param {number} page @param {boolean} fresh */
  async #load(page, fresh) {
    if (this.loading.has(page)) return;
    this.loading.add(page);
    const generation = this.generation;
    try {
      const from = this.byNumber();
      if (!fresh && page >= this.cursors.length && this.top !== null && from) {
        const { episodes } = await from(this.top - page * PAGE, PAGE);
        if (generation !== this.generation) return;
        this.error = this.problem = null;
        this.pages.set(page, episodes);
        this.#evict(page);
        return;
      }
      const answer = await this.fetch(this.cursors[page] ?? null, PAGE);
      if (generation !== this.generation) return;
      if (fresh) {
        this.pages.clear();
        this.cursors = [null];
        this.ended = false;
      }
      this.error = this.problem = null;
      if (fresh) {
        const first = answer.episodes[0]?.episode;
        this.top = from && first === answer.total - 1 ? first : null;
      }
      this.total = answer.total;
      this.exact = answer.total_exact !== false;
      this.pages.set(page, answer.episodes);
      if (answer.next === null || answer.next === undefined) this.ended = true;
      else this.cursors[page + 1] = answer.next;
      this.#evict(page);
    } catch (error) {
      if (generation !== this.generation) return;
      this.failed.add(page);
      this.error = error instanceof Error ? error.message : String(error);
      const { status, position } = /** @type {any} */ (error);
      this.problem = status === 400 ? { message: this.error, position } : null;
    } finally {
      if (generation === this.generation) {
        this.loading.delete(page);
        if (fresh) this.resetting = false;
      }
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
