// Repeats a look at the API for as long as the view is there, and says in the page's corner whether what it shows is current.
import { pause } from "./api.js";

const RETRY_MS = 2000;
const corner = document.getElementById("live");

function say(text, tone) {
  if (corner.textContent !== text) corner.textContent = text;
  corner.className = `live ${tone}`;
}

// `look` returns how long to wait before the next look, or null when nothing will change any more. A problem that comes
// again by itself (the orchestrator is away or has too much to do) is shown in the corner; others end the view.
export async function follow(look, signal) {
  while (!signal.aborted) {
    let next = RETRY_MS;
    try {
      next = await look();
      say(next === null ? "" : "live", "");
    } catch (error) {
      if (signal.aborted) break;
      if (error.status !== 0 && error.status !== 429 && !(error.status >= 500)) throw error;
      say("not current: the orchestrator does not answer", "bad");
    }
    if (next === null) return;
    await pause(next, signal);
  }
}
