/**
 * The stage: picks what draws a run by its presentation, keeps the last picture while a
 * new one is on its way, and moves the agent smoothly where a person can see it move.
 */

import { Grid } from "../logic/grid.js";
import { cell as cellText, value as anyText } from "../logic/format.js";
import { colour, css } from "../logic/scales.js";
import { SeenValues } from "../logic/seen.js";
import { byId, fit, make, on, reducedMotion, setAttribute, setText, show } from "./dom.js";
import { paintGrid } from "./grid-painter.js";
import { paintVector } from "./vector-painter.js";

const TRAIL = 20;
const GLIDE_MS = 90;
/** @type {{id: "triangles" | "value" | "trail", label: string}[]} */
const OVERLAYS = [
  { id: "triangles", label: "Q triangles" },
  { id: "value", label: "Value" },
  { id: "trail", label: "Trail" },
];

export class Stage {
  /**
   * @param {Pick<import("../logic/session.js").Session, "state" | "cache">} session
   * @param {import("./theme.js").Theme} theme
   * @param {() => void} redraw
   * @param {HTMLElement | null} [second]  where to draw instead, beside the page's own stage
   */
  constructor(session, theme, redraw, second = null) {
    this.session = session;
    this.theme = theme;
    this.redraw = redraw;
    /** @type {HTMLCanvasElement} */
    this.canvas = second ? make("canvas", { role: "img" }) : byId("stage");
    this.box = second ?? byId("stage-box");
    this.text = second ? make("pre", {}) : byId("stage-text");
    this.own = second === null;
    second?.replaceChildren(this.canvas, this.text);
    this.seen = new SeenValues();
    /** @type {Grid | null} */
    this.grid = null;
    /** @type {"triangles" | "value" | "trail"} */
    this.overlay = "triangles";
    /** Where the agent glides from and to. @type {{from: [number, number], to: [number, number], since: number} | null} */
    this.glide = null;
    this.size = { width: 0, height: 0 };
    // One that nobody sees is told its size.
    if (second?.isConnected !== false) new ResizeObserver(([entry]) => {
      this.size = { width: entry.contentRect.width, height: entry.contentRect.height };
      redraw();
    }).observe(this.box);
    if (this.own) this.#tabs();
  }

  /** Draws what another stage draws. @param {Stage} other */
  follow(other) {
    this.overlay = other.overlay;
    this.seen.range = other.seen.range;
  }

  /** Another run: another map, and nothing known of its values. */
  setRun() {
    const { run } = this.session.state;
    this.seen.clear();
    this.glide = null;
    const presentation = run?.presentation;
    this.grid = presentation?.kind === "grid" ? new Grid(presentation) : null;
    const hasQ = run?.channels?.some((channel) => channel.name === "q_values") ?? false;
    if (this.own) show(byId("overlays"), this.grid !== null && hasQ);
    if (!hasQ) this.overlay = "trail";
    else if (this.overlay === "trail") this.setOverlay("triangles");
    this.redraw();
  }

