// How states and times are shown. A state has a shape and a word besides its colour.
import { h } from "./dom.js";

const STATES = {
  SCHEDULED: ["◷", "scheduled", "idle"],
  QUEUED: ["≡", "queued", "idle"],
  RUNNING: ["▶", "running", "busy"],
  COMPENSATING: ["↩", "compensating", "warn"],
  STALLED: ["■", "stalled, needs a person", "bad"],
  COMPLETED: ["✔", "completed", "good"],
  COMPENSATED: ["⤺", "compensated", "undone"],
  PENDING: ["○", "pending", "idle"],
  SUCCEEDED: ["✔", "succeeded", "good"],
  FAILED: ["✘", "failed", "bad"],
  UNKNOWN: ["?", "outcome unknown", "warn"],
  SKIPPED: ["⇥", "skipped", "idle"],
  COMPENSATION_FAILED: ["■", "compensation failed", "bad"],
  WAIVED: ["↷", "waived", "undone"],
};

export const SAGA_STATES = ["SCHEDULED", "QUEUED", "RUNNING", "COMPENSATING", "STALLED", "COMPLETED", "COMPENSATED"];

// What stands behind a saga's state.
export function stateNote(saga) {
  return [saga.cancelled && " (cancelled)", saga.paused && " (paused)"];
}

export function stateWord(state) {
  return STATES[state]?.[1] ?? state.toLowerCase();
}

export function stateTone(state) {
  return STATES[state]?.[2] ?? "idle";
}

export function mark(sign, word, tone) {
  return h("span", { class: `state ${tone}` }, h("span", { "aria-hidden": "true" }, sign), ` ${word}`);
}

export function stateMark(state) {
  return mark(...(STATES[state] ?? ["•", state.toLowerCase(), "idle"]));
}

export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
  const minutes = Math.floor(ms / 60000);
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60000) / 1000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export function count(n) {
  return n.toLocaleString();
}

export function when(text) {
  return h("time", { datetime: text, title: text }, new Date(text).toLocaleString());
}

export function eventWord(event) {
  return event.replaceAll("_", " ");
}
