/**
 * The tools above the episode table: the search box, the range of returns, the facets with
 * their counts, and the chips that tell which filters are on.
 */

import { count, reward } from "../logic/format.js";
import { episodeNumber, expression, noQuery, offset, pack, unpack, words } from "../logic/query.js";
import { byId, make, on, setAttribute, setText, show } from "./dom.js";

/** Fields by which episodes are counted, and what they are called here. */
const FACETS = /** @type {const} */ ({ outcome: "how it ended", stage: "stage", tags: "tag", seed: "seed" });
const MOST_VALUES = 8;
const TYPING_MS = 350;

export class Filters {
  /**
   * @param {{changed: () => void, goTo: (episode: number) => void,
   *          facets: (filter: string, words: string) => Promise<Record<string, {value: any, count: number}[]>>}} acts
   */
  constructor(acts) {
    this.acts = acts;
    this.query = noQuery();
    this.search = byId("goto");
    this.panel = byId("facets");
    this.toggle = byId("filter-open");
    this.low = byId("return-low");
    this.high = byId("return-high");
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.typing = undefined;
    on(this.toggle, "click", () => this.#open(this.panel.hidden));
    on(this.search, "keydown", (event) => this.#key(event));
    on(this.search, "input", () => this.#typed());
    for (const [input, end] of /** @type {const} */ ([[this.low, "low"], [this.high, "high"]])) {
      on(input, "change", () => {
        const value = input.value.trim() === "" ? null : Number(input.value.replace("\u2212", "-"));
        setAttribute(input, "aria-invalid", Number.isNaN(value) ? "true" : null);
        if (!Number.isNaN(value)) this.set({ [end]: value });
      });
    }
  }

  get filter() {
    return expression(this.query);
  }

  get words() {
    return words(this.query);
  }

  get on() {
    return this.filter !== "" || this.words !== "";
  }

  get packed() {
    return pack(this.query);
  }

  /** @param {string} packed */
  restore(packed) {
    this.query = unpack(packed);
    this.#show();
    this.acts.changed();
  }

  /** @param {Partial<import("../logic/query.js").Query>} change */
  set(change) {
    this.query = { ...this.query, ...change };
    this.#show();
    this.acts.changed();
    if (!this.panel.hidden) void this.#facets();
  }

  clear() {
    this.set(noQuery());
  }

  /** @param {boolean} open */
  #open(open) {
    show(this.panel, open);
    setAttribute(this.toggle, "aria-expanded", String(open));
    if (open) void this.#facets();
  }

  #typed() {
    clearTimeout(this.typing);
    // A number is a place to go to, and a name half written is no filter yet.
    if (episodeNumber(this.search.value) !== null) return;
    this.typing = setTimeout(() => this.search.value.trim() !== this.query.text && this.set({ text: this.search.value.trim() }), TYPING_MS);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Escape") this.search.blur();
    if (event.key !== "Enter") return;
    clearTimeout(this.typing);
    const episode = episodeNumber(this.search.value);
    if (episode === null) return this.set({ text: this.search.value.trim() });
    this.acts.goTo(episode);
    this.search.value = this.query.text;
    this.search.blur();
  }

  #show() {
    const { text, low, high, span, facets } = this.query;
    if (document.activeElement !== this.search) this.search.value = text;
    if (document.activeElement !== this.low) this.low.value = low === null ? "" : String(low);
    if (document.activeElement !== this.high) this.high.value = high === null ? "" : String(high);
    /** @type {[string, Partial<import("../logic/query.js").Query>][]} */
    const chips = [];
    if (text) chips.push([text, { text: "" }]);
    if (low !== null || high !== null) chips.push([`return ${low === null ? "" : `≥ ${reward(low)}`}${low !== null && high !== null ? ", " : ""}${high === null ? "" : `≤ ${reward(high)}`}`, { low: null, high: null }]);
    if (span) chips.push([`episodes ${count(span[0])} – ${count(span[1])}`, { span: null }]);
    for (const [field, value] of Object.entries(facets)) {
      const { [field]: _, ...rest } = facets;
      chips.push([`${FACETS[/** @type {keyof typeof FACETS} */ (field)] ?? field}: ${value}`, { facets: rest }]);
    }
    const host = byId("filter-chips");
    show(host, chips.length > 0);
    host.replaceChildren(
      ...chips.map(([label, off]) => {
        const chip = make("button", { class: "small", title: "Take this filter away", "aria-label": `Take away the filter ${label}`, "data-testid": "filter-chip" }, [make("span", { text: label }), "×"]);
        on(chip, "click", () => {
          if ("text" in off) this.search.value = "";
          this.set(off);
        });
        return chip;
      }),
    );
    setAttribute(this.toggle, "data-on", String(chips.length > 0));
  }

  /** What the server says of the filter: an empty text for all well. @param {{message: string, position?: number} | null} error */
  problem(error) {
    const box = byId("filter-error");
    show(box, error !== null);
    setAttribute(this.search, "aria-invalid", error ? "true" : null);
    if (!error) return;
    const { position } = error;
    const at = typeof position === "number" ? Math.max(0, position - offset(this.query)) : null;
    const { text } = this.query;
    const inside = at !== null && at <= text.length;
    box.replaceChildren(...(inside ? [make("code", {}, [text.slice(0, at), make("mark", { text: text.slice(at, at + 1) || "␣" }), text.slice(at + 1)])] : []), make("span", { text: error.message }));
  }

  async #facets() {
    const found = await this.acts.facets(this.filter, this.words).catch(() => null);
    const host = byId("facet-list");
    if (!found) return host.replaceChildren();
    host.replaceChildren(
      ...Object.entries(FACETS).flatMap(([field, name]) => {
        const values = (found[field] ?? []).filter(({ value }) => value !== null).slice(0, MOST_VALUES);
        if (values.length === 0 || (values.length === 1 && field === "seed")) return [];
        const buttons = values.map(({ value, count: n }) => {
          const on_ = this.query.facets[field] === value;
          const button = make("button", { class: "small", "aria-pressed": String(on_), "data-testid": `facet-${field}` }, [make("span", { text: String(value) }), make("b", { text: count(n) })]);
          on(button, "click", () => {
            const { [field]: _, ...rest } = this.query.facets;
            this.set({ facets: on_ ? rest : { ...rest, [field]: value } });
          });
          return button;
        });
        return [make("div", { class: "facet", role: "group", "aria-label": name }, [make("span", { text: name }), ...buttons])];
      }),
    );
    setText(byId("facet-note"), host.childElementCount === 0 ? "Nothing to count by." : "");
  }
}
