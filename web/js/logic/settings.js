/**
 * What of the panels' settings the address holds. A panel hands in how to read its setting
 * and how to change it; what is at its usual value leaves no trace.
 *
 * @typedef {{get: () => string, set: (value: string) => void}} Setting
 */

export class Settings {
  constructor() {
    /** @type {Map<string, Setting & {usual: string}>} */
    this.known = new Map();
  }

  /** @param {string} name  as the address spells it @param {Setting} setting */
  add(name, setting) {
    this.known.set(name, { ...setting, usual: setting.get() });
  }

  /** The settings that are not as usual. @returns {Record<string, string>} */
  view() {
    /** @type {Record<string, string>} */
    const view = {};
    for (const [name, { get, usual }] of this.known) {
      const value = get();
      if (value !== usual) view[name] = value;
    }
    return view;
  }

  /** Brings every setting to what an address says, or back to its usual value. @param {Record<string, string>} view */
  restore(view) {
    for (const [name, { get, set, usual }] of this.known) {
      const value = view[name] ?? usual;
      if (value !== get()) set(value);
    }
  }
}
