/**
 * What a run's timeline marks, read part by part: the server gives so many events at once.
 * They are only ever added, so that those that are here need not be asked for again.
 *
 * @typedef {import("../types.js").RunEvent} RunEvent
 */

/** Kept at most, the newest: a run that notes something of every episode has a million. */
export const MOST_EVENTS = 20_000;

export class Timeline {
  /** @param {(run: string, skip: number) => Promise<{events: RunEvent[], total: number}>} ask */
  constructor(ask) {
    this.ask = ask;
    /** @type {string | null} */
    this.run = null;
    /** Oldest first. @type {RunEvent[]} */
    this.events = [];
    /** How many of the run's were read or passed over. */
    this.passed = 0;
    this.generation = 0;
  }

  /** How many older ones are not kept. */
  get older() {
    return this.passed - this.events.length;
  }

  /**
   * Reads what is not here yet.
   * @param {string} run
   * @param {(events: RunEvent[]) => void} came  called with all that are here, as they come
   */
  async read(run, came) {
    this.generation += 1;
    const { generation } = this;
    if (run !== this.run) this.#forget(run);
    for (;;) {
      const { events, total } = await this.ask(run, this.passed);
      if (generation !== this.generation) return;
      // Fewer than were read: it is another run of that name.
      if (total < this.passed) this.#forget(run);
      else if (total - this.passed > MOST_EVENTS) {
        this.#forget(run);
        this.passed = total - MOST_EVENTS;
      } else {
        this.passed += events.length;
        this.events = [...this.events, ...events].slice(-MOST_EVENTS);
        came(this.events);
        if (events.length === 0 || this.passed >= total) return;
      }
    }
  }

  /** @param {string} run */
  #forget(run) {
    Object.assign(this, { run, events: [], passed: 0 });
  }
}
