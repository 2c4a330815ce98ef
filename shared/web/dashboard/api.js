// The app's HTTP API: the function key, requests, and what went wrong with them.

const API = new URL("../", import.meta.url); // this file is at {prefix}/dashboard/api.js
const KEY = "dicom-cast-function-key";
const TIMEOUT_MS = 15_000;

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
  isOne: (text) => /^[\x21-\x7e]+$/.test(text),

  /** Of a link such as `make run` prints: `#key=…` is sent to nobody, and neither the address nor the history keeps it. */
  takeFromFragment() {
    const given = new URLSearchParams(location.hash.slice(1)).get("key");
    if (given === null) return;
    history.replaceState(null, "", location.pathname + location.search);
    if (this.isOne(given)) this.set(given);
  },
};

/** An answer that is no success; `detail` says what is wrong, `errors` each fault of the request (RFC 9457). */
export class ApiError extends Error {
  constructor(status, { detail, errors = [] } = {}) {
    super(detail ?? `the app answered ${status}`);
    this.status = status;
    this.errors = errors;
  }
}

/** No answer: the app or the way to it is down, or it took too long. */
export class UnreachableError extends Error {}

/** JSON of a route, such as `status`. Raises ApiError, UnreachableError; a 401 also tells the page that a key is needed. */
export async function get(route, query = {}, timeout = TIMEOUT_MS) {
  return (await request("GET", route, { query, timeout })).json();
}

export async function post(route, body) {
  return (await request("POST", route, { body })).json();
}

export async function remove(route) {
  return (await request("DELETE", route)).json();
}

/** Whether a tick has ended lately. Anonymous; null where the answer is neither. Raises UnreachableError. */
export async function isHealthy() {
  const { status } = await fetched(new URL("health", API), {});
  return { 200: true, 503: false }[status] ?? null;
}

async function request(method, route, { query = {}, body, timeout } = {}) {
  const url = new URL(route, API);
  for (const [name, value] of Object.entries(query)) {
    if (value != null && value !== "") url.searchParams.set(name, value);
  }
  const sent = key.get();
  const headers = { ...(sent && { "x-functions-key": sent }), ...(body && { "content-type": "application/json" }) };
  const response = await fetched(url, { method, headers, body: body && JSON.stringify(body) }, timeout);
  if (response.status === 401) {
    document.dispatchEvent(new CustomEvent("key-needed", { detail: { sent } }));
  }
  if (!response.ok) {
    throw new ApiError(response.status, await response.json().catch(() => ({})));
  }
  return response;
}

async function fetched(url, options, timeout = TIMEOUT_MS) {
  try {
    return await fetch(url, { ...options, cache: "no-store", signal: AbortSignal.timeout(timeout) });
  } catch (error) {
    throw new UnreachableError("No answer from the app", { cause: error });
  }
}
