/**
 * The stage: picks what draws a run by its presentation and its values, keeps the last
 * picture while a new one is on its way, and moves the agent smoothly where a person can
 * see it move.
 */

import { value as anyText } from "../logic/format.js";
import { Grid } from "../logic/grid.js";
import { scaleFor } from "../logic/heat.js";
import { imageOf, lanesOf } from "../logic/looks.js";
import { rangeOf } from "../logic/scales.js";
import { byId, fit, make, on, reducedMotion, setAttribute, setText, show } from "./dom.js";
import { GridAccess } from "./grid-access.js";
import { frameOf, GridPainter } from "./grid-painter.js";
import { paintImage } from "./image-painter.js";
import { Legend } from "./legend.js";
import { paintVector } from "./vector-painter.js";

const TRAIL = 20;
const GLIDE_MS = 90;
/** @type {{id: import("../logic/state.js").Overlay, label: string, hint: string}[]} */
export const OVERLAYS = [
  { id: "triangles", label: "Q triangles", hint: "What each action is worth, as four wedges" },
  { id: "value", label: "Value", hint: "What the best action is worth" },
  { id: "policy", label: "Policy", hint: "What a greedy agent would do" },
  { id: "visits", label: "Visits", hint: "How often the agent was here, on a log scale" },
  { id: "trail", label: "Trail", hint: "The last 20 positions" },
];

export class Stage {
  /**
   * @param {Pick<import("../logic/session.js").Session, "state" | "cache">} session
   * @param {import("./theme.js").Theme} theme
   * @param {() => void} redraw
   * @param {HTMLElement | null} [second]  where to draw instead, beside the page's own stage
   * @param {import("../logic/moments.js").Desk | null} [desk]  where Q-tables are asked for; a second stage takes that of the one it follows
   */
  constructor(session, theme, redraw, second = null, desk = null) {
    this.session = session;
    this.theme = theme;
    this.redraw = redraw;
    this.desk = desk;
    this.moments = desk?.moments() ?? null;
    /** The stage whose colours and overlay are drawn too. @type {Stage | null} */
    this.leader = null;
    /** @type {HTMLCanvasElement} */
    this.canvas = second ? /** @type {HTMLCanvasElement} */ (make("canvas", { role: "img" })) : byId("stage");
    this.box = second ?? byId("stage-box");
    this.text = second ? make("pre", {}) : byId("stage-text");
    this.own = second === null;
    second?.replaceChildren(this.canvas, this.text);
    this.painter = new GridPainter();
    this.legend = this.own ? new Legend(session, theme, redraw) : null;
    this.access = this.own ? new GridAccess(redraw) : null;
    /** @type {Grid | null} */
    this.grid = null;
    this.hasQ = false;
    /** @type {import("../logic/heat.js").Table | null} */
    this.table = null;
    /** @type {import("../logic/scales.js").Scale | null} */
    this.scale = null;
    this.scaleKey = "";
    /** Where the agent glides from and to. @type {{from: [number, number], to: [number, number], since: number} | null} */
    this.glide = null;
    /** The last frames' drawing times in ms, for who measures. @type {number[]} */
    this.times = [];
    this.size = { width: 0, height: 0 };
    // One that nobody sees is told its size.
    if (second?.isConnected !== false) new ResizeObserver(([entry]) => {
      this.size = { width: entry.contentRect.width, height: entry.contentRect.height };
      redraw();
    }).observe(this.box);
    if (this.own) this.#tabs();
  }

  get overlay() {
    return this.session.state.overlay;
  }

  /** Draws what another stage draws: its overlay, its moment, its colours. @param {Stage} other */
  follow(other) {
    const { state } = this.session;
    const { overlay, moment, since, perFrame, palette } = other.session.state;
    // A moment of one run is none of another's.
    const same = other.session.state.run?.run === state.run?.run;
    Object.assign(state, { overlay: this.hasQ ? overlay : "trail", moment: same ? moment : null, since: same ? since : null, perFrame, palette });
    this.leader = other;
    this.moments ??= other.desk?.moments() ?? null;
    this.moments?.setRun(state.run?.run ?? "");
  }

  /** Another run: another map. */
  setRun() {
    const { state } = this.session;
    const { run } = state;
    this.glide = null;
    this.table = this.scale = null;
    const presentation = run?.presentation;
    this.grid = presentation?.kind === "grid" ? new Grid(presentation) : null;
    this.hasQ = run?.channels?.some((channel) => channel.name === "q_values") ?? false;
    this.moments?.setRun(run?.run ?? "");
    if (!this.own) return this.redraw();
    this.access?.setGrid(this.grid);
    show(byId("overlays"), this.grid !== null && this.hasQ);
    // Without Q-values there is only the trail, until a run comes that has some.
    if (!this.hasQ) this.wanted = state.overlay;
    this.setOverlay(this.hasQ ? (this.wanted ?? state.overlay) : "trail");
    if (this.hasQ) this.wanted = null;
  }

  /** What was chosen before a run without Q-values came. @type {import("../logic/state.js").Overlay | null} */
  wanted = null;

