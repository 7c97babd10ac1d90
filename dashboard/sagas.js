// The newest sagas, filtered as the address says.
import { get } from "./api.js";
import { h, show, table } from "./dom.js";
import { follow } from "./live.js";
import { duration, SAGA_STATES, stateMark, stateNote, stateWord, when } from "./words.js";

const REFRESH_MS = 2000;
const FILTERS = ["state", "definition", "label", "parent", "from", "to", "before", "limit"];
const TIMES = ["from", "to"];

// A field for times knows the reader's own; the address has it in UTC.
function toField(text) {
  const time = new Date(text ?? "none");
  if (Number.isNaN(time.getTime())) return "";
  return new Date(time.getTime() - time.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function addressOf(form) {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value) query.set(name, TIMES.includes(name) ? new Date(value).toISOString() : value);
  }
  const text = query.toString();
  return text ? `/sagas?${text}` : "/sagas";
}

function filters(query, definitions, changed) {
  const option = (name, value, text) => h("option", { value, selected: query.get(name) === value }, text);
  const form = h("form", { class: "filters", role: "search", "aria-label": "Filter the sagas" },
    h("label", {}, "State", h("select", { name: "state" }, option("state", "", "any"),
      SAGA_STATES.map((state) => option("state", state, stateWord(state))))),
    h("label", {}, "Definition", h("select", { name: "definition" }, option("definition", "", "any"),
      definitions.map(({ name }) => option("definition", name, name)))),
    h("label", {}, "Label", h("input", { name: "label", placeholder: "name:value", spellcheck: "false", value: query.get("label") ?? "" })),
    TIMES.map((name) => h("label", {}, `Started ${name === "from" ? "from" : "before"}`,
      h("input", { type: "datetime-local", name, min: "2000-01-01T00:00", value: toField(query.get(name)) }))));
  // A year that is being typed is not one yet.
  form.addEventListener("change", () => form.checkValidity() && changed(addressOf(form)));
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}

function cells(saga) {
  const took = saga.ended_at ? duration(Date.parse(saga.ended_at) - Date.parse(saga.created_at)) : "";
  return [h("a", { href: `/sagas/${saga.id}`, class: "id" }, saga.id), [stateMark(saga.state), stateNote(saga)],
    `${saga.definition} v${saga.version}`, when(saga.created_at), h("td", { class: "number" }, took)];
}

function list(page) {
  if (!page.sagas.length) return h("p", { class: "empty" }, "No sagas here.");
  return table("Sagas", ["Saga", "State", "Definition", "Started", "Took"], page.sagas.map(cells));
}

function pager(query, page) {
  const links = [];
  if (query.get("before")) links.push(h("a", { href: withBefore(query, null) }, "Newest"));
  if (page.next) links.push(h("a", { href: withBefore(query, new URLSearchParams(page.next.split("?")[1]).get("before")) }, "Older"));
  return h("nav", { class: "pager", "aria-label": "Pages" }, links);
}

function withBefore(query, before) {
  const next = new URLSearchParams(query);
  if (before) next.set("before", before);
  else next.delete("before");
  return `/sagas?${next}`;
}

export async function sagasView(element, query, signal) {
  document.title = "Sagas";
  let wanted = new URLSearchParams([...query].filter(([name, value]) => FILTERS.includes(name) && value));
  const { definitions } = await get("/v1/definitions?limit=500", signal);
  const sagas = h("section", {}), pages = h("section", {});
  async function look() {
    const asked = wanted;
    try {
      const page = await get(`/v1/sagas?${asked}`, signal);
      if (asked !== wanted) return 0; // the filter has changed meanwhile
      show(sagas, page.sagas, () => list(page));
      show(pages, [String(wanted), page.next], () => pager(wanted, page));
    } catch (error) {
      if (asked !== wanted) return 0;
      if (error.status !== 400) throw error;
      show(sagas, error.message, () => h("p", { class: "problem", role: "alert" }, error.message)); // an address written by hand
      show(pages, null, () => []);
    }
    return REFRESH_MS;
  }
  const form = filters(wanted, definitions, (address) => {
    history.pushState(null, "", address);
    wanted = new URLSearchParams(location.search);
    look().catch(() => {}); // the next look says what is wrong
  });
  element.append(h("h1", {}, "Sagas"), form, sagas, pages);
  await follow(look, signal);
}
