// One saga: its steps in their order, what happened when, its data, and what may be done to it.
import { sagaActs, stepActs } from "./acts.js";
import { get } from "./api.js";
import { h, show, svg, table } from "./dom.js";
import { follow } from "./live.js";
import { duration, eventWord, stateMark, stateNote, stateTone, stateWord, when } from "./words.js";

const ENDED = ["COMPLETED", "COMPENSATED"];

function summary(saga, now) {
  const end = saga.ended_at ? Date.parse(saga.ended_at) : now;
  const facts = [
    ["Definition", `${saga.definition}, version ${saga.version}`],
    [saga.start_at ? "Accepted" : "Started", when(saga.created_at)],
    saga.start_at && ["To begin", when(saga.start_at)],
    [saga.ended_at ? "Took" : "Age", duration(Math.max(0, end - Date.parse(saga.created_at)))],
    saga.deadline_at && !saga.ended_at && ["Deadline", when(saga.deadline_at)],
    saga.parent && ["Step of", h("a", { href: `/sagas/${saga.parent.saga}`, class: "id" }, saga.parent.saga)],
    saga.key && ["Key", saga.key],
    Object.keys(saga.labels).length && ["Labels", Object.entries(saga.labels).map(([name, value]) => `${name}:${value}`).join(", ")],
    ["Trace", h("span", { class: "id" }, saga.trace_id)],
    saga.idempotency_key && ["Idempotency key", saga.idempotency_key],
  ].filter(Boolean);
  return h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function whatItDoes(step, definition, saga) {
  if (definition?.saga) return ["runs ", h("a", { href: `/sagas?parent=${saga.id}` }, `a saga of ${definition.saga}`), `, version ${definition.version}`];
  if (definition?.wait) return `waits for the signal ${definition.wait}, at most ${definition.timeout}`;
  if (definition?.delay) return `lets ${definition.delay} pass`;
  return `${step.service}: ${definition?.action ?? ""}, ${definition?.compensation ? `undone by ${definition.compensation}` : "nothing to undo"}`;
}

function stepBox(saga, step, definition, waitsFor, acts) {
  const again = step.attempt > 1 ? `, attempt ${step.attempt}` : "";
  return h("li", { class: `step ${stateTone(step.state)}` },
    h("strong", {}, step.name),
    h("span", {}, stateMark(step.state), again),
    definition?.pivot && h("small", {}, "the pivot: behind it there is no way back"),
    h("small", {}, whatItDoes(step, definition, saga)),
    waitsFor && h("small", {}, `after ${waitsFor}`),
    step.error && h("small", { class: "why" }, `${step.error.code}: ${step.error.message ?? ""}`),
    acts);
}

// Which steps each one waits for; without `after` it is the one before it.
function predecessors(steps) {
  return new Map(steps.map((step, i) => [step.name, step.after ?? steps.slice(Math.max(0, i - 1), i).map(({ name }) => name)]));
}

// Steps in stages: each stands behind the last of those that it waits for.
function stages(steps) {
  const before = predecessors(steps), stage = new Map();
  const stageOf = (name) => {
    if (!stage.has(name)) stage.set(name, Math.max(0, ...before.get(name).map((other) => stageOf(other) + 1)));
    return stage.get(name);
  };
  const all = [];
  for (const { name } of steps) (all[stageOf(name)] ??= []).push(name);
  return { all, before };
}

// Said only where the stages do not show it.
function waitText(names, previous) {
  return names.length && names.join() !== (previous ?? []).join() ? names.join(", ") : null;
}

function graph(saga, definition, signal) {
  const of = new Map((definition?.steps ?? []).map((step) => [step.name, step])), steps = new Map(saga.steps.map((step) => [step.name, step]));
  const { all, before } = stages(definition?.steps ?? saga.steps);
  return h("ol", { class: "graph" }, all.map((names, i) => h("li", {}, h("ol", { class: "stage" },
    names.map((name) => stepBox(saga, steps.get(name), of.get(name), waitText(before.get(name), all[i - 1]),
      of.get(name) && stepActs(saga, steps.get(name), of.get(name), signal)))))));
}

// An attempt is from its command to the next that is told of its step.
function attempts(entries) {
  const open = new Map(), all = [];
  for (const entry of entries) {
    if (!entry.step || entry.event === "reply_ignored") continue;
    const running = open.get(entry.step);
    if (running) {
      running.end = Date.parse(entry.at);
      running.outcome = entry.event;
      open.delete(entry.step);
    }
    if (/^(action|compensation|probe)_sent$/.test(entry.event)) {
      const attempt = { step: entry.step, undo: entry.event === "compensation_sent", attempt: entry.attempt, start: Date.parse(entry.at) };
      open.set(entry.step, attempt);
      all.push(attempt);
    }
  }
  return all;
}

function barTone(attempt) {
  if (!attempt.end) return "busy";
  if (attempt.outcome.endsWith("succeeded")) return attempt.undo ? "undone" : "good";
  return attempt.outcome.endsWith("failed") ? "bad" : "warn";
}

// A row for each step, a bar for each attempt; the numbers beside the bars say the same as the table below.
function bars(saga, entries, now) {
  const all = attempts(entries), from = Date.parse(saga.created_at);
  const to = Math.max(saga.ended_at ? Date.parse(saga.ended_at) : now, from + 1, ...all.map((one) => one.end ?? 0));
  const rowHeight = 40, names = saga.steps.map((step) => step.name);
  const x = (ms) => ((ms - from) / (to - from)) * 100;
  const picture = svg("svg", { class: "bars", role: "img", "aria-label": "Attempts over time; the list below says the same", height: names.length * rowHeight });
  names.forEach((name, row) => {
    picture.append(svg("text", { x: "0", y: row * rowHeight + 14, class: "name" }, name));
    for (const one of all.filter((attempt) => attempt.step === name)) {
      const start = x(one.start), end = x(one.end ?? now);
      picture.append(svg("rect", { x: `${start}%`, y: row * rowHeight + 19, height: 14, rx: 3,
        width: `${Math.max(end - start, 0.4)}%`, class: `bar ${barTone(one)}` },
        svg("title", {}, `${one.undo ? "compensation" : "action"}, attempt ${one.attempt}: ${duration((one.end ?? now) - one.start)}`)));
    }
  });
  return [picture, h("p", { class: "scale" }, h("span", {}, "0 ms"), h("span", {}, duration(to - from)))];
}

function detailText(detail) {
  if (!detail) return "";
  if (detail.by) return detail.reason ? `${detail.by}: ${detail.reason}` : detail.by;
  if (detail.code) return detail.message ? `${detail.code}: ${detail.message}` : detail.code;
  return JSON.stringify(detail);
}

function timeline(saga, entries) {
  const from = Date.parse(saga.created_at);
  return table("History", ["After", "What", "Step", "Attempt", "Why"], entries.map((entry) => [
    h("td", { class: "number", title: entry.at }, duration(Date.parse(entry.at) - from)),
    eventWord(entry.event),
    entry.step ?? "",
    h("td", { class: "number" }, entry.attempt ?? ""),
    detailText(entry.detail)]));
}

function data(saga) {
  const block = (name, value) => h("details", {}, h("summary", {}, name), h("pre", { tabindex: "0" }, JSON.stringify(value, null, 2)));
  return [block("Input", saga.input),
    ...saga.steps.filter((step) => step.output !== null).map((step) => block(`Output of ${step.name}`, step.output)),
    ...saga.steps.filter((step) => step.error).map((step) => block(`Error of ${step.name}`, step.error))];
}

async function readHistory(id, known, signal) {
  let next = `/v1/sagas/${id}/history?limit=500&after=${known.after}`;
  while (next) {
    const page = await get(next, signal);
    known.entries.push(...page.entries);
    known.after = page.last;
    next = page.next;
  }
}

export async function sagaView(element, id, signal) {
  const heading = h("h1", { class: "id" }, id), state = h("p", { class: "headline", role: "status" });
  const parts = { facts: h("section", {}), graph: h("section", {}), actions: h("section", { class: "buttons" }), bars: h("section", {}),
    timeline: h("section", {}), data: h("section", {}) };
  const known = { entries: [], after: 0 };
  let definition = null, saga = null;
  element.append(heading, state, parts.facts, parts.actions, h("h2", {}, "Steps"), parts.graph, h("h2", {}, "What happened"), parts.bars,
    parts.timeline, h("h2", {}, "Data"), parts.data);

  function draw() {
    const now = Date.now(), minute = ENDED.includes(saga.state) ? 0 : Math.floor(now / 1000);
    document.title = `${stateWord(saga.state)}: ${saga.definition} ${saga.id}`;
    show(state, [saga.state, saga.cancelled, saga.paused], () => [stateMark(saga.state), stateNote(saga)]);
    show(parts.facts, [saga.revision, minute], () => summary(saga, now));
    show(parts.actions, saga.actions, () => sagaActs(saga, signal));
    show(parts.graph, [saga.revision, Boolean(definition)], () => graph(saga, definition, signal));
    show(parts.bars, [known.entries.length, minute], () => bars(saga, known.entries, now));
    show(parts.timeline, known.entries.length, () => timeline(saga, known.entries));
    show(parts.data, saga.steps.map((step) => [step.output, step.error]), () => data(saga));
  }

  // A wait that is answered early without a change (the orchestrator is starting or stopping) is not repeated at once.
  async function look() {
    const next = await get(saga ? `/v1/sagas/${id}?wait=20s&after=${saga.revision}` : `/v1/sagas/${id}`, signal);
    definition ??= (await get(`/v1/definitions/${next.definition}?version=${next.version}`, signal)).definition;
    await readHistory(id, known, signal);
    const changed = next.revision !== saga?.revision;
    saga = next;
    draw();
    return ENDED.includes(saga.state) ? null : changed ? 0 : 1000;
  }

  const clock = setInterval(() => saga && !ENDED.includes(saga.state) && draw(), 1000);
  signal.addEventListener("abort", () => clearInterval(clock), { once: true });
  try {
    await follow(look, signal);
  } finally {
    clearInterval(clock);
  }
}
