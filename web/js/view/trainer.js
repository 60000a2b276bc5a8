/**
 * The training panel: the trainings of the server, what they have come to, and the reins
 * of the one chosen. What it shows comes from logic/trainings.js; what a person asks goes
 * out over HTTP, and every change comes back over the socket to all who watch.
 */

import { compact, count, fixed, short } from "../logic/format.js";
import { label, problem, read } from "../logic/parameters.js";
import { recording } from "../logic/state.js";
import { isOver, PACES, paceAt, paceText, progress, Trainings } from "../logic/trainings.js";
import { training as api } from "../net/api.js";
import { byId, keepArrows, make, on, setAttribute, setText, show } from "./dom.js";
import { TrainForm } from "./train-form.js";

/** @typedef {import("../logic/trainings.js").Training} Training */

const STATES = { starting: "STARTING", running: "TRAINING", paused: "PAUSED", stopping: "STOPPING", ended: "ENDED", failed: "FAILED" };

/** @type {[string, string, (figures: Record<string, any>) => string][]} */
const FIGURES = [
  ["return-100", "return, last 100", (f) => fixed(f.mean_return_100, 2)],
  ["length-100", "length, last 100", (f) => fixed(f.mean_length_100, 1)],
  ["success", "success, last 100", (f) => percent(f.success_rate)],
  ["eval", "greedy return", (f) => fixed(f.eval_return, 2)],
  ["policy", "policy change", (f) => percent(f.policy_change)],
  ["states", "states visited", (f) => (f.states === undefined ? "–" : `${count(f.states_visited)} / ${count(f.states)}`)],
  ["epsilon", "epsilon", (f) => short(f.epsilon)],
  ["rate", "pace", (f) => (f.episodes_per_s === undefined ? "–" : `${compact(f.episodes_per_s)} episodes/s`)],
];

export class TrainerPanel {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {{toast: (text: string, more?: {kind?: string}) => void, redraw: () => void}} acts
   */
  constructor(session, { toast, redraw }) {
    this.session = session;
    this.toast = toast;
    this.redraw = redraw;
    this.trainings = new Trainings();
    /** @type {import("../logic/parameters.js").Schema | null} */
    this.schema = null;
    /** @type {string | null} */
    this.chosen = null;
    this.shown = "";
    /** What the sliders were set by. */
    this.filled = "";
    /** The inputs of each live parameter. @type {Map<string, any[]>} */
    this.rows = new Map();
    /** What checkpoint mode does, where the server is in it. @type {any} */
    this.mode = null;
    this.box = byId("trainer");
    this.form = new TrainForm({
      toast: (text) => this.toast(text, { kind: "alarm" }),
      schema: () => this.#schema(),
      started: (one) => this.#started(one),
    });
    on(byId("train"), "click", () => void this.form.open());
    this.#build();
  }

  /** The connection is there (again): what goes on is asked for anew. */
  async connected() {
    try {
      const since = this.trainings.told;
      const overview = await api.overview();
      this.trainings.listed(overview, since);
      this.mode = overview.checkpoint_mode;
    } catch {
      return; // the socket will tell when it is back
    }
    byId("train").disabled = !this.trainings.allowed;
    byId("train").title = this.trainings.allowed ? "Train an agent" : `Training is off: this server ${this.trainings.reason}`;
    void this.#tables();
    await this.form.fromLink();
    this.redraw();
  }

  /** @param {import("../types.js").Message} message */
  receive(message) {
    if (message.type === "training_warning") this.toast(message.data.message, { kind: "alarm" });
    if (message.type === "qtable_saved") void this.#tables();
    if (message.type === "checkpoint_mode") {
      if (message.data.warning && message.data.warning !== this.mode?.warning) this.toast(message.data.warning, { kind: "alarm" });
      this.mode = message.data;
      this.redraw();
    }
    if (!this.trainings.receive(message)) return;
    const { state, problem: why, parameters, run, totals } = message.data;
    const name = parameters?.name ?? run ?? "training";
    if (message.type === "training_stopped" && state === "failed" && message.data.id === undefined) this.toast(`${name}: ${why}`, { kind: "alarm" });
    if (message.type === "training_complete") this.toast(`${name} is done: ${count(totals.episodes)} episodes, final epsilon ${short(totals.final_epsilon)}`);
    this.redraw();
  }

  /** @returns {Training | null} the one that the panel is about */
  get current() {
    const { trainings, session } = this;
    const chosen = this.chosen === null ? undefined : trainings.known.get(this.chosen);
    return trainings.of(session.state.run?.run) ?? chosen ?? trainings.all.find((one) => !isOver(one)) ?? null;
  }

