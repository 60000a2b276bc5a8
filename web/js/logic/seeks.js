/**
 * Seeks in the air: at most one, and behind it only the newest wish. While one is due,
 * positions from the server are older than what the person asked for and are not shown.
 *
 * @typedef {{episode: number, step: number, playing: boolean | null}} Place
 */

/** An answer that takes longer than this is not coming; the server's word counts again. */
const PATIENCE_MS = 4_000;

export class Seeks {
  /**
   * @param {(place: Place) => number | null} send  answers with the id sent, null when offline
   * @param {() => number} now
   */
  constructor(send, now) {
    this.send = send;
    this.now = now;
    /** @type {{id: number, place: Place, since: number} | null} */
    this.inAir = null;
    /** @type {Place | null} */
    this.next = null;
  }

  /** The place that will be shown when all answers are in. @returns {Place | null} */
  get target() {
    return this.next ?? this.inAir?.place ?? null;
  }

  /** Whether an answer is due. */
  get due() {
    if (this.inAir && this.now() - this.inAir.since > PATIENCE_MS) this.clear();
    return this.inAir !== null;
  }

  /** @param {Place} place @returns {boolean} false when there is no one to ask */
  want(place) {
    if (this.due) {
      this.next = { ...place, playing: place.playing ?? this.next?.playing ?? null };
      return true;
    }
    const id = this.send(place);
    this.inAir = id === null ? null : { id, place, since: this.now() };
    return id !== null;
  }

  /** What was said of playing after the newest wish holds for it too: it is sent later. @param {boolean} playing */
  setPlaying(playing) {
    if (this.next) this.next = { ...this.next, playing };
  }

  /** Takes an answer, and sends what was wished meanwhile. @param {unknown} id */
  answer(id) {
    if (!this.inAir || id !== this.inAir.id) return;
    this.inAir = null;
    const { next } = this;
    this.next = null;
    if (next) this.want(next);
  }

  clear() {
    this.inAir = null;
    this.next = null;
  }
}
