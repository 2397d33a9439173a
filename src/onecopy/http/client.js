// @ts-check
/**
 * Sends jobs to a onecopy service and follows them, from a page. An ES module; nothing to build:
 *
 *     import { cancel, follow, submit } from "/jobs/client.js";
 *     const job = await submit("/geocode", { rows: ["Bern"] });
 *     const done = await follow(job, { onchange: ({ status, progress }) => ... });
 *     console.log(done.result);
 *
 * @module
 *
 * @typedef {{ done: number, total: number | null, message: string | null }} Progress
 * @typedef {{ type: string, message: string }} JobError
 * @typedef {"queued" | "running" | "succeeded" | "failed" | "cancelled"} Status
 *
 * @typedef {object} Job as the service shows it; times are RFC 3339 in UTC
 * @property {string} id
 * @property {string} task
 * @property {Status} status
 * @property {number} attempt
 * @property {number} max_attempts
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {Progress | null} progress
 * @property {string} [ordering_key] where it has one
 * @property {any} [result] once succeeded
 * @property {JobError | null} error
 * @property {{ self: string, result: string, events: string }} links
 *
 * @typedef {object} JobEvent what has happened to a job; more by its kind
 * @property {string} job
 * @property {number} number from 0, one more each time
 * @property {string} kind
 * @property {string} at
 * @property {Status} status
 * @property {number} [attempt]
 * @property {Progress} [progress]
 * @property {JobError} [error]
 * @property {{ at: string, level: string, logger: string, message: string }[]} [lines]
 *
 * @typedef {object} Listeners
 * @property {(job: Job) => void} [onchange] the job whenever it has changed, first as it is now
 * @property {(event: JobEvent) => void} [onevent] each event, in order, none twice
 * @property {(away: boolean) => void} [onaway] the service cannot be reached, or can be again
 * @property {AbortSignal} [signal] ends the following; the job goes on
 */

const FINAL = new Set(["succeeded", "failed", "cancelled"]);
const PAUSE = 1000, LONGEST_PAUSE = 10_000; // milliseconds

/** An answer of the service that says no: a problem (RFC 9457), or whatever it answered. */
export class Problem extends Error {
  /** @param {number} status @param {Record<string, any>} members @param {number | null} retryAfter */
  constructor(status, members, retryAfter) {
    super([members.title, members.detail].filter(Boolean).join(": ") || `the service answered ${status}`);
    this.name = "Problem";
    this.status = status;
    this.type = String(members.type ?? "about:blank");
    this.title = String(members.title ?? "");
    this.detail = String(members.detail ?? "");
    /** Which arguments do not fit. @type {{ detail: string, pointer: string }[]} */
    this.errors = members.errors ?? [];
    /** Seconds after which to try again, if the service says so. */
    this.retryAfter = retryAfter;
  }
}

/**
 * Sends a job; once this returns it will be run.
 * @param {string | URL} endpoint of the task
 * @param {object} [args] the task's parameters by name
 * @param {{ headers?: Record<string, string>, idempotencyKey?: string, signal?: AbortSignal }} [options]
 * @returns {Promise<Job>}
 */
export async function submit(endpoint, args = {}, { headers = {}, idempotencyKey, signal } = {}) {
  /** @type {Record<string, string>} */
  const sent = { "Content-Type": "application/json", ...headers };
  if (idempotencyKey) sent["Idempotency-Key"] = JSON.stringify(idempotencyKey);
  const answer = await fetch(endpoint, { method: "POST", headers: sent, body: JSON.stringify(args), signal });
  return read(answer);
}

/**
 * Follows a job until it is final, and returns it then; breaks of the connection and restarts of
 * the service are waited for. Rejects with a Problem if there is no such job.
 * @param {Job | string | URL} job a job, its URL, or its id
 * @param {Listeners} [listeners]
 * @returns {Promise<Job>}
 */
export async function follow(job, { onchange, onevent, onaway, signal } = {}) {
  const url = urlOf(job);
  /** @type {Job} */
  let known = typeof job === "object" && "links" in job ? job : await look(url, onaway, signal);
  let seen = -1, pause = PAUSE;
  onchange?.(known);
  while (!FINAL.has(known.status)) {
    await stream(`${url}/events?after=${seen}`, onaway, signal, event => {
      if (event.number <= seen) return;
      seen = event.number;
      pause = PAUSE;
      onevent?.(event);
      // The last is shown with its result, which has to be asked for.
      if (!FINAL.has(event.status)) onchange?.(known = changed(known, event));
    });
    known = await look(url, onaway, signal);
    if (FINAL.has(known.status)) break;
    // The stream was refused, and the job goes on.
    onchange?.(known);
    await sleep(pause, signal);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }
  onchange?.(known);
  return known;
}

/**
 * Cancels a job: at once while it is queued, else as soon as its task ends.
 * @param {Job | string | URL} job a job, its URL, or its id
 * @returns {Promise<Job>}
 */
export async function cancel(job) {
  return read(await fetch(urlOf(job), { method: "DELETE" }));
}

/** @param {Job | string | URL} job @returns {string} */
function urlOf(job) {
  const text = typeof job === "object" && "links" in job ? job.links.self : String(job);
  // An id is looked for beside this module; a path or a URL is of the page's host.
  return new URL(text, text.includes("/") ? document.baseURI : import.meta.url).href;
}

/**
 * Hears one stream of events to its end: the job's, or that of the connection.
 * @param {string} url
 * @param {((away: boolean) => void) | undefined} onaway
 * @param {AbortSignal | undefined} signal
 * @param {(event: JobEvent) => void} hear
 * @returns {Promise<void>}
 */
function stream(url, onaway, signal, hear) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(url);
    const end = () => { source.close(); signal?.removeEventListener("abort", abort); };
    const abort = () => { end(); reject(signal?.reason); };
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort);
    source.onopen = () => onaway?.(false);
    source.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      try { hear(event); } catch (error) { end(); return reject(error); }
      if (FINAL.has(event.status)) { end(); resolve(); }
    };
    source.onerror = () => {
      // While it connects again by itself, it goes on where it was.
      if (source.readyState === EventSource.CONNECTING) return onaway?.(true);
      end();
      resolve();
    };
  });
}

/** @param {Job} job @param {JobEvent} event @returns {Job} */
function changed(job, { kind, at, status, attempt, progress }) {
  const begins = kind === "claimed";
  return {
    ...job,
    status,
    attempt: attempt ?? job.attempt,
    started_at: begins ? at : job.started_at,
    progress: progress ?? (status === "running" && !begins ? job.progress : null),
  };
}

/**
 * The job as it is now; a service that is away is asked again and again.
 * @param {string} url
 * @param {((away: boolean) => void) | undefined} onaway
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<Job>}
 */
async function look(url, onaway, signal) {
  for (let pause = PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      const answer = await fetch(url, { cache: "no-store", signal });
      if (answer.status < 500) {
        const job = await read(answer);
        onaway?.(false);
        return job;
      }
    } catch (error) {
      // A TypeError is how fetch says that nobody answers.
      if (!(error instanceof TypeError)) throw error;
    }
    onaway?.(true);
    await sleep(pause, signal);
  }
}

/** @param {Response} answer @returns {Promise<Job>} */
async function read(answer) {
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const after = Number(answer.headers.get("Retry-After") ?? NaN);
  throw new Problem(answer.status, body, Number.isFinite(after) ? after : null);
}

/** @param {number} milliseconds @param {AbortSignal | undefined} signal @returns {Promise<void>} */
function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => { clearTimeout(timer); reject(signal?.reason); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", abort); resolve(); }, milliseconds);
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}
