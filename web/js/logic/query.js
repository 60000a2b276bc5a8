/**
 * What a person asked of the episode table, as one expression of the server's filter language
 * (docs/protocol.md). Nothing is parsed here: the server refuses what it cannot read, and says
 * where.
 *
 * @typedef {{text: string, low: number | null, high: number | null, span: [number, number] | null,
 *            facets: Record<string, string | number>}} Query
 */

/** @returns {Query} */
export function noQuery() {
  return { text: "", low: null, high: null, span: null, facets: {} };
}

/** @param {Query} query @returns {string} "" for all episodes */
export function expression(query) {
  const parts = [];
  const text = query.text.trim();
  if (text && !words(query)) parts.push(/\bor\b/.test(text) ? `(${text})` : text);
  if (query.low !== null) parts.push(`episode_return >= ${query.low}`);
  if (query.high !== null) parts.push(`episode_return <= ${query.high}`);
  if (query.span) parts.push(`episode >= ${query.span[0]} and episode <= ${query.span[1]}`);
  for (const [field, value] of Object.entries(query.facets)) {
    parts.push(field === "tags" ? `${quoted(value)} in tags` : `${field} == ${quoted(value)}`);
  }
  return parts.join(" and ");
}

const SIGNS = /[=<>~()"']|\b(and|or|not|in|is|contains)\b/;
/** Fields that are a filter by themselves. */
const FLAGS = /^(terminated|truncated|incomplete|running|kept|success)$/;

/** Text without any sign of the language is words to look for in tags, stages, reasons and notes. @param {Query} query */
export function words(query) {
  const text = query.text.trim();
  return SIGNS.test(text) || FLAGS.test(text) ? "" : text;
}

/** How far the typed text stands from the start of the whole expression. @param {Query} query */
export function offset(query) {
  return /\bor\b/.test(query.text) ? 1 : 0;
}

/** @param {string | number} value */
function quoted(value) {
  if (typeof value === "number") return String(value);
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** A number in the search box is an episode to go to, not a filter. @param {string} text @returns {number | null} */
export function episodeNumber(text) {
  const digits = text.trim().replace(/^#/, "").replace(/[\s,.]/g, "");
  return /^\d{1,15}$/.test(digits) ? Number(digits) : null;
}

/** As the address holds it: the parts by a letter each. @param {Query} query */
export function pack(query) {
  const { text, low, high, span, facets } = query;
  const rest = { ...(low === null ? {} : { low }), ...(high === null ? {} : { high }), ...(span ? { span } : {}), ...(Object.keys(facets).length ? { facets } : {}) };
  return Object.keys(rest).length > 0 ? JSON.stringify({ text, ...rest }) : text.trim();
}

/** @param {string} packed @returns {Query} */
export function unpack(packed) {
  const query = noQuery();
  if (!packed.startsWith("{")) return { ...query, text: packed };
  try {
    const { text, low, high, span, facets } = JSON.parse(packed);
    const number = (/** @type {unknown} */ v) => (typeof v === "number" && Number.isFinite(v) ? v : null);
    if (typeof text === "string") query.text = text;
    query.low = number(low);
    query.high = number(high);
    if (Array.isArray(span) && span.length === 2 && span.every(Number.isSafeInteger)) query.span = [span[0], span[1]];
    for (const [field, value] of Object.entries(facets ?? {})) {
      if (/^\w+$/.test(field) && (typeof value === "string" || typeof value === "number")) query.facets[field] = value;
    }
  } catch {
    // A link that was cut off shows all episodes rather than none.
  }
  return query;
}
