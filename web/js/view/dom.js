/** Small things that all drawing shares: listeners with an undo, one frame, the pixel ratio. */

/**
 * @template {EventTarget} T
 * @param {T} target
 * @param {string} type
 * @param {(event: any) => void} listener
 * @param {AddEventListenerOptions} [options]
 * @returns {() => void} the undo
 */
export function on(target, type, listener, options) {
  target.addEventListener(type, listener, options);
  return () => target.removeEventListener(type, listener, options);
}

/** @param {string} id @returns {any} the element, which must exist */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id} on the page`);
  return element;
}

/**
 * @param {string} tag
 * @param {{class?: string, text?: string, [attribute: string]: string | undefined}} [props]
 * @param {(Node | string)[]} [children]
 * @returns {HTMLElement}
 */
export function make(tag, props = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined) continue;
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Writes text only where it changed: layout is not free at 60 frames a second. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {HTMLInputElement | HTMLSelectElement} element @param {string} value */
export function setValue(element, value) {
  if (element.value !== value) element.value = value;
}

/** @param {Element} element @param {string} name @param {string | null} value */
export function setAttribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {HTMLElement} element @param {boolean} shown */
export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/**
 * Many requests, one drawing per animation frame.
 * @param {(now: number) => void} draw
 * @returns {() => void} the request
 */
export function perFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame((now) => {
      asked = false;
      draw(now);
    });
  };
}

/**
 * Calls back when the pixel ratio changes: zoom, or a window moved to another screen.
 * @param {() => void} changed
 * @returns {() => void} the undo
 */
export function watchPixelRatio(changed) {
  let undo = () => {};
  const watch = () => {
    undo();
    undo = on(matchMedia(`(resolution: ${devicePixelRatio}dppx)`), "change", () => {
      watch();
      changed();
    });
  };
  watch();
  return () => undo();
}

/**
 * Sizes a canvas to its box in device pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width @param {number} height  in CSS pixels
 * @returns {CanvasRenderingContext2D}
 */
export function fit(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Chooses the radio button beside the one that has the focus, round the ends. @param {number} by */
export function chooseBeside(by) {
  const chosen = document.activeElement;
  const all = [...(chosen?.closest('[role="radiogroup"]')?.querySelectorAll('[role="radio"]') ?? [])];
  const next = all[(all.indexOf(/** @type {Element} */ (chosen)) + by + all.length) % all.length];
  if (!(next instanceof HTMLElement)) return;
  next.click();
  next.focus();
}

export const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * For a slider: the keys that move it are not the playhead's, as they are elsewhere on the page.
 * @param {KeyboardEvent} event
 */
export function keepArrows(event) {
  if (/^(Arrow|Page|Home$|End$)/.test(event.key)) event.stopPropagation();
}