  #tabs() {
    const tabs = byId("overlays");
    for (const { id, label, hint } of OVERLAYS) {
      const button = make("button", { role: "radio", title: `${hint} (v)`, "data-overlay": id, "data-testid": `overlay-${id}`, text: label });
      on(button, "click", () => this.setOverlay(id));
      tabs.append(button);
    }
  }

  /** @param {import("../logic/state.js").Overlay} overlay */
  setOverlay(overlay) {
    if (!OVERLAYS.some(({ id }) => id === overlay)) return;
    this.session.state.overlay = overlay;
    for (const tab of byId("overlays").children) {
      const chosen = tab.dataset.overlay === overlay;
      setAttribute(tab, "aria-checked", String(chosen));
      setAttribute(tab, "tabindex", chosen ? "0" : "-1");
    }
    this.redraw();
  }

  nextOverlay() {
    if (byId("overlays").hidden) return;
    const index = OVERLAYS.findIndex(({ id }) => id === this.session.state.overlay);
    this.setOverlay(OVERLAYS[(index + 1) % OVERLAYS.length].id);
  }

  /** The colours that Q-values have on this run, whatever is drawn; null where the run does not tell. @returns {import("../logic/scales.js").Range | null} */
  qRange() {
    const run = this.moments?.range;
    return run ? rangeOf(...run.q_values) : null;
  }

  /** What is drawn of a state. @param {number} observation */
  look(observation) {
    return { q: this.table?.row(observation) ?? null, visits: this.table?.visitsOf(observation) ?? null };
  }

  /** @param {number} now of the animation frame */
  draw(now) {
    const { state, cache } = this.session;
    const { width, height } = this.size;
    if (!state.run || width < 8 || height < 8) return;
    const began = performance.now();
    // A position whose observation is on its way keeps the last picture.
    const step = cache.episode === state.episode ? cache.nearest(state.step) : null;
    if (step === null && state.episode !== null && !this.grid) return;
    const observation = step === null ? undefined : cache.observation(step);
    const textual = !this.grid && typeof observation === "string";
    show(this.text, textual);
    show(this.canvas, !textual);
    if (this.grid) this.#grid(this.grid, now, step);
    else if (textual) setText(this.text, observation);
    else if (step !== null) this.#other(step, observation);
    this.legend?.draw(this.grid, this.scale, this.table, step === null ? null : cache.observation(step), this.access?.marked ?? null);
    this.times.push(performance.now() - began);
    if (this.times.length > 1200) this.times.splice(0, 600);
  }

  /** @param {Grid} grid @param {number} now @param {number | null} step */
  #grid(grid, now, step) {
    const { cache, state } = this.session;
    this.table = this.hasQ && this.moments ? this.moments.table(state, cache, step) : null;
    if (step === null && this.glide) return;
    const observation = step === null ? undefined : cache.observation(step);
    const cell = grid.cellOf(observation);
    const trail = [];
    for (let t = Math.max(0, (step ?? 0) - TRAIL); step !== null && t < step; t += 1) {
      const c = grid.cellOf(cache.observation(t));
      if (c !== null) trail.push(c);
    }
    this.#rescale(grid, observation);
    const { width, height } = this.size;
    const ctx = fit(this.canvas, width, height);
    const marked = this.access?.marked ?? null;
    this.painter.paint(ctx, width, height, {
      grid,
      observation,
      agent: cell === null ? null : this.#glideTo(grid.place(cell), now),
      trail,
      overlay: state.overlay,
      table: this.table,
      scale: this.scale,
      difference: state.since !== null,
      marked,
      tokens: this.theme.tokens,
      themeName: this.theme.name,
    });
    this.access?.draw(frameOf(grid, width, height), {
      observation,
      cell,
      table: this.table,
      difference: state.since !== null,
      resting: !state.playing && !state.live,
    });
    if (!this.own && cell !== null) setAttribute(this.canvas, "aria-label", `Grid of ${grid.rows} by ${grid.columns}, agent at ${grid.describe(cell)}`);
  }

  /** Colours are made anew only where the range, the theme or the palette is another. @param {Grid} grid @param {any} observation */
  #rescale(grid, observation) {
    const { state } = this.session;
    // One number, one colour, on both stages.
    const range = this.leader?.moments?.range ?? this.moments?.range ?? null;
    const own = state.perFrame || state.since !== null;
    const key = JSON.stringify([state.overlay, state.since !== null, state.perFrame, state.palette, this.theme.name, range, this.table === null]);
    if (key === this.scaleKey && this.scale && !own) return;
    this.scaleKey = key;
    const scale = scaleFor(state, grid, observation, this.table, range, this.theme.tokens.rgb("cell"));
    const same = scale && this.scale && key === this.lastKey && scale.range.low === this.scale.range.low && scale.range.high === this.scale.range.high;
    if (!same) this.scale = scale;
    this.lastKey = key;
  }

  /** @type {string | undefined} */
  lastKey = undefined;

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

  /** What has no map: frames and images as pixels, everything else as lanes. @param {number} step @param {any} observation */
  #other(step, observation) {
    const { cache, state } = this.session;
    const { width, height } = this.size;
    const ctx = fit(this.canvas, width, height);
    const { tokens } = this.theme;
    const image = imageOf(state.run, cache, step);
    if (image) {
      paintImage(ctx, width, height, image, tokens);
      setAttribute(this.canvas, "aria-label", `${image.name} of ${image.width} by ${image.height} pixels at step ${step}`);
      return;
    }
    const names = /** @type {any} */ (state.run?.presentation)?.labels;
    paintVector(ctx, width, height, {
      lanes: lanesOf(observation, names, /** @type {any} */ (state.run)?.observation_space),
      key: `${state.run?.run}/${cache.episode}`,
      observation: (t) => cache.observation(t),
      from: cache.contiguousFrom(step),
      to: cache.complete() ? /** @type {number} */ (cache.length) : cache.known(),
      length: Math.max(state.length ?? 0, cache.known()),
      step,
      tokens,
    });
    setAttribute(this.canvas, "aria-label", `Observation ${anyText(observation)}`);
  }
}
