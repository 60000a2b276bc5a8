/**
 * The episode table: a window of rows over a list that may be a million long. Only the
 * rows in sight exist; their elements are kept and moved.
 */

import { api } from "../net/api.js";
import { count } from "../logic/format.js";
import { EpisodePages } from "../logic/pages.js";
import { besides, byNumber, playlist } from "../logic/playlist.js";
import { recording } from "../logic/state.js";
import { byId, on, perFrame, setAttribute, setText, show } from "./dom.js";
import { fillRow, makeRow } from "./episode-row.js";
import { Filters } from "./filters.js";

const ROW = 24;
const REFRESH_MS = 1_000;
/** So many times a row is looked for that the tape may not have yet. */
const TRIES = 5;
/** A list shorter than a screen grows in plain sight: no badge needed. */
const FEW = 20;

const NOWHERE = { episode: -1, at: -1 };

export class Episodes {
  /**
   * @param {import("../logic/session.js").Session} session
   * @param {import("../logic/ticks.js").Ticks} ticks
   * @param {() => void} asked  called when another listing is asked for
   */
  constructor(session, ticks, asked) {
    this.asked = asked;
    this.session = session;
    this.ticks = ticks;
    this.filters = new Filters({
      changed: () => this.#restart(),
      goTo: (episode) => this.session.openEpisode(episode),
      facets: async (filter, words) => (session.state.run ? (await api.facets(session.state.run.run, { filter, words })).facets : {}),
    });
    this.list = byId("episodes");
    this.space = byId("episodes-space");
    this.fresh = byId("new-episodes");
    this.sort = byId("sort");
    /** @type {HTMLElement[]} */
    this.rows = [];
    /** Asks for a look at all of it: rows came, it was scrolled, another size. */
    this.look = perFrame(() => this.#draw());
    /** What the last look showed of the state. */
    this.drawn = "";
    this.pages = this.#newPages();
    this.seenTotal = 0;
    this.refreshed = 0;
    /** The row the keyboard is on, while the table has the focus. */
    this.cursor = -1;
    /** The episode whose row was last brought into sight, and which that was. */
    this.revealed = NOWHERE;
    /** The episode for which the list was last read again, what does so once more, and how often yet. */
    this.sought = -1;
    this.seeking = 0;
    this.tries = 0;
    this.walking = Promise.resolve();
    // Known here, not asked for: asking makes the page lay itself out.
    this.top = this.height = 0;
    on(this.list, "scroll", () => this.#scrolled(), { passive: true });
    on(this.list, "click", (event) => this.#click(event));
    on(this.list, "keydown", (event) => this.#key(event));
    // A click must not take the keys away from the page: there the arrows mean steps and episodes.
    on(this.list, "mousedown", (event) => event.preventDefault());
    on(this.sort, "change", () => this.#restart());
    on(this.fresh, "click", () => this.#restart());
    new ResizeObserver(([{ contentRect: { height } }]) => {
      this.height = height;
      this.look();
    }).observe(this.list);
  }

  #scrolled() {
    this.top = this.list.scrollTop;
    this.look();
  }

  /** @param {number} top */
  #scrollTo(top) {
    this.list.scrollTop = top;
    this.#scrolled();
  }

  #newPages() {
    return new EpisodePages(
      (cursor, limit) => api.episodes(this.session.state.run?.run ?? "", this.sort.value, this.filters, cursor, limit),
      () => this.look(),
      () => (this.sort.value === "newest" && !this.filters.on ? (episode, limit) => api.episodes(this.session.state.run?.run ?? "", "newest", { filter: `episode <= ${episode}`, words: "" }, null, limit) : null),
    );
  }

  setRun() {
    this.pages.generation += 1;
    this.pages = this.#newPages();
    this.revealed = NOWHERE;
    clearTimeout(this.seeking);
    this.sought = -1;
    this.#restart();
  }

  /** Only these episodes, both ends included. @param {number} from @param {number} to */
  choose(from, to) {
    this.filters.set({ span: [from, to] });
  }

  /** What of this panel the address holds. @param {import("../logic/settings.js").Settings} settings */
  settings(settings) {
    const { sort, filters } = this;
    settings.add("sort", {
      get: () => sort.value,
      set: (value) => {
        if (![...sort.options].some((option) => option.value === value)) return;
        sort.value = value;
        this.#restart();
      },
    });
    settings.add("q", { get: () => filters.packed, set: (packed) => filters.restore(packed) });
  }

  #restart() {
    this.#scrollTo(0);
    this.cursor = -1;
    this.asked();
    this.session.setList(playlist(this.filters.filter, this.filters.words, this.sort.value));
    this.refresh(true);
  }

  /** To the episode before or after: of the list that the table shows, where it does not show all. @param {number} by */
  walk(by) {
    if (!this.session.list) return Promise.resolve(this.session.episodeBy(by));
    // One by one: a key that is held must not ask twice for what follows the same episode.
    this.walking = this.walking.catch(() => {}).then(() => this.#walk(by));
    return this.walking;
  }

  /** @param {number} by */
  async #walk(by) {
    const { list, heading, state } = this.session;
    if (!list || !state.run || heading === null) return;
    const run = state.run.run;
    const next = byNumber(list) ? (await api.episodes(run, besides(list, heading, by).sort, besides(list, heading, by), null, 1)).episodes[0] : await this.#beside(heading, by);
    if (next && this.session.state.run?.run === run) this.session.openEpisode(next.episode);
  }

  /** The nearest row that can be played; the first of the list where the episode is in none of it. @param {number} episode @param {number} by */
  async #beside(episode, by) {
    const { pages } = this;
    const at = pages.indexOf(episode);
    const way = at < 0 ? 1 : by;
    for (let index = at < 0 ? 0 : at + by; ; index += way) {
      const row = await pages.at(index);
      if (!row || (row.kept !== false && !row.running)) return row;
    }
  }

  /**
   * Reads the top of the list again. While recording it does so by itself when the newest
   * are on show; a person who scrolled away is not disturbed but told by a badge.
   * @param {boolean} [asked]  at once, whatever it shows
   */
  refresh(asked = false) {
    const { state } = this.session;
    if (!state.run) return;
    const now = performance.now();
    const force = asked || this.#outdated();
    if (!force && (now - this.refreshed < REFRESH_MS || document.hidden)) return;
    const total = state.metrics?.episodes ?? this.pages.total;
    // A filter is asked again only when a person asks: what it found does not slide away.
    const follow = this.sort.value === "newest" && !this.filters.on && this.top < ROW && (state.live || this.pages.total < FEW);
    if (force || (follow && total !== this.seenTotal)) {
      // Read by itself, it moves what is shown down by what has come since: in sight it stays in sight.
      if (!asked && this.#within(this.pages.indexOf(this.revealed.episode))) this.revealed = NOWHERE;
      this.refreshed = now;
      this.seenTotal = total;
      void this.pages.reset();
    }
    this.look();
  }

  /** Whether the list has an episode running that is known to be over, or lacks the only one: it would do so for good. */
  #outdated() {
    const { pages, session: { state } } = this;
    const row = pages.row(0);
    if (this.filters.on || pages.resetting) return false;
    if (!row) return pages.ended && !recording(state) && (state.metrics?.episodes ?? 0) > 0;
    return row.running === true && (!recording(state) || (!state.live && state.episode === row.episode && state.info !== null && !state.info.running));
  }

  /** The connection is there again: so may be what could not be read. */
  connected() {
    this.pages.retry();
  }

  /** With every frame of the page: looks where anything that the table shows is another. */
  draw() {
    const { state } = this.session;
    const total = state.metrics?.episodes ?? state.run?.episodes ?? 0;
    const ticked = this.ticks.places.map(({ run, episode }) => `${run}/${episode}`).join();
    const shown = `${state.run?.run}|${state.run?.status}|${state.episode}|${state.live}|${total}|${ticked}|${this.filters.on}`;
    if (shown === this.drawn) return;
    this.drawn = shown;
    this.look();
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const { target } = event;
    const row = target instanceof Element ? target.closest(".row") : null;
    if (!(row instanceof HTMLElement && row.dataset.episode)) return;
    const episode = Number(row.dataset.episode);
    if (target instanceof HTMLInputElement) this.ticks.toggle(this.session.state.run?.run ?? "", episode);
    else this.session.openEpisode(episode);
  }

  /** Within the table the arrows move along its rows. @param {KeyboardEvent} event */
  #key(event) {
    const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    event.stopPropagation();
    const from = this.cursor >= 0 ? this.cursor : this.pages.indexOf(this.session.state.episode ?? -1);
    this.cursor = Math.max(0, Math.min(this.pages.reachable - 1, from + by));
    const row = this.pages.row(this.cursor);
    if (row) this.session.openEpisode(row.episode);
    this.#reveal(this.cursor);
  }

