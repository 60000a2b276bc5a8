/** The help dialog and the page-wide keys. */

import { command, HELP } from "../logic/keys.js";
import { byId, make, on } from "./dom.js";

const KEY = "reel.keys";

export class Keyboard {
  /** @param {Record<string, (command: import("../logic/keys.js").Command) => void>} acts  by command name */
  constructor(acts) {
    this.acts = acts;
    this.dialog = byId("help");
    this.#fillHelp();
    const box = byId("keys-on");
    box.checked = localStorageGet() !== "off";
    on(box, "change", () => {
      try {
        localStorage.setItem(KEY, box.checked ? "on" : "off");
      } catch {
        // Without storage the choice lasts as long as the page.
      }
    });
    on(byId("help-open"), "click", () => this.toggleHelp());
    on(this.dialog, "click", (event) => event.target === this.dialog && this.dialog.close());
    this.undo = on(window, "keydown", (event) => this.#key(event, box.checked));
  }

  toggleHelp() {
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
  }

  /** @param {KeyboardEvent} event @param {boolean} enabled */
  #key(event, enabled) {
    if (!enabled) return;
    const what = command(event, focusOf(event.target));
    const open = document.querySelector("dialog[open]");
    if (!what || (open !== null && (open !== this.dialog || what.name !== "help"))) return;
    const act = this.acts[what.name];
    if (!act) return;
    event.preventDefault();
    act(what);
  }

  #fillHelp() {
    const host = byId("help-keys");
    for (const group of new Set(HELP.map((line) => line.group))) {
      const lines = HELP.filter((line) => line.group === group).map((line) =>
        make("p", {}, [make("span", { text: line.label }), make("span", {}, line.keys.flatMap((key) => [make("kbd", { text: key }), " "]))]),
      );
      host.append(make("div", {}, [make("h3", { text: group }), ...lines]));
    }
  }
}

/** @param {EventTarget | null} target @returns {import("../logic/keys.js").Focus} */
function focusOf(target) {
  if (!(target instanceof HTMLElement)) return { tag: "" };
  const tag = target.tagName.toLowerCase();
  const type = target instanceof HTMLInputElement ? target.type : "";
  const editable = target.isContentEditable || tag === "textarea" || (tag === "input" && type !== "range" && type !== "checkbox");
  return { tag, editable, pressable: tag === "button" || type === "checkbox" || tag === "summary" };
}

function localStorageGet() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