  draw() {
    const one = this.current;
    const over = isOver(one);
    // An archived run is looked at, not trained: the panel is one line then.
    const here = one !== null && one.run === (this.session.state.run?.run ?? one.run);
    const key = `${one?.training}|${here}|${over}|${one?.state === "failed"}|${this.mode !== null}`;
    if (key !== this.shown) {
      this.shown = key;
      this.box.open = this.mode !== null || (here && (!over || one?.state === "failed"));
      void this.#fill(one);
    } else if (one && !over && this.filled !== filling(one)) void this.#fill(one, false); // somebody else changed it
    setAttribute(this.box, "data-state", one?.state ?? "none");
    // Recorded by a trainer that this server did not start.
    const elsewhere = one === null && recording(this.session.state);
    setText(this.parts.chip, one ? (one.silent ? "NO WORD" : STATES[one.state]) : elsewhere ? "elsewhere" : this.trainings.allowed ? "idle" : "off");
    this.#choices();
    show(this.parts.mode, this.mode !== null);
    if (this.mode) setText(this.parts.mode, modeText(this.mode));
    show(this.parts.none, one === null);
    setText(this.parts.nothing, elsewhere ? "This run is trained by a process of its own, and steered there." : "Nothing trains here now.");
    show(this.parts.some, one !== null);
    if (one === null) return;
    const { figures } = one;
    this.parts.bar.style.width = `${100 * progress(one)}%`;
    setText(this.parts.episodes, figures.episodes ? `${count(figures.episode)} of ${count(figures.episodes)} episodes` : STATES[one.state].toLowerCase());
    for (const [id, , text] of FIGURES) setText(this.parts[id], text(figures));
    show(this.parts.reins, !over);
    const paused = one.state === "paused";
    setText(this.parts.pause, paused ? "Resume" : "Pause");
    setAttribute(this.parts.pause, "data-does", paused ? "resume" : "pause");
    for (const id of ["step", "episode"]) this.parts[id].disabled = !paused;
    for (const id of ["pause", "reset", "save", "load"]) this.parts[id].disabled = one.state !== "running" && !paused;
    this.parts.stop.disabled = one.state === "stopping";
    this.#follow(figures.epsilon);
    const failed = one.problem !== null || one.silent;
    show(this.parts.problem, failed);
    setText(this.parts.why, one.silent ? "Nothing was heard from this trainer for ten seconds. It hangs, or its environment takes that long. Stop ends it by force if it must." : (one.problem ?? ""));
    show(this.parts.log, one.log.length > 0);
    setText(this.parts.log, one.log.join("\n"));
  }

