/**
 * Dark or light: as the system says, unless a person said otherwise. Canvases cannot use
 * CSS variables, so the tokens are read once per theme and handed to whoever paints.
 */

import { on } from "./dom.js";

const KEY = "reel.theme";
const NAMES = ["bg", "panel", "raised", "line", "ink", "dim", "faint", "accent", "live", "archive", "cell", "hatch", "goal", "hazard", "agent", "t1", "t2"];

/** @typedef {Record<string, string> & {rgb: (name: string) => [number, number, number]}} Tokens */

export class Theme {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    const system = matchMedia("(prefers-color-scheme: light)");
    this.undo = on(system, "change", () => {
      if (!stored()) this.set(system.matches ? "light" : "dark");
    });
    this.tokens = this.#read();
    // Type is larger on large screens, on canvases too.
    on(window, "resize", () => {
      if (this.#read().t1 !== this.tokens.t1) this.set(this.name);
    });
  }

  get name() {
    return document.documentElement.dataset.theme ?? "dark";
  }

  toggle() {
    const name = this.name === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, name);
    } catch {
      // Storage may be forbidden; the choice then lasts as long as the page.
    }
    this.set(name);
  }

  /** @param {string} name */
  set(name) {
    document.documentElement.dataset.theme = name;
    this.tokens = this.#read();
    this.changed();
  }

  /** @returns {Tokens} */
  #read() {
    const style = getComputedStyle(document.documentElement);
    /** @type {any} */
    const tokens = {};
    for (const name of NAMES) tokens[name] = style.getPropertyValue(`--${name}`).trim();
    tokens.rgb = (/** @type {string} */ name) => {
      const hex = tokens[name].replace("#", "");
      return [0, 2, 4].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
    };
    return tokens;
  }
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
