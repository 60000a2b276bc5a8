/** A row of the episode table: its elements, made once, and what they say of an episode. */

import { brief, compact, count, DASH, ending } from "../logic/format.js";
import { make, setAttribute, setText, show } from "./dom.js";

/** @type {Record<string, string>} */
const VERDICTS = {
  verified: "Verified: played again, it came out the same",
  diverged: "Diverged: played again, it went another way",
  not_verifiable: "Could not be verified by playing it again",
};

/** @param {HTMLElement} host */
export function makeRow(host) {
  const cell = () => make("span", { role: "gridcell" });
  const tick = make("input", { type: "checkbox", tabindex: "-1", "data-testid": "tick" });
  const row = make("div", { class: "row", role: "row", "data-testid": "episode-row" }, [cell(), cell(), cell(), cell(), cell(), make("span", { role: "gridcell", class: "tick" }, [tick])]);
  host.append(row);
  return row;
}

/**
 * @param {HTMLElement} element
 * @param {import("../types.js").EpisodeRow | undefined} row  undefined while it is read
 * @param {{shown: boolean, ticked: boolean, presentation: import("../types.js").Presentation | undefined}} about
 */
export function fillRow(element, row, { shown, ticked, presentation }) {
  element.classList.toggle("blank", !row);
  setAttribute(element, "data-episode", row ? String(row.episode) : null);
  setAttribute(element, "aria-selected", String(shown));
  const end = row ? ending(row, presentation) : { word: "", kind: "running" };
  const cells = row ? [count(row.episode), row.running ? DASH : brief(row.episode_return), compact(row.length), compact(row.first_step), end.word] : ["·", "", "", "", ""];
  cells.forEach((text, i) => setText(element.children[i], text));
  // What playing it again told: "reel verify".
  const name = row?.verified ? `end-${end.kind} ${row.verified}` : `end-${end.kind}`;
  setAttribute(element.children[4], "title", row?.verified ? VERDICTS[row.verified] : null);
  if (element.children[4].className !== name) element.children[4].className = name;
  const tick = /** @type {any} */ (element.children[5].firstElementChild);
  show(tick, row !== undefined && !row.running);
  if (row) setAttribute(tick, "aria-label", `Tick episode ${row.episode} to compare`);
  tick.checked = ticked;
}
