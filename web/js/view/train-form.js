/**
 * The dialog that starts a training: a form made of the schema, and a map to draw. Every
 * value is checked as it is typed, by the schema that the server and the trainer check by.
 */

import { label, problem, read, runName } from "../logic/parameters.js";
import * as maps from "../logic/maps.js";
import { training as api } from "../net/api.js";
import { byId, make, on, setAttribute, setText, show } from "./dom.js";
import { MapEditor } from "./map-editor.js";

/** @typedef {import("../logic/parameters.js").Parameter} Parameter */

const ENVIRONMENTS = ["GridWorld-v0", "FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"];
/** What most people choose; the rest stands folded under "More". */
const FIRST = ["name", "algorithm", "episodes", "learning_rate", "discount", "epsilon", "epsilon_decay", "seed"];
const DRAWN = "drawn";

export class TrainForm {
  /* Made in #build. */
  /** @type {HTMLSelectElement} */ world = /** @type {any} */ (null);
  /** @type {HTMLInputElement} */ other = /** @type {any} */ (null);
  /** @type {HTMLSelectElement} */ table = /** @type {any} */ (null);
  /** @type {HTMLButtonElement} */ startButton = /** @type {any} */ (null);
  /** @type {HTMLElement} */ why = /** @type {any} */ (null);
  /** Of the schema, those without a field too. @type {Parameter[]} */ parameters = [];
  /** Parameters that go with GridWorld only. @type {Set<string>} */ only = new Set();

