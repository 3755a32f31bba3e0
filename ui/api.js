// Questions to the server: one answer, or a stream that comes back by itself.

/** Why there is no answer; `code` is a word for people, `status` the HTTP one (0: nobody answered). */
export class Fault extends Error {
  constructor(code, message, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** The address of a question; `params` may hold lists, and what is empty is left out. */
export function address(path, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(name, one);
    }
  }
  const text = query.toString();
  return `/api/v1/${path}${text ? `?${text}` : ""}`;
}

/** One answer, as JSON. Throws a Fault. */
export async function get(path, params, signal) {
  let response;
  try {
    response = await fetch(address(path, params), { headers: { Accept: "application/json" }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault("NO ANSWER", "Lakeward does not answer. Is the process running?", 0);
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  if (response.status === 401) throw new Fault("TOKEN", "The token is missing or wrong: open the link that was printed at the start.", 401);
  throw new Fault(body.error?.code || `HTTP ${response.status}`, body.error?.message || "The question was refused.", response.status);
}

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/**
 * A stream of server-sent events. `on`: { name: (data) => … } for events by name, data being JSON;
 * `state("live" | "lost")` is told about the connection. Lost, it is opened again with pauses that grow.
 */
export function stream(path, params, on, state = () => {}) {
  let source = null, timer = null, pause = FIRST_PAUSE, closed = false;

  function open() {
    source = new EventSource(address(path, params));
    source.onopen = () => { pause = FIRST_PAUSE; state("live"); };
    for (const [name, handle] of Object.entries(on)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
    source.onerror = () => {
      source.close();
      if (closed) return;
      state("lost");
      timer = setTimeout(open, pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    };
  }

  open();
  return { close() { closed = true; clearTimeout(timer); source.close(); } };
}
