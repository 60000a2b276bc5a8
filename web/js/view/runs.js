/**
 * The table of runs: filtered, opened, renamed, annotated, deleted; and the curves of those
 * that are ticked, over each other.
 */

import { brief, count, fixed } from "../logic/format.js";
import { age, matches, parameters, size, tagsOf } from "../logic/runs.js";
import { api } from "../net/api.js";
import { byId, make, on, setText, show } from "./dom.js";
import { RunCurves } from "./run-curves.js";

/** Rows drawn at most; a filter finds the others. */
const MOST_ROWS = 200;
const MOST_CURVES = 12;
/** Runs of one answer at most. */
const READ = 1000;

/** @typedef {import("../types.js").Run} Run */

export class Runs {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("./theme.js").Theme} theme
   * @param {{open: (run: string) => void, reread: () => Promise<void>, say: (text: string) => void}} acts
   */
  constructor(session, theme, acts) {
    this.session = session;
    this.acts = acts;
    this.dialog = byId("runs");
    this.body = byId("runs-body");
    this.filter = byId("runs-filter");
    this.curves = new RunCurves(byId("runs-curves"), theme);
    /** @type {string[]} */
    this.ticked = [];
    /** What a row is being asked: its run, about what, and where: one element throughout, with what is typed in it. @type {{run: string, what: "edit" | "delete", row?: HTMLElement} | null} */
    this.asking = null;
    this.readOnly = false;
    /** Runs behind those that the page always has, read when a person asks. @type {Run[]} */
    this.further = [];
    /** Where the next of them begin; null behind the last. @type {string | null | undefined} */
    this.behind = undefined;
    this.more = byId("runs-more");
    on(this.more, "click", () => void this.#readOn());
    on(byId("runs-open"), "click", () => void this.open());
    on(this.filter, "input", () => this.#show());
    on(this.dialog, "click", (event) => event.target === this.dialog && this.dialog.close());
  }

  async open() {
    this.asking = null;
    this.further = [];
    this.behind = undefined;
    this.#show();
    this.dialog.showModal();
    this.filter.focus();
    const [status] = await Promise.all([api.status().catch(() => null), this.acts.reread()]);
    this.readOnly = status?.read_only === true;
    this.#show();
  }

  /** The list may have changed. While a row asks something, it is left as it is. */
  refresh() {
    if (this.dialog.open && this.asking === null) this.#show();
  }

  setTheme() {
    if (this.dialog.open) void this.curves.show(this.#tickedRuns());
  }

  /** All that were read: the newest, which are read again and again, and what a person asked for. */
  get #known() {
    const { runs } = this.session.state;
    const newest = new Set(runs.map((run) => run.run));
    return [...runs, ...this.further.filter((run) => !newest.has(run.run))];
  }

  async #readOn() {
    const { rest } = this.session.state;
    if (!rest || this.more.disabled) return;
    this.more.disabled = true;
    try {
      const answer = await api.runs(this.behind ?? rest.next);
      this.behind = answer.next;
      this.further = [...this.further, ...answer.runs];
    } catch (error) {
      this.#refused(error);
    }
    this.more.disabled = false;
    this.#show();
  }

  #tickedRuns() {
    return this.#known.filter((run) => this.ticked.includes(run.run));
  }

  #show() {
    const runs = this.#known;
    const { rest } = this.session.state;
    const total = Math.max(rest?.total ?? 0, runs.length);
    const found = runs.filter((run) => matches(run, this.filter.value));
    const typing = document.activeElement;
    this.body.replaceChildren(...found.slice(0, MOST_ROWS).flatMap((run) => this.#rows(run)));
    if (typing instanceof HTMLElement && this.asking?.row?.contains(typing)) typing.focus();
    const more = found.length > MOST_ROWS ? `${MOST_ROWS} of ${count(found.length)} shown: a filter finds the others. ` : "";
    setText(byId("runs-note"), `${more}${count(found.length)} of ${count(runs.length)} runs${total > runs.length ? ` read, of ${count(total)} there are` : ""}${this.readOnly ? " · this server is read-only" : ""}`);
    show(this.more, total > runs.length && this.behind !== null);
    setText(this.more, `Read ${count(Math.min(READ, total - runs.length))} more`);
    void this.curves.show(this.#tickedRuns());
  }

  /** @param {Run} run @returns {HTMLElement[]} */
  #rows(run) {
    const live = run.status === "recording";
    const broken = run.status === "unreadable";
    const tick = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox", "aria-label": `Show the curve of ${run.name ?? run.run}`, "data-testid": "run-tick" }));
    tick.checked = this.ticked.includes(run.run);
    tick.disabled = broken;
    on(tick, "change", () => {
      this.ticked = tick.checked ? [...this.ticked, run.run].slice(-MOST_CURVES) : this.ticked.filter((id) => id !== run.run);
      void this.curves.show(this.#tickedRuns());
    });
    const open = make("button", { class: "link", text: run.name ?? run.run, title: `Open ${run.name ?? run.run}`, "data-testid": "run-open" });
    on(open, "click", () => {
      this.dialog.close();
      this.acts.open(run.run);
    });
    const name = make("td", { class: "name" }, [open, ...(run.tags ?? []).map((tag) => make("span", { class: "tag", text: tag })), ...(run.note ? [make("p", { class: "dim", text: run.note })] : [])]);
    const facts = broken
      ? [make("td", { colspan: "8", class: "dim", text: run.error ?? "cannot be read" })]
      : [run.env_id ?? "–", run.algorithm ?? "–", parameters(run) || "–", count(run.episodes), returns(run.best_return), returns(run.last_return_100), age(run.created_at, Date.now()), size(run.size_bytes)].map((text, i) =>
          make("td", { class: i === 2 ? "parameters" : i > 2 ? "number" : undefined, title: i === 1 || i === 2 ? text : undefined, text }),
        );
    const row = make("tr", { "data-testid": "run-row", "data-run": run.run }, [
      make("td", {}, [tick]),
      make("td", {}, [make("span", { class: "status", "data-status": run.status, text: live ? "● live" : run.status })]),
      name,
      ...facts,
      make("td", { class: "acts" }, this.readOnly ? [] : [this.#act(run, "edit", false), this.#act(run, "delete", live)]),
    ]);
    if (this.asking?.run !== run.run) return [row];
    this.asking.row ??= make("tr", { class: "asking" }, [make("td", { colspan: "12" }, [this.asking.what === "edit" ? this.#form(run) : this.#confirm(run)])]);
    return [row, this.asking.row];
  }

  /** @param {Run} run @param {"edit" | "delete"} what @param {boolean} refused */
  #act(run, what, refused) {
    const label = what === "edit" ? "Edit" : "Delete";
    const button = /** @type {HTMLButtonElement} */ (make("button", { class: "small", text: label, "aria-label": `${label} ${run.name ?? run.run}`, "data-testid": `run-${what}`, title: refused ? "A run that trains cannot be deleted: stop it first" : undefined }));
    button.disabled = refused;
    on(button, "click", () => {
      this.asking = { run: run.run, what };
      this.#show();
      // Of what cannot be undone, Enter must not be the answer at once.
      const first = this.body.querySelector(".asking input, .asking button:not(.danger)");
      if (first instanceof HTMLElement) first.focus();
    });
    return button;
  }

  /** @param {Run} run */
  #form(run) {
    const field = (/** @type {string} */ label, /** @type {string} */ id, /** @type {string} */ text) =>
      make("label", {}, [label, Object.assign(make("input", { "data-testid": `label-${id}`, name: id, maxlength: id === "note" ? "10000" : "200" }), { value: text })]);
    const form = /** @type {HTMLFormElement} */ (make("form", { class: "labels" }, [
      field("Name", "name", run.name ?? ""),
      field("Tags", "tags", (run.tags ?? []).join(" ")),
      field("Note", "note", run.note ?? ""),
      make("button", { type: "submit", text: "Save", "data-testid": "label-save" }),
      this.#cancel("Cancel"),
    ]));
    on(form, "submit", (event) => {
      event.preventDefault();
      const said = new FormData(form);
      const text = (/** @type {string} */ name) => String(said.get(name) ?? "").trim();
      void this.#do(() => api.label(run.run, { name: text("name"), tags: tagsOf(text("tags")), note: text("note") }));
    });
    return form;
  }

  /** @param {Run} run */
  #confirm(run) {
    const sure = make("button", { class: "danger", text: "Delete for good", "data-testid": "delete-sure" });
    on(sure, "click", () => void this.#do(() => api.remove(run.run)));
    return make("div", { class: "labels", role: "alertdialog", "aria-label": "Delete a run" }, [
      make("span", { text: `Delete ${run.name ?? run.run} (${run.run}), its ${count(run.episodes)} episodes and all that stands in its directory? This cannot be undone.` }),
      sure,
      this.#cancel("Keep it"),
    ]);
  }

  /** @param {string} text */
  #cancel(text) {
    const cancel = make("button", { type: "button", text });
    on(cancel, "click", () => this.#answered());
    return cancel;
  }

  #answered() {
    this.asking = null;
    this.#show();
    this.filter.focus();
  }

  /** @param {() => Promise<any>} change */
  async #do(change) {
    show(byId("runs-error"), false);
    try {
      await change();
      this.asking = null;
      await this.acts.reread();
    } catch (error) {
      this.#refused(error);
    }
    this.#show();
  }

  /** @param {unknown} error */
  #refused(error) {
    const note = byId("runs-error");
    setText(note, error instanceof Error ? error.message : String(error));
    show(note, true);
  }
}

/** @param {number | null | undefined} value */
const returns = (value) => (Math.abs(value ?? 0) >= 1e5 ? brief(value) : fixed(value, 1));