  /**
   * @param {{toast: (text: string) => void, schema: () => Promise<import("../logic/parameters.js").Schema>,
   *          started: (one: import("../logic/trainings.js").Training) => void}} acts
   */
  constructor(acts) {
    this.acts = acts;
    this.dialog = byId("train-dialog");
    /** @type {Map<string, {parameter: Parameter, field: any, note: HTMLElement}>} */
    this.fields = new Map();
    this.linked = false;
    this.editor = new MapEditor({ toast: acts.toast, changed: () => this.#look() });
  }

  /** @param {string} [world]  what to choose to begin with */
  async open(world) {
    try {
      const schema = await this.acts.schema();
      if (this.fields.size === 0) this.#build(schema);
    } catch (error) {
      return this.acts.toast(error instanceof Error ? error.message : String(error));
    }
    if (world) this.world.value = world;
    if (!this.dialog.open) this.dialog.showModal();
    this.#look();
    const found = await api.checkpoints().catch(() => ({ checkpoints: [] }));
    const tables = found.checkpoints.map((/** @type {{run: string, name: string}} */ { run, name }) => make("option", { value: `${run}/${name}`, text: `${name} · ${run}` }));
    const kept = this.table.value;
    this.table.replaceChildren(make("option", { value: "", text: "an empty Q-table" }), ...tables);
    this.table.value = [...this.table.options].some((option) => option.value === kept) ? kept : "";
  }

  /** Opens the map that a link carries, once. */
  async fromLink() {
    const address = new URL(location.href);
    const text = address.searchParams.get("map");
    if (text === null || this.linked) return;
    this.linked = true;
    address.searchParams.delete("map");
    history.replaceState(null, "", address);
    try {
      this.editor.set(maps.parse(text));
    } catch (error) {
      return this.acts.toast(error instanceof Error ? error.message : String(error));
    }
    await this.open(DRAWN);
  }

  /** @param {import("../logic/parameters.js").Schema} schema */
  #build(schema) {
    const boards = schema.parameters.find((parameter) => parameter.name === "difficulty")?.choices ?? [];
    this.world = /** @type {HTMLSelectElement} */ (
      make("select", { "data-testid": "form-world", "aria-label": "Environment" }, [
        make("optgroup", { label: "GridWorld" }, [...boards.map((board) => make("option", { value: `board ${board}`, text: board })), make("option", { value: DRAWN, text: "a map of your own" })]),
        make("optgroup", { label: "Gymnasium" }, [...ENVIRONMENTS.slice(1).map((env) => make("option", { value: `env ${env}`, text: env })), make("option", { value: "other", text: "another …" })]),
      ])
    );
    this.other = /** @type {HTMLInputElement} */ (make("input", { placeholder: "its Gymnasium id", "aria-label": "Gymnasium id", "data-testid": "form-env" }));
    this.table = /** @type {HTMLSelectElement} */ (make("select", { "data-testid": "form-table", "aria-label": "Begin with" }));
    this.startButton = /** @type {HTMLButtonElement} */ (make("button", { class: "primary", text: "Start training", "data-testid": "form-start" }));
    this.why = make("p", { class: "why", role: "status", "data-testid": "form-problem" });
    const presets = Object.entries(schema.presets).map(([name, values]) => {
      const button = make("button", { type: "button", text: name, "data-testid": `preset-${name}`, title: Object.entries(values).map(([key, value]) => `${label(key)} ${value}`).join(", ") });
      on(button, "click", () => {
        for (const [key, value] of Object.entries(values)) {
          const found = this.fields.get(key);
          if (found) found.field.value = String(value);
        }
        this.#look();
      });
      return button;
    });
    // The environment and its arguments come from the choice above; the map's seed and hazards go with the boards.
    const hidden = new Set(["env", "env_kwargs", "difficulty"]);
    const rest = schema.parameters.filter((parameter) => !hidden.has(parameter.name) && !FIRST.includes(parameter.name));
    const first = FIRST.flatMap((name) => schema.parameters.filter((parameter) => parameter.name === name));
    this.only = new Set(schema.grid_world_only ?? []);
    this.parameters = schema.parameters;
    const form = make("form", { novalidate: "", class: "train-form" }, [
      make("div", { class: "field wide" }, [make("label", { text: "environment" }), this.world, this.other]),
      make("div", { class: "field wide" }, [make("label", { text: "presets" }), make("div", { class: "presets" }, presets)]),
      ...first.map((parameter) => this.#field(parameter)),
      make("div", { class: "field wide" }, [make("label", { text: "begin with" }), this.table]),
      make("details", { class: "more" }, [make("summary", { text: "More" }), make("div", { class: "train-form" }, rest.map((parameter) => this.#field(parameter)))]),
      make("div", { class: "go" }, [this.why, this.startButton]),
    ]);
    on(form, "submit", (event) => {
      event.preventDefault();
      void this.#start();
    });
    on(form, "input", () => this.#look());
    on(form, "change", () => this.#look());
    byId("train-form").replaceChildren(form);
  }

  /** @param {Parameter} parameter */
  #field(parameter) {
    const { name, choices, type, default: preset } = parameter;
    const id = `field-${name}`;
    const props = { id, "data-testid": `form-${name}`, "aria-describedby": `${id}-note` };
    const options = choices ?? (type === "boolean" ? ["true", "false"] : null);
    const field = options
      ? make("select", props, [...(parameter.nullable ? [make("option", { value: "", text: "–" })] : []), ...options.map((choice) => make("option", { value: choice, text: choice }))])
      : make("input", { ...props, autocomplete: "off", ...(type === "string" ? {} : { inputmode: "decimal" }), placeholder: parameter.nullable ? "–" : "" });
    if (preset !== null && preset !== undefined) /** @type {any} */ (field).value = String(preset);
    const note = make("span", { id: `${id}-note`, class: "hint" });
    this.fields.set(name, { parameter, field, note });
    return make("div", { class: "field", title: parameter.description }, [make("label", { for: id, text: label(name) }), field, note]);
  }

  get #grid() {
    return this.world.value === DRAWN || this.world.value.startsWith("board ");
  }

  /** Say what is wrong, where it is, and whether it can be started. */
  #look() {
    if (this.fields.size === 0) return;
    const drawn = this.world.value === DRAWN;
    show(byId("map-editor"), drawn);
    this.dialog.classList.toggle("with-map", drawn);
    show(this.other, this.world.value === "other");
    let wrong = drawn ? maps.problem(this.editor.map) : null;
    if (this.world.value === "other" && this.other.value.trim() === "") wrong = "the environment needs a Gymnasium id";
    for (const [name, { parameter, field, note }] of this.fields) {
      const applies = !this.only.has(name) || (this.#grid && !drawn);
      field.disabled = !applies;
      const why = applies ? this.#problem(parameter, field.value) : null;
      setText(note, why ? (parameter.allowed ?? "") : "");
      field.setAttribute("aria-invalid", String(why !== null));
      wrong ??= why;
    }
    setText(this.why, wrong ?? "");
    this.startButton.disabled = wrong !== null;
    const name = this.fields.get("name");
    if (name) setAttribute(name.field, "placeholder", runName(this.#parameters(), this.parameters) || "–");
  }

  /** @param {Parameter} parameter @param {string} text */
  #problem(parameter, text) {
    const value = read(parameter, text);
    // What is left empty takes its default.
    return value === null ? null : problem(parameter, value);
  }

  /** @returns {Record<string, unknown>} */
  #parameters() {
    /** @type {Record<string, unknown>} */
    const given = {};
    for (const [name, { parameter, field }] of this.fields) {
      const value = field.disabled ? null : read(parameter, field.value);
      if (value !== null && value !== parameter.default) given[name] = value;
    }
    const choice = this.world.value;
    if (choice === DRAWN) given.env_kwargs = JSON.parse(maps.write(this.editor.map));
    else if (choice === "other") given.env = this.other.value.trim();
    else if (choice.startsWith("board ")) given.difficulty = choice.slice(6);
    else given.env = choice.slice(4);
    return given;
  }

  async #start() {
    this.#look();
    if (this.startButton.disabled) return;
    this.startButton.disabled = true;
    setText(this.startButton, "Starting …");
    const [run, name] = this.table.value.split("/");
    try {
      const one = await api.ask("start", { parameters: this.#parameters(), ...(name ? { load: { run, name } } : {}) });
      this.dialog.close();
      this.acts.started(one);
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      setText(this.why, said);
      this.acts.toast(said);
    } finally {
      this.startButton.disabled = false;
      setText(this.startButton, "Start training");
    }
  }
}
