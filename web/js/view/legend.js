/**
 * What the colours of the stage mean: a bar with its ends, where the cell in question
 * lies on it, and that cell in words. Here colours are locked to the run or not, and the
 * palette is chosen.
 */

import { cell as cellText, count } from "../logic/format.js";
import { cellLabel, tally, worth } from "../logic/heat.js";
import { LEVELS } from "../logic/scales.js";
import { byId, on, setAttribute, setText, show } from "./dom.js";

const KEY = "reel.palette";
/** @type {Record<import("../logic/state.js").Overlay, string>} */
const NAMES = { triangles: "Q(s, a)", value: "max Q", policy: "max Q", visits: "visits", trail: "" };
/** @type {Record<import("../logic/state.js").Overlay, string>} */
const NOTES = {
  triangles: "A wedge for each action; the best is outlined",
  value: "What the best action of a cell is worth",
  policy: "Arrows are the greedy actions: those that share the best value are all drawn",
  visits: "Steps taken from a cell, on a log scale",
  trail: "the last 20 positions, fading",
};

export class Legend {
  /**
   * @param {Pick<import("../logic/session.js").Session, "state">} session
   * @param {import("./theme.js").Theme} theme
   * @param {() => void} redraw
   */
  constructor(session, theme, redraw) {
    this.session = session;
    this.theme = theme;
    this.redraw = redraw;
    this.bar = byId("legend-bar");
    this.drawn = /** @type {unknown} */ (null);
    const { state } = session;
    try {
      if (localStorage.getItem(KEY) === "viridis") state.palette = "viridis";
    } catch {
      // Storage may be forbidden; cividis it is.
    }
    on(byId("legend-frame"), "click", () => {
      state.perFrame = !state.perFrame;
      redraw();
    });
    on(byId("legend-palette"), "click", () => {
      state.palette = state.palette === "cividis" ? "viridis" : "cividis";
      try {
        localStorage.setItem(KEY, state.palette);
      } catch {
        // As above.
      }
      redraw();
    });
  }

  /**
   * @param {import("../logic/grid.js").Grid | null} grid
   * @param {import("../logic/scales.js").Scale | null} scale
   * @param {import("../logic/heat.js").Table | null} table
   * @param {any} observation @param {number | null} marked  a cell with the pointer or the focus on it
   */
  draw(grid, scale, table, observation, marked) {
    const { state } = this.session;
    const { overlay } = state;
    show(byId("legend"), grid !== null);
    if (!grid) return;
    const coloured = scale !== null && overlay !== "trail";
    show(byId("legend-scale"), coloured);
    show(byId("legend-unvisited"), coloured);
    show(byId("legend-frame"), coloured && state.since === null);
    show(byId("legend-palette"), coloured && !scale?.range.diverging);
    // A picture of another moment than that of the step says so.
    const pinned = state.moment === null || state.since !== null || overlay === "trail" ? "" : ` at episode ${count(state.moment)}`;
    setText(byId("legend-name"), state.since === null ? NAMES[overlay] + pinned : `change of ${NAMES[overlay]}`);
    setText(byId("legend-note"), overlay === "trail" ? NOTES.trail : overlay === "visits" && scale?.logarithmic ? "log" : "");
    setAttribute(byId("legend-name"), "title", NOTES[overlay]);
    setText(byId("legend-frame"), state.perFrame ? "range: frame" : "range: run");
    setAttribute(byId("legend-frame"), "aria-pressed", String(state.perFrame));
    setText(byId("legend-palette"), state.palette);
    const own = grid.cellOf(observation);
    const cell = marked ?? own;
    const difference = state.since !== null;
    const o = cell === null ? null : grid.observationAt(cell, observation);
    const visits = o === null ? 0 : (table?.visitsOf(o) ?? 0);
    const known = cell === null ? "" : cellLabel(grid, cell, observation, table, { difference });
    // In numbers what is shown in colours.
    const words = overlay === "visits" && !difference ? known.replace(/best .*$/, `${count(visits)} visit${visits === 1 ? "" : "s"}`) : known;
    setAttribute(byId("legend-cell"), "title", words);
    setText(byId("legend-cell"), words.replace(/^row (\d+) column (\d+),?/, "($1, $2)").replace("change of value ", "change "));
    if (!coloured || !scale) return;
    this.#bar(scale);
    const text = scale.logarithmic || overlay === "visits" ? tally : cellText;
    setText(byId("legend-low"), text(scale.range.low));
    setText(byId("legend-high"), text(scale.range.high));
    const row = o === null ? undefined : table?.row(o);
    const value = overlay === "visits" ? visits : visits !== 0 && row && table && o !== null ? worth(table, o, row) : Number.NaN;
    const mark = byId("legend-mark");
    const there = Number.isFinite(value) && !(overlay === "visits" && visits === 0);
    show(mark, there);
    if (!there) return;
    mark.style.left = `${scale.at(value) * 100}%`;
    setAttribute(mark, "data-value", String(value));
  }

  /** @param {import("../logic/scales.js").Scale} scale */
  #bar(scale) {
    if (this.drawn === scale) return;
    this.drawn = scale;
    const ctx = this.bar.getContext("2d");
    this.bar.width = LEVELS;
    for (let i = 0; i < LEVELS; i += 1) {
      ctx.fillStyle = scale.fills[i];
      ctx.fillRect(i, 0, 1, this.bar.height);
    }
  }
}
