/** What can be taken away: the episode as a file, the stage as a picture or a film, a link. */

import { count } from "../logic/format.js";
import { Gif, Palette } from "../logic/gif.js";
import { api } from "../net/api.js";
import { imageOf } from "../logic/looks.js";
import { emptyOf, read, whole } from "../net/whole.js";
import { byId, make, on, setText, show } from "./dom.js";
import { Menu } from "./menu.js";
import { Stage } from "./stage.js";

/** A film has this many pictures at most; of a longer episode it shows every n-th step. */
const MOST_PICTURES = 300;
const SIDE = 480;
const LAST_PICTURE_S = 1.5;

export class Export {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {Stage} stage
   * @param {import("./theme.js").Theme} theme
   * @param {{say: (text: string) => void, link: () => void}} acts
   */
  constructor(session, stage, theme, acts) {
    this.session = session;
    this.stage = stage;
    this.theme = theme;
    this.acts = acts;
    this.menu = new Menu(byId("save"), byId("save-menu"), () => this.#fill());
    this.busy = false;
  }

  #fill() {
    const { state } = this.session;
    const { run, episode } = state;
    const done = state.length !== null;
    const items = [];
    for (const [format, words] of [["json", "Episode as JSON"], ["csv", "Episode as CSV"], ["npz", "Episode as NPZ"]]) {
      if (!run || episode === null || state.missing) continue;
      const item = make("a", { href: api.file(run.run, episode, format), download: "", "data-testid": `save-${format}`, text: words });
      on(item, "click", () => this.menu.open(false));
      items.push(item);
    }
    if (!this.stage.canvas.hidden && episode !== null) {
      items.push(this.#item("png", "Stage as PNG", () => this.#png()));
      if (done && !state.missing) items.push(this.#item("gif", "Episode as GIF", () => void this.#gif()));
    }
    items.push(this.#item("link", "Copy link", this.acts.link));
    this.menu.list.replaceChildren(...items);
  }

  /** @param {string} id @param {string} words @param {() => void} act */
  #item(id, words, act) {
    const item = make("button", { "data-testid": `save-${id}`, text: words });
    on(item, "click", () => {
      this.menu.open(false);
      act();
    });
    return item;
  }

  /** @param {string} ending */
  #name(ending) {
    const { run, episode } = this.session.state;
    return `${run?.run}-episode-${episode}${ending}`;
  }

  #png() {
    const { canvas } = this.stage;
    // Over the stage may lie the environment's own picture.
    const own = byId("frames-image");
    const copy = own.hidden || !own.naturalWidth ? this.#onGround(canvas, canvas.width, canvas.height) : this.#onGround(own, own.naturalWidth, own.naturalHeight);
    copy.toBlob((blob) => blob && save(blob, this.#name(`-step-${this.session.state.step}.png`)), "image/png");
  }

  /** A copy with the page's ground behind it: a stage is see-through. @param {CanvasImageSource} picture @param {number} width @param {number} height */
  #onGround(picture, width, height) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    context.fillStyle = this.theme.tokens.panel;
    context.fillRect(0, 0, width, height);
    context.drawImage(picture, 0, 0, width, height);
    return canvas;
  }

  /** Every step of the episode, drawn on a stage that nobody sees. */
  async #gif() {
    const { state } = this.session;
    const { run, episode, length, info } = state;
    if (this.busy || !run || episode === null || length === null) return;
    this.busy = true;
    const label = byId("save-progress");
    show(label, true);
    try {
      const place = { run: run.run, episode };
      // Pictures are shown one by one, and a whole episode of them may be more than there is room for.
      const pictures = imageOf(run, this.session.cache, this.session.cache.nearest(state.step) ?? 0) !== null;
      const cache = pictures ? emptyOf(place, length) : await whole(place, length, () => true);
      if (!pictures && !cache.complete()) return this.acts.say(`This episode is too long for a GIF made here: ${count(length)} steps. reel export makes one, or a film, of any length.`);
      const other = { state: { ...state, info, step: 0, playing: false }, cache };
      const stage = new Stage(/** @type {any} */ (other), this.theme, () => {}, make("div"));
      stage.setRun();
      stage.size = { width: SIDE, height: SIDE };
      const stride = Math.max(1, Math.ceil((length + 1) / MOST_PICTURES));
      const steps = Array.from({ length: Math.ceil((length + 1) / stride) }, (_, i) => i * stride);
      if (steps.at(-1) !== length) steps.push(length);
      const draw = async (/** @type {number} */ step) => {
        other.state.step = step;
        if (pictures) {
          const at = Math.min(step, length - 1);
          other.cache = emptyOf(place, length);
          await read(other.cache, place, at, at + 1);
        }
        stage.follow(this.stage);
        // Twice, a second apart: the agent has then arrived where it glides to.
        stage.draw(performance.now() + 2_000 * step);
        stage.draw(performance.now() + 2_000 * step + 1_000);
        return /** @type {CanvasRenderingContext2D} */ (this.#onGround(stage.canvas, SIDE, SIDE).getContext("2d")).getImageData(0, 0, SIDE, SIDE).data;
      };
      const palette = new Palette();
      for (const step of [0, Math.floor(length / 3), Math.floor((2 * length) / 3), length]) palette.count(await draw(step));
      palette.choose();
      const gif = new Gif(SIDE, SIDE, palette);
      const seconds = stride / (run.presentation?.steps_per_second ?? 10);
      for (const [i, step] of steps.entries()) {
        gif.add(await draw(step), i === steps.length - 1 ? LAST_PICTURE_S : seconds);
        setText(label, `GIF ${Math.round(((i + 1) / steps.length) * 100)} %`);
        await new Promise((done) => setTimeout(done));
      }
      save(new Blob([gif.end()], { type: "image/gif" }), this.#name(".gif"));
      if (stride > 1) this.acts.say(`The GIF shows 1 of ${stride} steps.`);
    } catch (error) {
      this.acts.say(`The GIF could not be made: ${error instanceof Error ? error.message : error}`);
    } finally {
      this.busy = false;
      show(label, false);
    }
  }
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const href = URL.createObjectURL(blob);
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
