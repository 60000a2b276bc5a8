/**
 * Checking what a person types by the one schema, which the server hands on from the
 * training command. The page knows no parameter's range by heart.
 *
 * @typedef {object} Parameter
 * @property {string} name
 * @property {"number" | "integer" | "string" | "boolean" | "object"} type
 * @property {unknown} [default]
 * @property {boolean} [nullable]
 * @property {boolean} [live]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [exclusive_minimum]
 * @property {string[]} [choices]
 * @property {string} [allowed]      the range in words
 * @property {string} [description]
 *
 * @typedef {object} Schema
 * @property {Parameter[]} parameters
 * @property {Record<string, Record<string, number>>} presets
 * @property {string[]} [grid_world_only]
 */

/** `learning_rate` as people read it. @param {string} name */
export const label = (name) => name.replaceAll("_", " ");

/**
 * What was typed, as a value of that type.
 * @param {Parameter} parameter @param {string} text
 * @returns {unknown}  null where nothing was typed; the text itself where it is no such value
 */
export function read(parameter, text) {
  const typed = text.trim();
  if (typed === "") return null;
  if (parameter.type === "number" || parameter.type === "integer") return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(typed) ? Number(typed) : typed;
  if (parameter.type === "boolean") return typed === "true" ? true : typed === "false" ? false : typed;
  if (parameter.type !== "object") return typed;
  try {
    return JSON.parse(typed);
  } catch {
    return typed;
  }
}

/**
 * Why a value is not allowed, with what is; null if it is.
 * @param {Parameter} parameter @param {unknown} value
 * @returns {string | null}
 */
export function problem(parameter, value) {
  if (value === null && parameter.nullable) return null;
  if (allowed(parameter, value)) return null;
  const came = value === null ? "nothing" : typeof value === "string" ? `“${value}”` : String(value);
  return `${label(parameter.name)} must be ${parameter.allowed ?? `a ${parameter.type}`}, not ${came}`;
}

/** @param {Parameter} parameter @param {unknown} value */
function allowed(parameter, value) {
  switch (parameter.type) {
    case "number":
    case "integer":
      return typeof value === "number" && Number.isFinite(value) && (parameter.type === "number" || Number.isInteger(value)) && within(parameter, value);
    case "boolean":
      return typeof value === "boolean";
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    default:
      return typeof value === "string" && (parameter.choices ? parameter.choices.includes(value) : value.trim() !== "");
  }
}

/** @param {Parameter} parameter @param {number} value */
function within({ minimum, maximum, exclusive_minimum: above }, value) {
  return (minimum === undefined || value >= minimum) && (maximum === undefined || value <= maximum) && (above === undefined || value > above);
}

/**
 * What a run is called that is given no name, as the training command chooses it: by its
 * environment, map, algorithm and seed. Empty while no environment is chosen.
 * @param {Record<string, any>} given  parameters, those that are not the defaults at least
 * @param {Parameter[]} parameters
 */
export function runName(given, parameters) {
  const defaults = Object.fromEntries(parameters.map(({ name, default: value }) => [name, value ?? null]));
  const { env, env_kwargs: kwargs, algorithm, seed, difficulty, map_seed: map, hazards } = { ...defaults, ...given };
  const id = String(env ?? "").split(":").at(-1) ?? "";
  if (id === "") return "";
  const version = id.lastIndexOf("-v");
  const parts = [(version > 0 ? id.slice(0, version) : id).toLowerCase()];
  if (id === defaults.env) {
    parts.push(kwargs?.desc ? "map" : (difficulty ?? "easy"));
    if (map !== null && map !== undefined) parts.push(`map${map}`);
    if (hazards) parts.push("hazards");
  }
  if (algorithm !== defaults.algorithm) parts.push(algorithm);
  return [...parts, seed].join("-");
}