  #tabs() {
    const tabs = byId("overlays");
    for (const { id, label } of OVERLAYS) {
      const button = make("button", { role: "radio", "data-overlay": id, "data-testid": `overlay-${id}`, text: label });
      on(button, "click", () => this.setOverlay(id));
      tabs.append(button);
    }
    this.setOverlay(this.overlay);
  }

  /** @param {"triangles" | "value" | "trail"} overlay */
  setOverlay(overlay) {
    this.overlay = overlay;
    if (!this.own) return;
    for (const tab of byId("overlays").children) setAttribute(tab, "aria-checked", String(tab.dataset.overlay === overlay));
    this.redraw();
  }

  nextOverlay() {
    if (byId("overlays").hidden) return;
    const index = OVERLAYS.findIndex(({ id }) => id === this.overlay);
    this.setOverlay(OVERLAYS[(index + 1) % OVERLAYS.length].id);
  }

  /** @param {number} now of the animation frame */
  draw(now) {
    const { state, cache } = this.session;
    const { width, height } = this.size;
    if (!state.run || width < 8 || height < 8) return;
    // A position whose observation is on its way keeps the last picture.
    const step = cache.episode === state.episode ? cache.nearest(state.step) : null;
    if (step === null && state.episode !== null && state.run.presentation?.kind !== "grid") return;
    const observation = step === null ? undefined : cache.observation(step);
    const textual = !this.grid && (typeof observation === "string" || isTree(observation));
    show(this.text, textual);
    show(this.canvas, !textual);
    if (this.grid) this.#grid(now, step);
    else if (textual) setText(this.text, typeof observation === "string" ? observation : JSON.stringify(observation, null, 2));
    else if (step !== null) this.#vector(step, observation);
  }

  /** @param {number} now @param {number | null} step */
  #grid(now, step) {
    const { cache, state } = this.session;
    const grid = /** @type {Grid} */ (this.grid);
    if (step === null && this.glide) return;
    if (step !== null) this.seen.moveTo(cache, /** @type {any} */ (state.info)?.first_step ?? 0, step);
    const observation = step === null ? undefined : cache.observation(step);
    const cell = grid.cellOf(observation);
    const trail = [];
    for (let t = Math.max(0, (step ?? 0) - TRAIL); step !== null && t < step; t += 1) {
      const c = grid.cellOf(cache.observation(t));
      if (c !== null) trail.push(c);
    }
    const range = this.seen.range.range();
    const ctx = fit(this.canvas, this.size.width, this.size.height);
    paintGrid(ctx, this.size.width, this.size.height, {
      grid,
      observation,
      agent: cell === null ? null : this.#glideTo(grid.place(cell), now),
      trail,
      overlay: this.overlay,
      lookup: (o) => this.seen.lookup(o),
      range,
      tokens: this.theme.tokens,
    });
    this.#legend(range);
    if (cell !== null) setAttribute(this.canvas, "aria-label", `Grid of ${grid.rows} by ${grid.columns}, agent at ${grid.describe(cell)}`);
  }

  /** @param {[number, number]} place @param {number} now @returns {[number, number]} */
  #glideTo(place, now) {
    const { glide } = this;
    if (!glide || place[0] !== glide.to[0] || place[1] !== glide.to[1]) {
      const near = glide && Math.abs(glide.to[0] - place[0]) + Math.abs(glide.to[1] - place[1]) === 1;
      const from = near && !reducedMotion.matches && glide ? glide.to : place;
      this.glide = { from, to: place, since: now };
    }
    const { from, to, since } = /** @type {NonNullable<typeof this.glide>} */ (this.glide);
    const t = Math.min(1, (now - since) / GLIDE_MS);
    if (t < 1 && from !== to) this.redraw();
    const eased = 1 - (1 - t) ** 3;
    return [from[0] + (to[0] - from[0]) * eased, from[1] + (to[1] - from[1]) * eased];
  }

  /** @param {import("../logic/scales.js").Range} range */
  #legend(range) {
    if (!this.own) return;
    const legend = byId("legend");
    const shown = this.overlay !== "trail" && Number.isFinite(this.seen.range.low);
    show(legend, shown);
    const key = `${this.theme.name}${range.low}${range.high}`;
    if (!shown || legend.dataset.key === key) return;
    legend.dataset.key = key;
    setText(byId("legend-low"), cellText(range.low));
    setText(byId("legend-high"), cellText(range.high));
    legend.title = "Colour range: Q-values of this run as far as this page saw them";
    const bar = byId("legend-bar");
    const ctx = bar.getContext("2d");
    for (let x = 0; x < bar.width; x += 1) {
      ctx.fillStyle = css(colour(range.low + (x / bar.width) * (range.high - range.low), range, this.theme.tokens.rgb("cell")));
      ctx.fillRect(x, 0, 1, bar.height);
    }
  }

  /** @param {number} step @param {any} observation */
  #vector(step, observation) {
    const { cache, state } = this.session;
    const dimensions = Array.isArray(observation) ? observation.length : 1;
    const names = /** @type {any} */ (state.run?.presentation)?.labels;
    const labels = Array.from({ length: dimensions }, (_, d) => (typeof names?.[d] === "string" ? names[d] : dimensions === 1 ? "observation" : `[${d}]`));
    const ctx = fit(this.canvas, this.size.width, this.size.height);
    paintVector(ctx, this.size.width, this.size.height, {
      labels,
      at: (d, t) => {
        const o = cache.observation(t);
        return Array.isArray(o) ? o[d] : typeof o === "number" ? o : undefined;
      },
      from: cache.contiguousFrom(step),
      to: cache.complete() ? /** @type {number} */ (cache.length) : cache.known(),
      length: Math.max(state.length ?? 0, cache.known()),
      step,
      tokens: this.theme.tokens,
    });
    setAttribute(this.canvas, "aria-label", `Observation ${anyText(observation)}`);
  }
}

/** @param {any} observation */
function isTree(observation) {
  return observation !== null && typeof observation === "object" && !Array.isArray(observation);
}
