/** A button that opens a short list of things to do: by pointer and by keyboard, one way for all. */

import { on, setAttribute, show } from "./dom.js";

export class Menu {
  /**
   * @param {HTMLElement} button
   * @param {HTMLElement} list
   * @param {() => void} fill  called before it opens
   */
  constructor(button, list, fill) {
    this.button = button;
    this.list = list;
    this.fill = fill;
    on(button, "click", () => this.open(list.hidden === true));
    on(list, "keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.open(false);
    });
    on(list, "focusout", ({ relatedTarget: to }) => to !== null && to !== button && !list.contains(to) && this.open(false));
    on(document, "pointerdown", (event) => !list.hidden && !list.parentElement?.contains(event.target) && this.open(false));
  }

  /** @param {boolean} open */
  open(open) {
    if (open) this.fill();
    const had = this.list.contains(document.activeElement);
    show(this.list, open);
    setAttribute(this.button, "aria-expanded", String(open));
    if (open) this.focus();
    else if (had) this.button.focus();
  }

  /** On its first item. */
  focus() {
    const first = this.list.querySelector("a, button");
    if (first instanceof HTMLElement) first.focus();
  }
}