  async #schema() {
    this.schema ??= await api.schema();
    return this.schema;
  }

  /** @param {Training} one */
  #started(one) {
    this.trainings.started(one);
    this.chosen = one.training;
    this.session.open({ run: one.run, live: true });
    // The dialog gave the focus back to its button: Space would open it again, not pause.
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
    this.redraw();
  }

  /**
   * Ask, and tell where it was refused; nothing here is shown as done before the server says so.
   * @param {string} what @param {Record<string, unknown>} [fields]
   */
  async #ask(what, fields = {}) {
    const one = this.current;
    if (!one) return null;
    try {
      return await (what === "params" ? api.params : api.ask.bind(null, what))({ training: one.training, ...fields });
    } catch (error) {
      this.toast(error instanceof Error ? error.message : String(error), { kind: "alarm" });
      void this.#fill(one); // what was refused is not what stands
      return null;
    }
  }

  #build() {
    /** @type {Record<string, any>} */
    this.parts = {};
    const part = (/** @type {string} */ id, /** @type {string} */ tag, props = {}, /** @type {(Node | string)[]} */ children = []) => {
      const element = make(tag, { "data-testid": `trainer-${id}`, ...props }, children);
      this.parts[id] = element;
      return element;
    };
    const button = (/** @type {string} */ id, /** @type {string} */ text, /** @type {string} */ title, /** @type {() => void} */ act, look = "") => {
      const element = part(id, "button", { text, title, class: look });
      on(element, "click", act);
      return element;
    };
    const figures = FIGURES.map(([id, name]) => make("div", {}, [make("span", { text: name }), part(id, "b", { text: "–" })]));
    const pace = part("pace", "input", { type: "range", min: "0", max: String(PACES.length - 1), step: "1", "aria-label": "Training speed" });
    const unit = part("unit", "select", { class: "small", "aria-label": "Unit of the training speed" }, [make("option", { value: "step", text: "steps a second" }), make("option", { value: "episode", text: "episodes a second" })]);
    const setPace = () => this.#pace();
    on(pace, "input", () => this.#tellPace());
    on(pace, "keydown", keepArrows);
    on(pace, "change", setPace);
    on(unit, "change", setPace);
    const reset = () => confirm("Reset the agent? Its Q-table is emptied; what is recorded stays.") && void this.#ask("reset");
    this.box.append(
      make("summary", {}, [make("h2", { text: "Training" }), part("chip", "span", { class: "state" })]),
      part("mode", "p", { class: "mode", role: "status" }),
      part("none", "div", { class: "none" }, [part("nothing", "p", { class: "dim" }), button("new", "Train an agent …", "Choose an environment or draw a map", () => void this.form.open(), "primary")]),
      part("some", "div", {}, [
        part("choice", "select", { class: "choice", "aria-label": "Training" }),
        make("div", { class: "gauge" }, [part("bar", "i")]),
        part("episodes", "p", { class: "episodes" }),
        part("problem", "div", { class: "problem", role: "alert" }, [part("why", "p"), part("log", "pre", { tabindex: "0", "aria-label": "The end of its log" })]),
        make("div", { class: "figures" }, figures),
        part("reins", "div", {}, [
          make("div", { class: "buttons" }, [
            button("pause", "Pause", "Pause or resume", () => void this.#ask(this.parts.pause.dataset.does), "primary"),
            button("stop", "Stop", "End this training", () => void this.#ask("stop"), "danger"),
            button("step", "1 step", "Train one step (when paused)", () => void this.#ask("step", { by: 1, unit: "step" })),
            button("episode", "1 episode", "Train one episode (when paused)", () => void this.#ask("step", { by: 1, unit: "episode" })),
            button("reset", "Reset", "A fresh agent, from episode 0", reset),
          ]),
          make("label", { class: "slide" }, [make("span", { text: "speed" }), pace, part("pace-text", "output")]),
          make("div", { class: "unit" }, [unit]),
          part("live", "div", { class: "live" }),
          part("locked", "p", { class: "locked" }),
          make("div", { class: "tables" }, [
            part("name", "input", { placeholder: "name of the Q-table", "aria-label": "Name of the Q-table", maxlength: "64" }),
            button("save", "Save", "Save the Q-table as it is now", () => void this.#save()),
            part("table", "select", { "aria-label": "Saved Q-tables" }),
            button("load", "Load", "Put a saved Q-table in", () => void this.#load()),
          ]),
        ]),
        button("again", "Train another …", "Choose an environment or draw a map", () => void this.form.open()),
      ]),
    );
    on(this.parts.choice, "change", () => this.#choose(this.parts.choice.value));
  }

  /** @param {string} id */
  #choose(id) {
    this.chosen = id;
    const run = this.trainings.known.get(id)?.run;
    if (run && run !== this.session.state.run?.run) this.session.open({ run });
    this.redraw();
  }

  #choices() {
    const { all } = this.trainings;
    const key = JSON.stringify(all.map((one) => [one.training, one.state, one.run]));
    show(this.parts.choice, all.length > 1);
    if (this.parts.choice.dataset.key !== key) {
      this.parts.choice.dataset.key = key;
      this.parts.choice.replaceChildren(...all.map((one) => make("option", { value: one.training, text: `${one.parameters.name ?? one.run ?? one.training} · ${STATES[one.state].toLowerCase()}` })));
    }
    const current = this.current?.training;
    if (current && this.parts.choice.value !== current) this.parts.choice.value = current;
  }

  /**
   * The sliders of a training, as it stands.
   * @param {Training | null} one @param {boolean} [all]  also the one that a person is at
   */
  async #fill(one, all = true) {
    if (!one || isOver(one)) return;
    this.filled = filling(one);
    const { per_second, unit } = one.speed;
    if (all || document.activeElement !== this.parts.pace) this.parts.pace.value = String(paceAt(per_second));
    this.parts.unit.value = unit;
    setText(this.parts["pace-text"], paceText(per_second));
    const schema = await this.#schema().catch(() => null);
    if (!schema || this.current?.training !== one.training) return;
    const live = schema.parameters.filter((parameter) => parameter.live);
    // The same elements throughout: one that is replaced takes the focus of the keyboard along.
    if (this.rows.size === 0) this.parts.live.replaceChildren(...live.map((parameter) => this.#row(parameter)));
    for (const { name, default: otherwise } of live) {
      const row = this.rows.get(name);
      if (!all && row?.includes(document.activeElement)) continue;
      for (const input of row ?? []) input.value = String(one.parameters[name] ?? one.figures[name] ?? otherwise);
    }
    const locked = ["env", "algorithm", "seed"].map((name) => `${label(name)} ${one.parameters[name] ?? schema.parameters.find((p) => p.name === name)?.default}`);
    setText(this.parts.locked, `Locked while it trains: ${locked.join(", ")}, map and episodes. The values above apply from the next episode on.`);
  }

  /** A slider and a field for a parameter. @param {import("../logic/parameters.js").Parameter} parameter */
  #row(parameter) {
    const low = parameter.exclusive_minimum ?? parameter.minimum ?? 0;
    const range = { type: "range", min: String(low), max: String(parameter.maximum ?? 1), step: "0.001", "aria-label": label(parameter.name) };
    const slider = /** @type {HTMLInputElement} */ (make("input", { ...range, "data-testid": `live-${parameter.name}` }));
    const field = /** @type {HTMLInputElement} */ (make("input", { inputmode: "decimal", "aria-label": label(parameter.name), "data-testid": `live-${parameter.name}-value` }));
    this.rows.set(parameter.name, [slider, field]);
    on(slider, "keydown", keepArrows);
    on(slider, "input", () => {
      field.value = slider.value;
    });
    on(slider, "change", () => void this.#change(parameter, slider.value));
    on(field, "change", () => void this.#change(parameter, field.value));
    return make("label", { class: "slide", title: parameter.description }, [make("span", { text: label(parameter.name) }), slider, field]);
  }

  /** Epsilon moves by itself as it decays, unless a person holds it. @param {number | null | undefined} epsilon */
  #follow(epsilon) {
    const row = this.rows.get("epsilon");
    if (!row || typeof epsilon !== "number" || row.includes(document.activeElement)) return;
    for (const input of row) input.value = String(Number(epsilon.toPrecision(3)));
  }

  /** @param {import("../logic/parameters.js").Parameter} parameter @param {string} text */
  async #change(parameter, text) {
    const value = read(parameter, text);
    const wrong = problem(parameter, value);
    if (wrong) {
      this.toast(wrong, { kind: "alarm" });
      void this.#fill(this.current);
      return;
    }
    for (const input of this.rows.get(parameter.name) ?? []) input.value = text;
    await this.#ask("params", { parameters: { [parameter.name]: value } });
  }

  #tellPace() {
    setText(this.parts["pace-text"], paceText(PACES[Number(this.parts.pace.value)]));
  }

  #pace() {
    this.#tellPace();
    void this.#ask("speed", { per_second: PACES[Number(this.parts.pace.value)], unit: this.parts.unit.value });
  }

  async #save() {
    const name = this.parts.name.value.trim();
    const saved = await this.#ask("save", name ? { name } : {});
    if (!saved) return;
    this.parts.name.value = "";
    this.toast(`Q-table saved as ${saved.name}`);
  }

  async #load() {
    const [run, name] = this.parts.table.value.split("/");
    if (!name) return;
    if (await this.#ask("load", { run, name })) this.toast(`Q-table ${name} is put in after this step`);
  }

  async #tables() {
    const found = await api.checkpoints().catch(() => null);
    if (!found) return;
    const options = tableOptions(found.checkpoints, this.session.state.runs);
    this.parts.table.replaceChildren(...(options.length > 0 ? options : [make("option", { value: "", text: "none saved yet" })]));
  }
}

/**
 * @param {{run: string, name: string}[]} tables @param {import("../types.js").Run[]} runs
 * @returns {HTMLElement[]}
 */
export function tableOptions(tables, runs) {
  const names = new Map(runs.map((run) => [run.run, run.name ?? run.run]));
  return tables.map(({ run, name }) => make("option", { value: `${run}/${name}`, text: `${name} · ${names.get(run) ?? run}` }));
}

/** What the sliders show of a training; it moves when somebody moves them. @param {Training} one */
const filling = ({ training, speed, parameters }) => JSON.stringify([training, speed, parameters]);

/** @param {any} mode */
function modeText({ state, folder, checkpoint, warning }) {
  const from = checkpoint ? `Playing ${checkpoint.name}, after ${count(checkpoint.trained)} episodes of training, from ${folder}` : `Waiting for a checkpoint in ${folder}`;
  return state === "failed" ? `Checkpoint mode failed and starts anew: ${warning}` : warning ? `${from}. Last warning: ${warning}` : from;
}

/** @param {number | null | undefined} share */
const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(100 * share)} %`);
