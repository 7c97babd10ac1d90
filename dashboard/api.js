// The public REST API, as any client sees it.

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ? `${body.title}: ${body.detail}` : body?.title ?? `the orchestrator answered ${status}`);
    this.status = status;
  }
}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "The orchestrator does not answer" });
  }
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Problem(0, { title: "The answer was cut off" });
    return null;
  });
  if (!response.ok) throw new Problem(response.status, body);
  return body;
}

export function get(path, signal) {
  return call(path, { signal });
}

export function post(path, body) {
  return call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

// Waits `ms`, or until the view is left.
export function pause(ms, signal) {
  return new Promise((resolve) => {
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    }
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
