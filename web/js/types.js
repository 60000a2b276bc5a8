/**
 * Shapes of what crosses the wire and of what the page keeps, in one place.
 * docs/protocol.md is the specification; fields keep its spelling.
 *
 * @typedef {{name: string, vector?: [number, number] | null}} Action
 * @typedef {{cell: number | null, kind: string, label?: string}} Marker
 *
 * @typedef {object} Presentation
 * @property {string} kind  `grid`, `vector` or `text`; anything else is shown as a vector
 * @property {number} [steps_per_second]
 * @property {Action[]} [actions]
 * @property {number} [rows]
 * @property {number} [columns]
 * @property {string[]} [cells]
 * @property {{divisor?: number}} [observation]
 * @property {[number, number][]} [walls]
 * @property {{cell: number, text: string}[]} [labels]  of a grid's cells
 * @property {Marker[][]} [markers]
 * @property {{step_reward?: number, words?: {word: string, reward?: number | null, good?: boolean}[]}} [endings]
 *
 * @typedef {object} Run
 * @property {string} run
 * @property {string} [name]
 * @property {string} status  recording, finished, interrupted, crashed, unreadable
 * @property {string} [error]
 * @property {string} [env_id]
 * @property {string} [algorithm]
 * @property {number | null} [seed]
 * @property {string[]} [tags]
 * @property {string} [note]
 * @property {Record<string, any>} [hyperparameters]
 * @property {number | null} [last_return_100]
 * @property {number | null} [best_return]
 * @property {number} [size_bytes]
 * @property {string | number} [created_at]
 * @property {Presentation} [presentation]
 * @property {{name: string, dtype: string, shape: number[]}[]} [channels]
 * @property {number} [episodes]
 * @property {number} [steps]
 *
 * @typedef {object} EpisodeRow
 * @property {number} episode
 * @property {number} [first_step]
 * @property {number | null} [length]
 * @property {number | null} [episode_return]
 * @property {boolean} [terminated]
 * @property {boolean} [truncated]
 * @property {boolean} [incomplete]
 * @property {number | null} [epsilon]
 * @property {number | null} [seed]
 * @property {string | number | null} [stage]
 * @property {boolean} [kept]
 * @property {"verified" | "diverged" | "not_verifiable" | null} [verified]
 * @property {boolean} [running]
 *
 * @typedef {object} Metrics
 * @property {string} run
 * @property {boolean} recording
 * @property {number} episodes
 * @property {number} steps
 * @property {number | null} [episodes_per_s]
 * @property {number | null} [steps_per_s]
 * @property {number | null} [return_100]
 * @property {number | null} [length_100]
 * @property {number | null} [epsilon]
 * @property {number} [lost]
 * @property {number} [viewers]
 *
 * @typedef {{at: number, episode: number, global_step: number, kind: string, text: string}} RunEvent
 * @typedef {"off" | "episode" | {from: number, to: number}} Loop  the last from A to B, as positions
 * @typedef {{reason: string, from_episode: number, to_episode: number, episodes: number, from_step?: number, to_step?: number}} Gap  with steps: a part of one episode
 * @typedef {{code: string, message: string, id?: number | string}} Problem
 * @typedef {number | "max"} Speed
 * @typedef {{type: string, data: Record<string, any>}} Message
 */

export {};
