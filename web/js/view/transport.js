/** The transport: slider, buttons, the step that can be typed, speed. Draws state, asks the session. */

import { count, DASH, reward as rewardText, speed as speedText } from "../logic/format.js";
import { nextSpeed, SPEEDS } from "../logic/keys.js";
import { leftOut, MOST_TICKS } from "../logic/marks.js";
import { behind, ended, holeAt, otherLive, recording, stepsPerSecond } from "../logic/state.js";
import { byId, fit, make, on, setAttribute, setText, setValue, show } from "./dom.js";

/** A frame shows several steps above this rate, and the page says so. */
const SCREEN_HZ = 60;
const TICKS_MS = 250;

export class Transport {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("./theme.js").Theme} theme
   * @param {() => void} redraw
   */
  constructor(session, theme, redraw) {
    this.session = session;
    this.theme = theme;
    this.slider = byId("seek");
    this.input = byId("step");
    this.track = this.slider.parentElement;
    this.ticks = byId("ticks");
    this.dragging = false;
    this.resumes = false;
    this.ticksKey = "";
    this.ticked = 0;
    this.size = { width: 0, height: 0 };
    for (const speed of SPEEDS) byId("speed").append(make("option", { value: String(speed), text: speedText(speed) }));
    this.#listen(redraw);
    // Its size is told, not asked for: asking makes the page lay itself out, frame by frame.
    new ResizeObserver(([{ contentRect: { width, height } }]) => {
      this.size = { width, height };
      this.ticksKey = "";
      redraw();
    }).observe(this.track);
  }

  /** @param {() => void} redraw */
  #listen(redraw) {
    const { session, slider, input } = this;
    on(byId("first"), "click", () => session.first());
    on(byId("back"), "click", () => session.stepBy(-1));
    on(byId("play"), "click", () => session.toggle());
    on(byId("forward"), "click", () => session.stepBy(1));
    on(byId("last"), "click", () => session.last());
    on(byId("to-live"), "click", () => session.goLive());
    on(byId("loop"), "click", () => session.nextLoop());
    on(byId("autoplay"), "click", () => session.setAutoplay(!session.state.autoplay));
    on(byId("speed"), "change", (event) => {
      const { value } = event.target;
      session.setSpeed(value === "max" ? "max" : Number(value));
    });
    // While the thumb is held the playhead must not run from under it.
    on(slider, "pointerdown", () => {
      this.dragging = true;
      this.resumes = session.state.playing && !session.state.live;
    });
    on(slider, "input", () => session.seek(Number(slider.value), session.state.episode, this.dragging ? false : null));
    const release = () => {
      if (!this.dragging) return;
      this.dragging = false;
      if (this.resumes && session.state.length !== session.state.step) session.play();
    };
    on(slider, "pointerup", release);
    on(slider, "pointercancel", release);
    on(input, "change", () => this.#typed());
    on(input, "keydown", (event) => {
      if (event.key === "Enter") this.#typed();
      if (event.key === "Enter" || event.key === "Escape") input.blur();
    });
    on(input, "focus", () => input.select());
    // What was typed and is no step gives way to the one that is shown.
    on(input, "blur", redraw);
  }

  #typed() {
    const text = this.input.value.replace(/[\s,'’]/g, "").replace("\u2212", "-");
    const step = text === "" ? Number.NaN : Math.round(Number(text));
    if (Number.isFinite(step) && step !== this.session.state.step) this.session.seek(step, this.session.state.episode, false);
  }

  /** @param {1 | -1} direction */
  faster(direction) {
    this.session.setSpeed(nextSpeed(this.session.state.speed, direction));
  }

  draw() {
    const { state, cache } = this.session;
    // Over a card that says what was asked for and is not there, nothing is left of what was.
    const none = state.episode === null || state.problem !== null;
    const known = none ? 0 : (state.length ?? Math.max(cache.known() - 1, state.step, 0));
    const step = none ? 0 : state.step;
    const running = !none && (state.live || state.playing);
    const again = ended(state);
    setIcon(byId("play"), running ? "pause" : again ? "replay" : "play");
    setAttribute(byId("play"), "aria-label", running ? "Pause" : again ? "Play again" : "Play");
    for (const id of ["first", "back", "forward", "last", "seek", "step"]) byId(id).disabled = none;
    // Playing on is a way back to what was there.
    byId("play").disabled = state.episode === null;
    setAttribute(this.slider, "max", String(known));
    if (!this.dragging) setValue(this.slider, String(step));
    this.track.style.setProperty("--done", `${known > 0 ? Math.min(100, (step / known) * 100) : 0}%`);
    const earned = cache.value("reward", step);
    const total = state.length === null ? `${known} so far` : String(state.length);
    const told = `step ${step} of ${total}${earned === undefined ? "" : `, reward ${rewardText(earned)}`}${holeAt(state) ? ", damaged" : ""}`;
    setAttribute(this.slider, "aria-valuetext", none ? "no episode" : told);
    setAttribute(this.slider, "title", leftOut(state.events, state.unmarked));
    if (none || document.activeElement !== this.input) setValue(this.input, String(step));
    // What is shown of a number is all of it.
    const digits = String(known).length;
    this.input.style.minWidth = digits > 3 ? `calc(${digits}ch + 12px)` : "";
    setText(byId("total"), none ? DASH : state.length === null ? "…" : count(state.length));
    this.#pace(running);
    this.#live();
    this.#speed();
    this.#loop();
    this.#autoplay();
    this.#ticks(known);
  }

  /** A link may name a speed that is none of the menu's: it is there as long as it is set. */
  #speed() {
    const { speed } = this.session.state;
    const menu = byId("speed");
    const own = menu.querySelector("[data-own]");
    const listed = SPEEDS.includes(speed);
    if (own && (listed || own.value !== String(speed))) own.remove();
    if (!listed && own?.value !== String(speed)) menu.prepend(make("option", { value: String(speed), text: speedText(speed), "data-own": "" }));
    setValue(menu, String(speed));
  }

  #autoplay() {
    const { state, list } = this.session;
    const button = byId("autoplay");
    const name = list ? "Go on into the next episode of the list" : "Go on into the next episode";
    setAttribute(button, "aria-pressed", String(state.autoplay !== false));
    setAttribute(button, "aria-label", name);
    setAttribute(button, "title", name);
  }

  #loop() {
    const { loop, points } = this.session.state;
    const button = byId("loop");
    const name = typeof loop === "object" ? `A-B, step ${loop.from} to ${loop.to}` : loop;
    setAttribute(button, "aria-pressed", String(loop !== "off"));
    setAttribute(button, "aria-label", `Loop: ${name}`);
    setAttribute(button, "data-loop", typeof loop === "object" ? "ab" : loop);
    const half = points.a === null ? points.b !== null : points.b === null;
    setAttribute(button, "title", `Loop: ${name} (o). Points: a and b${half ? "; one is set" : ""}`);
    setText(byId("loop-word"), typeof loop === "object" ? "A-B" : "");
  }

  /** @param {boolean} running */
  #pace(running) {
    const { state } = this.session;
    const rate = stepsPerSecond(state);
    const batch = rate === null ? 0 : Math.ceil(rate / SCREEN_HZ);
    setText(byId("pace"), running && rate === null ? "as fast as it comes" : running && batch > 1 ? `showing 1 of ${batch}` : "");
  }

  #live() {
    const { state } = this.session;
    const button = byId("to-live");
    const here = recording(state);
    const other = !here && otherLive(state) !== undefined;
    show(button, state.connection === "open" && !state.live && (here || other));
    const late = behind(state);
    const [verb, rest] = here ? ["Return to ", `live${late > 0 ? ` (${count(late)} behind)` : ""}`] : ["Watch ", "live"];
    setText(byId("to-live-verb"), verb);
    setText(byId("to-live-rest"), rest);
    setAttribute(button, "aria-label", verb + rest);
  }

  /** Marks of the episode, the points of the loop, and hatching where nothing is. @param {number} known */
  #ticks(known) {
    const { cache, state } = this.session;
    const { a, b } = state.points;
    const about = `${state.problem !== null}.${cache.episode}.${state.length}.${this.theme.name}.${a}.${b}.${state.missing?.reason}.${state.holes.length}.${state.events.length}.${state.events.at(-1)?.at}.${state.parting}.`;
    const key = about + cache.version;
    // While steps stream in, a few times a second is soon enough; there is a frame to come.
    const now = performance.now();
    if (key === this.ticksKey || (state.playing && now - this.ticked < TICKS_MS && this.ticksKey.startsWith(about))) return;
    Object.assign(this, { ticksKey: key, ticked: now });
    const { width, height } = this.size;
    const ctx = fit(this.ticks, width, height);
    ctx.clearRect(0, 0, width, height);
    if (state.problem) return;
    const { tokens } = this.theme;
    // The thumb's centre travels between half its width from either end.
    const x = (/** @type {number} */ step) => 7 + (known > 0 ? step / known : 0) * (width - 14);
    if (state.missing) hatch(ctx, 0, width, height, tokens.dim);
    for (const { from, to } of state.holes) hatch(ctx, x(from), Math.max(3, x(to + 1) - x(from)), height, tokens.dim);
    if (a !== null && b !== null) {
      ctx.fillStyle = `${tokens.archive}40`;
      ctx.fillRect(x(Math.min(a, b)), 6, Math.abs(x(b) - x(a)), height - 12);
    }
    for (const mark of known > 0 && known <= MOST_TICKS * 50 ? this.session.marks() : []) {
      if (mark.kind === "gap") hatch(ctx, x(mark.step) - 5, 10, height, tokens.dim);
      else if (mark.kind === "end") {
        ctx.fillStyle = tokens.accent;
        ctx.fillRect(width - 2, 3, 2, height - 6);
      } else if (mark.kind === "split") {
        ctx.fillStyle = tokens.live;
        ctx.fillRect(x(mark.step) - 1, 1, 2, height - 2);
        diamond(ctx, x(mark.step), height - 5, tokens.live);
      } else if (mark.kind === "event") diamond(ctx, x(mark.step), 5, tokens.archive);
      else {
        ctx.fillStyle = tokens.dim;
        ctx.fillRect(x(mark.step) - 1, mark.kind === "up" ? 2 : height - 8, 2, 6);
      }
    }
    ctx.fillStyle = tokens.archive;
    ctx.font = "600 9px system-ui, sans-serif";
    ctx.textAlign = "center";
    for (const [name, step] of Object.entries(state.points)) {
      if (step === null) continue;
      ctx.fillRect(x(step) - 1, 4, 2, height - 8);
      ctx.fillText(name.toUpperCase(), x(step) + (name === "a" ? -6 : 6), 8);
    }
  }
}

/** @param {CanvasRenderingContext2D} ctx @param {number} left @param {number} width @param {number} height @param {string} ink */
function hatch(ctx, left, width, height, ink) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, 6, width, height - 12);
  ctx.clip();
  ctx.strokeStyle = ink;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (let at = left - height; at < left + width; at += 5) {
    ctx.moveTo(at, height);
    ctx.lineTo(at + height, 0);
  }
  ctx.stroke();
  ctx.restore();
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {string} ink */
function diamond(ctx, x, y, ink) {
  ctx.fillStyle = ink;
  ctx.beginPath();
  ctx.moveTo(x, y - 4);
  ctx.lineTo(x + 4, y);
  ctx.lineTo(x, y + 4);
  ctx.lineTo(x - 4, y);
  ctx.fill();
}

/** @param {HTMLElement} button @param {string} icon */
function setIcon(button, icon) {
  const use = button.querySelector("use");
  if (use && use.getAttribute("href") !== `#i-${icon}`) use.setAttribute("href", `#i-${icon}`);
  button.dataset.icon = icon;
}
