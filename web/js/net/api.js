/**
 * The HTTP reads of the protocol. Addresses are relative to the page, so that Reel may
 * live under any path.
 */

/** An answer that says no: `status` and the server's own sentence. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} message @param {number} [position] */
  constructor(status, code, message, position) {
    super(message);
    this.status = status;
    this.code = code;
    /** Where in a filter the fault is, in characters from its start. */
    this.position = position;
  }
}

/**
 * @param {string} path
 * @param {Record<string, string | number | null | undefined>} [query]
 * @returns {Promise<any>}
 */
async function get(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
  }
  const response = await answer(url, { headers: { accept: "application/json" } });
  if (response.ok) return response.json();
  throw await refusal(response);
}

/** @param {URL} url @param {RequestInit} how @returns {Promise<Response>} */
async function answer(url, how) {
  try {
    return await fetch(url, how);
  } catch {
    // Each browser has words of its own for it, of which none says what to do.
    throw new Error("the server does not answer; try again once it is back");
  }
}

/** @param {Response} response */
async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const error = body.error ?? {};
  return new ApiError(response.status, error.code ?? "http", error.message ?? `the server answered ${response.status}`, error.position);
}

/** @param {"PATCH" | "DELETE" | "POST"} method @param {string} path @param {object} body @returns {Promise<any>} */
async function change(method, path, body) {
  const response = await answer(new URL(path, document.baseURI), { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** @param {string} run */
const of = (run) => `api/runs/${encodeURIComponent(run)}`;

export const training = {
  overview: () => get("api/training"),
  /** @returns {Promise<import("../logic/parameters.js").Schema>} */
  schema: () => get("api/training/schema"),
  checkpoints: () => get("api/training/checkpoints"),
  /** @param {string} what start, pause, resume, stop, reset, step, speed, save or load @param {object} body */
  ask: (what, body) => change("POST", `api/training/${what}`, body),
  /** @param {object} body */
  params: (body) => change("POST", "api/params", body),
};

export const api = {
  status: () => get("api/status"),
  /** @param {string | null} [cursor] @param {number} [limit] */
  runs: (cursor = null, limit = 1000) => get("api/runs", { limit, cursor }),
  /** @param {string} run */
  run: (run) => get(of(run)),
  /** @param {string} run @param {string} sort @param {{filter: string, words: string}} query @param {string | null} cursor @param {number} limit */
  episodes: (run, sort, { filter, words }, cursor, limit) => get(`${of(run)}/episodes`, { sort, where: filter || null, text: words || null, limit, cursor }),
  /** @param {string} run @param {{filter: string, words: string}} query */
  facets: (run, { filter, words }) => get(`${of(run)}/facets`, { where: filter || null, text: words || null }),
  /** @param {string} run */
  actions: (run) => get(`${of(run)}/actions`),
  /** @param {string} run @param {number} episode @param {string} format @returns {string} where the file is */
  file: (run, episode, format) => new URL(`${of(run)}/episodes/${episode}/steps?format=${format}`, document.baseURI).href,
  /** @param {string} run @param {{name?: string, tags?: string[], note?: string}} labels */
  label: (run, labels) => change("PATCH", of(run), labels),
  /** @param {string} run */
  remove: (run) => change("DELETE", of(run), {}),
  /** @param {string} run @param {number} episode @param {number} from @param {number} to */
  steps: (run, episode, from, to) => get(`${of(run)}/episodes/${episode}/steps`, { from, to }),
  /** @param {string} run @param {number} episode */
  episode: (run, episode) => get(`${of(run)}/episodes/${episode}`),
  /** @param {string} run @param {number} episode */
  frames: (run, episode) => get(`${of(run)}/episodes/${episode}/frames`),
  /** @param {string} run @param {number} episode @param {number} step @returns {string} where the picture is */
  frame: (run, episode, step) => new URL(`${of(run)}/episodes/${episode}/frames/${step}`, document.baseURI).href,
  /** @param {string} run */
  highlights: (run) => get(`${of(run)}/highlights`),
  /** @param {string} run @param {number} skip  how many of the oldest to leave out */
  events: (run, skip) => get(`${of(run)}/events`, { skip }),
  /** @param {string} run @param {string} metric @param {number} points */
  curve: (run, metric, points) => get(`${of(run)}/curve`, { metric, points }),
};
