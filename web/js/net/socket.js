/**
 * A WebSocket that comes back by itself. Each connection has a generation, so that
 * events of one given up are not taken for those of the next.
 *
 * @typedef {object} Hooks
 * @property {() => void} opened
 * @property {(payload: string | ArrayBuffer) => void} message
 * @property {(retryInMs: number, everOpened: boolean) => void} lost
 */

import { delay } from "../logic/backoff.js";

/** With no word from the server for this long, the connection is taken for dead. */
const SILENCE_MS = 30_000;
const PING_MS = 10_000;

export class Socket {
  /**
   * @param {string} url
   * @param {string[]} protocols
   * @param {Hooks} hooks
   * @param {{WebSocket: typeof WebSocket, random?: () => number}} world
   */
  constructor(url, protocols, hooks, world) {
    this.url = url;
    this.protocols = protocols;
    this.hooks = hooks;
    this.world = world;
    this.generation = 0;
    this.attempt = 0;
    this.everOpened = false;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.retry = undefined;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.pulse = undefined;
    this.heard = 0;
  }

  connect() {
    this.#drop();
    const generation = this.generation;
    const socket = new this.world.WebSocket(this.url, this.protocols);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (generation !== this.generation) return;
      this.attempt = 0;
      this.everOpened = true;
      this.heard = performance.now();
      this.pulse = setInterval(() => this.#beat(), PING_MS);
      this.hooks.opened();
    };
    socket.onmessage = (event) => {
      if (generation !== this.generation) return;
      this.heard = performance.now();
      this.hooks.message(event.data);
    };
    socket.onclose = () => generation === this.generation && this.#lost();
  }

  /** @param {string} text @returns {boolean} */
  send(text) {
    if (this.socket?.readyState !== 1) return false;
    this.socket.send(text);
    return true;
  }

  #beat() {
    if (performance.now() - this.heard > SILENCE_MS) this.#lost();
    else this.send(JSON.stringify(["ping", { t: Math.round(performance.now()) }]));
  }

  #lost() {
    this.#drop();
    const wait = delay(this.attempt, this.world.random);
    this.attempt += 1;
    this.retry = setTimeout(() => this.connect(), wait);
    this.hooks.lost(wait, this.everOpened);
  }

  #drop() {
    this.generation += 1;
    clearTimeout(this.retry);
    clearInterval(this.pulse);
    this.socket?.close();
    this.socket = null;
  }

  close() {
    this.#drop();
  }
}
