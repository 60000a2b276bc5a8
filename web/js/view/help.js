/**
 * The help dialog and the page-wide keys. A control that a pointer used keeps the focus, but
 * nobody sees it there: Space is then the page's, not the button's, and a list that was
 * chosen from lets go of the arrows. Who comes by Tab finds both as they are everywhere.
 */

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
    /** The control that a pointer used last, while it has the focus, or a dialog that it opened. @type {Element | null} */
    this.pointed = null;
    const undo = [
      on(window, "pointerdown", (event) => (this.pointed = event.target.closest?.("button, select, summary") ?? null), { capture: true }),
      on(window, "focusout", (event) => {
        if (event.target === this.pointed && !document.querySelector("dialog[open]")) this.pointed = null;
      }),
      on(window, "keydown", (event) => this.#key(event, box.checked)),
      // Firefox presses a button when Space comes up, whatever became of it going down.
      on(window, "keyup", (event) => event.key === " " && event.target === this.pointed && event.target.tagName === "BUTTON" && box.checked && !document.querySelector("dialog[open]") && event.preventDefault()),
      on(window, "change", (event) => event.target === this.pointed && event.target.tagName === "SELECT" && event.target.blur()),
      // A dialog gives the focus back to the button that opened it.
      on(document, "close", () => document.activeElement instanceof HTMLElement && document.activeElement === this.pointed && document.activeElement.blur(), { capture: true }),
    ];
    this.undo = () => undo.forEach((one) => one());
  }

  toggleHelp() {
    if (this.dialog.open) this.dialog.close();
    else this.dialog.showModal();
  }

  /** @param {KeyboardEvent} event @param {boolean} enabled */
  #key(event, enabled) {
    if (!enabled) return;
    const what = command(event, focusOf(event.target, this.pointed));
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

/** @param {EventTarget | null} target @param {Element | null} pointed @returns {import("../logic/keys.js").Focus} */
function focusOf(target, pointed) {
  if (!(target instanceof HTMLElement)) return { tag: "" };
  const tag = target.tagName.toLowerCase();
  const type = target instanceof HTMLInputElement ? target.type : "";
  const editable = target.isContentEditable || tag === "textarea" || (tag === "input" && type !== "range" && type !== "checkbox");
  const oneOf = target.getAttribute("role") === "radio" && target !== pointed;
  return { tag, editable, oneOf, pressable: ((tag === "button" || tag === "summary") && target !== pointed) || type === "checkbox" };
}

function localStorageGet() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
