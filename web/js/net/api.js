/**
 * The HTTP reads of the protocol. Addresses are relative to the page, so that Reel may
 * live under any path.
 */

/** An answer that says no: `status` and the server's own sentence. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} message */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
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
  const response = await fetch(url, { headers: { accept: "application/json" } });
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  const error = body.error ?? {};
  throw new ApiError(response.status, error.code ?? "http", error.message ?? `the server answered ${response.status}`);
}

/** @param {string} run */
const of = (run) => `api/runs/${encodeURIComponent(run)}`;

export const api = {
  status: () => get("api/status"),
  runs: () => get("api/runs"),
  /** @param {string} run @param {string} sort @param {string | null} cursor @param {number} limit */
  episodes: (run, sort, cursor, limit) => get(`${of(run)}/episodes`, { sort, limit, cursor }),
  /** @param {string} run @param {number} episode @param {number} from @param {number} to */
  steps: (run, episode, from, to) => get(`${of(run)}/episodes/${episode}/steps`, { from, to }),
  /** @param {string} run @param {string} metric @param {number} points */
  curve: (run, metric, points) => get(`${of(run)}/curve`, { metric, points }),
};
