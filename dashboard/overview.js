// What an operator looks at first: what needs a person, what is under way, the last hour, who works.
import { get } from "./api.js";
import { h, show, svg, table } from "./dom.js";
import { follow } from "./live.js";
import { count, duration, mark, stateMark, when } from "./words.js";

const REFRESH_MS = 2000, SERVICES_MS = 10000;
const WHERE = { "sagas-stalled": ["/sagas?state=STALLED", "Show them"] };

function attention(items, services) {
  const idle = services.filter((service) => service.workers === 0)
    .map((service) => ({ kind: "service-idle", text: `Nobody carries out the steps of ${service.name} (used by ${service.definitions.join(", ")})` }));
  const all = [...items, ...idle];
  if (!all.length) return h("p", { class: "calm good" }, h("span", { "aria-hidden": "true" }, "✔"), " Nothing needs a person.");
  return h("ul", { class: "attention" }, all.map((item) => h("li", { class: item.kind === "sagas-stalled" ? "bad" : "warn" },
    h("span", { "aria-hidden": "true" }, "■ "), item.text,
    WHERE[item.kind] && [" ", h("a", { href: WHERE[item.kind][0] }, WHERE[item.kind][1])])));
}

function tile(name, value, href) {
  return h("div", { class: "tile" }, h("dt", {}, href ? h("a", { href }, name) : name), h("dd", {}, value));
}

function tiles(overview) {
  const { live, last_hour: hour, outbox } = overview, took = hour.duration_ms;
  const from = new Date(Date.parse(overview.now) - 3600000).toISOString();
  const link = (state, since) => `/sagas?state=${state}${since ? `&from=${since}` : ""}`;
  const time = (ms) => (ms === null ? "–" : duration(ms));
  return [
    h("dl", { class: "tiles", "aria-label": "Now" },
      ["RUNNING", "COMPENSATING", "STALLED"].map((state) => tile(stateMark(state), count(live[state]), link(state))),
      ["QUEUED", "SCHEDULED"].filter((state) => live[state]).map((state) => tile(stateMark(state), count(live[state]), link(state))),
      tile("Outbox", [count(outbox.rows), outbox.rows > 0 && h("small", {}, ` oldest ${duration(outbox.oldest_ms)}`)])),
    h("h2", {}, "The last hour"),
    h("dl", { class: "tiles", "aria-label": "The last hour" },
      tile("Started", count(hour.started)), tile(stateMark("COMPLETED"), count(hour.completed), link("COMPLETED", from)),
      tile(stateMark("COMPENSATED"), count(hour.compensated), link("COMPENSATED", from)),
      tile("Half within", time(took.p50)), tile("90 % within", time(took.p90)), tile("99 % within", time(took.p99))),
  ];
}

// Columns of what ended in each minute, one upon the other; a line for what was started. The table below says the same.
function chart(minutes) {
  const width = 600, height = 120, step = width / minutes.length;
  const top = Math.max(1, ...minutes.map((one) => Math.max(one.started, one.completed + one.compensated)));
  const y = (n) => height - (n / top) * height;
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Sagas started and ended in each of the last ${minutes.length} minutes, at most ${top}; the table below says the same` });
  minutes.forEach((one, i) => {
    const box = (from, to, tone) => to > from && svg("rect", { x: i * step + 1, width: step - 2, y: y(to), height: y(from) - y(to), class: `column ${tone}` });
    picture.append(...[box(0, one.completed, "good"), box(one.completed, one.completed + one.compensated, "undone")].filter(Boolean));
  });
  const line = minutes.map((one, i) => `${i ? "H" : "M0 "}${i ? i * step : y(one.started)}${i ? `V${y(one.started)}` : ""}`).join("");
  picture.append(svg("path", { d: `${line}H${width}`, class: "started" }));
  return [
    h("p", { class: "legend" }, h("span", { class: "key started" }, "started"), h("span", { class: "key good" }, "completed"),
      h("span", { class: "key undone" }, "compensated"), h("span", {}, `highest: ${count(top)} a minute`)),
    picture,
    h("p", { class: "scale" }, h("span", {}, `${minutes.length} min ago`), h("span", {}, "now")),
  ];
}

function minuteTable(minutes) {
  const busy = minutes.filter((one) => one.started || one.completed || one.compensated || one.stalled).reverse();
  if (!busy.length) return h("p", { class: "empty" }, "Nothing has happened in the last hour.");
  return table("By the minute", ["Minute", "Started", "Completed", "Compensated", "Stalled"], busy.map((one) => [
    when(one.minute), ...[one.started, one.completed, one.compensated, one.stalled].map((n) => h("td", { class: "number" }, count(n)))]));
}

function health(process) {
  if (!process.live) return mark("✘", "gone", "bad");
  return process.healthy ? mark("✔", "live", "good") : mark("■", "reaches not all it needs", "warn");
}

function processes(list) {
  return table("Processes", ["Program", "State", "Does", "Where", "Since"], list.map((process) => [
    `${process.program} ${process.version}`, health(process), process.roles, `${process.host}, pid ${process.pid}`, when(process.started_at)]));
}

function workers(service) {
  if (service.workers === null) return mark("?", "the broker does not tell", "idle");
  return service.workers ? mark("✔", service.workers, "good") : mark("■", 0, "warn");
}

function serviceTable(services) {
  if (!services.length) return h("p", { class: "empty" }, "No definition has been stored yet.");
  return table("Services", ["Service", "Workers", "Its commands come by", "Used by"], services.map((service) => [
    service.name, workers(service), h("span", { class: "id" }, service.topic), service.definitions.join(", ")]));
}

export async function overviewView(element, signal) {
  document.title = "Overview";
  const parts = { attention: h("section", { "aria-label": "What needs a person", role: "status" }), tiles: h("section", {}), chart: h("section", {}),
    minutes: h("div", {}), processes: h("section", {}), services: h("section", {}) };
  let services = [], services_at = -Infinity;
  element.append(h("h1", {}, "Overview"), parts.attention, parts.tiles, parts.chart, h("details", {}, h("summary", {}, "By the minute"), parts.minutes),
    h("h2", {}, "Processes"), parts.processes, h("h2", {}, "Services"), parts.services);

  // Kafka may be slow to answer: the rest does not wait for it.
  function askForServices() {
    if (performance.now() - services_at < SERVICES_MS) return;
    services_at = performance.now();
    get("/v1/services", signal).then((answer) => {
      services = answer.services;
    }, () => {
      services = services.map((service) => ({ ...service, workers: null })); // nobody tells any more
    }).then(() => show(parts.services, services, () => serviceTable(services)));
  }

  async function look() {
    askForServices();
    const overview = await get("/v1/overview", signal);
    show(parts.attention, [overview.attention, services], () => attention(overview.attention, services));
    show(parts.tiles, [overview.live, overview.outbox, overview.last_hour], () => tiles(overview));
    show(parts.chart, overview.minutes, () => chart(overview.minutes));
    show(parts.minutes, overview.minutes, () => minuteTable(overview.minutes));
    show(parts.processes, overview.processes.map(({ seen_at, ...rest }) => rest), () => processes(overview.processes));
    return REFRESH_MS;
  }
  await follow(look, signal);
}