  /** @param {number} index */
  #reveal(index) {
    const { top, height } = this;
    const far = index * ROW < top - height || (index + 1) * ROW > top + 2 * height;
    // What is far away comes to the middle, with its neighbours around it.
    if (far) this.#scrollTo(Math.max(0, (index + 0.5) * ROW - height / 2));
    else if (index * ROW < top) this.#scrollTo(index * ROW);
    else if ((index + 1) * ROW > top + height) this.#scrollTo((index + 1) * ROW - height);
  }

  #draw() {
    const { pages, list, session } = this;
    const { state } = session;
    const filtered = this.filters.on;
    const every = Math.max(filtered ? 0 : pages.total, state.metrics?.episodes ?? state.run?.episodes ?? 0);
    const total = filtered ? pages.total : every;
    setText(byId("episode-total"), !state.run ? "" : filtered && pages.problem === null ? `${count(pages.total)}${pages.exact ? "" : "+"} of ${count(every)}` : count(every));
    this.filters.problem(filtered ? pages.problem : null);
    setAttribute(list, "aria-rowcount", String(total));
    // Long numbers take the room of the training step.
    byId("left").classList.toggle("many", every >= 100_000);
    const reachable = pages.reachable;
    this.space.style.height = `${reachable * ROW}px`;
    const first = Math.max(0, Math.floor(this.top / ROW) - 4);
    const last = Math.min(reachable - 1, Math.ceil((this.top + this.height) / ROW) + 4);
    pages.want(first, last);
    const wanted = Math.max(0, last - first + 1);
    while (this.rows.length < wanted) this.rows.push(makeRow(this.space));
    this.rows.forEach((element, i) => {
      show(element, i < wanted);
      if (i < wanted) this.#fill(element, first + i);
    });
    this.#follow();
    this.#notes(total);
  }

  /** Brings the row of an episode into sight once it is opened, or live is left on it. */
  #follow() {
    const { pages } = this;
    const { state } = this.session;
    if (state.live && this.revealed !== NOWHERE) {
      this.revealed = NOWHERE;
      // Back at the newest: so is the list.
      if (pages.top !== null) this.#scrollTo(0);
    }
    if (state.live || state.episode === null || pages.resetting || state.episode === this.revealed.episode) return;
    const index = pages.indexOf(state.episode);
    // The list is older than what was paused: once more, now that it stands still.
    if (pages.top !== null && state.episode > pages.top && (!state.playing || this.#within(0))) {
      if (state.episode !== this.sought) {
        this.sought = state.episode;
        this.tries = TRIES;
        return this.refresh(true);
      }
      // Live is shown before it is on the tape: the list may not have it yet.
      clearTimeout(this.seeking);
      const { top } = this;
      if (this.tries > 0) this.seeking = setTimeout(() => this.#seekAgain(top), REFRESH_MS);
    }
    const { at } = this.revealed;
    this.revealed = { episode: state.episode, at: index };
    // Who scrolled away while it plays on is left where he is.
    if (index >= 0 && !(state.playing && at >= 0 && !this.#within(at))) this.#reveal(index);
  }

  /** Unless a person went on, or scrolled, meanwhile. @param {number} top */
  #seekAgain(top) {
    if (this.session.state.episode !== this.sought || this.revealed.episode !== this.sought || this.top !== top) return;
    this.tries -= 1;
    this.revealed = NOWHERE;
    this.refresh(true);
  }

  /** @param {number} index */
  #within(index) {
    return (index + 1) * ROW > this.top && index * ROW < this.top + this.height;
  }

  /** @param {HTMLElement} element @param {number} index */
  #fill(element, index) {
    const row = this.pages.row(index);
    const transform = `translateY(${index * ROW}px)`;
    if (element.style.transform !== transform) element.style.transform = transform;
    setAttribute(element, "aria-rowindex", String(index + 1));
    const { run, episode } = this.session.state;
    fillRow(element, row, { shown: row?.episode === episode, ticked: row !== undefined && this.ticks.has(run?.run ?? "", row.episode), presentation: run?.presentation });
  }

  /** @param {number} total */
  #notes(total) {
    const { pages, session } = this;
    const late = total - pages.total;
    show(this.fresh, late > 0 && pages.total > 0 && (this.sort.value !== "newest" || this.top >= ROW || !session.state.live));
    setText(this.fresh, `↑ ${count(late)} new`);
    const note = byId("episodes-note");
    const none = pages.ended && pages.total === 0 && session.state.run;
    const text = this.filters.on && (pages.problem || none) ? (pages.problem ? "" : "No episode is like that.") : pages.error ? `The episodes could not be read: ${pages.error}` : none ? "No episode has finished yet." : "";
    show(note, text !== "");
    setText(note, text);
    // What was read before stands for nothing that was asked for since.
    show(this.space, pages.error === null || text === "");
  }
}
