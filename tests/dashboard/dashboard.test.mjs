// What an operator sees and does, in a browser. SAGA_URL and SAGA_DATABASE_URL say where the running system is.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const URL_OF_API = process.env.SAGA_URL;
const SHOTS = process.env.SCREENSHOTS;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LONG = 30000;

let browser, context, page;
const complaints = [];

async function api(path, body, headers = {}) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) };
  const answer = await fetch(URL_OF_API + path, options);
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

const ORDER = { sku: "book", qty: 1, account: "alice", amount: 1999, country: "DE", address: "1 Example Street" };

// The stock is reserved; then nobody carries out the second step, and its silence turns the saga back.
const HALTING = (timeout) => ({
  name: `halting-${timeout}`,
  steps: [
    { name: "reserve", service: "inventory", action: "reserve", compensation: "release", input: { sku: "${input.sku}", qty: "${input.qty}" } },
    { name: "approve", service: "nobody", action: "approve", compensation: null, timeout, on_timeout: "compensate" },
  ],
});

async function startHalting(timeout, headers) {
  await api("/v1/definitions", HALTING(timeout));
  return api("/v1/sagas", { definition: `halting-${timeout}`, input: ORDER }, headers);
}

async function shot(name) {
  await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
}

async function open(path) {
  await page.goto(URL_OF_API + path);
  await page.waitForSelector("main h1");
}

async function rows(n) {
  const deadline = Date.now() + LONG;
  let found;
  while ((found = await page.locator("tbody tr").count()) !== n) {
    assert.ok(Date.now() < deadline, `${found} rows, not ${n}`);
    await page.waitForTimeout(20);
  }
}

async function checkAccess(name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes[0].html, nodes[0].failureSummary]), [], `${name}, ${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

async function checkNarrow(name) {
  await page.setViewportSize({ width: 360, height: 740 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360, `${name} is wider than the screen`);
  await shot(`${name}-narrow`);
  await page.setViewportSize({ width: 1200, height: 900 });
}

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  await api("/v1/definitions", JSON.parse(readFileSync(new URL("./order.json", import.meta.url))));
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  page = await context.newPage();
  page.setDefaultTimeout(LONG);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("request", (one) => one.url().startsWith(URL_OF_API) || complaints.push(`asks another host: ${one.url()}`));
});

after(async () => {
  await browser?.close();
});

test("the list shows the newest sagas, and its filters are in the address", async () => {
  for (const country of ["DE", "XX", "DE"]) await api("/v1/sagas?wait=30s", { definition: "order", input: { ...ORDER, country } });
  await open("/sagas");
  await rows(3);
  await checkAccess("list");
  await checkNarrow("list");
  await shot("list");
  await page.focus("select[name=state]");
  await page.selectOption("select[name=state]", "COMPENSATED");
  await rows(1);
  assert.equal(new URL(page.url()).search, "?state=COMPENSATED");
  assert.equal(await page.evaluate(() => document.activeElement.name), "state"); // a keyboard's place is kept
  await page.goBack();
  await rows(3);
  await page.goForward();
  await rows(1);
  await page.reload();
  await rows(1);
  assert.equal(await page.inputValue("select[name=state]"), "COMPENSATED");
  await page.goBack();
  await rows(3);
  await api("/v1/sagas?wait=30s", { definition: "order", input: ORDER });
  await rows(4); // by itself
});

test("the list is filtered by time", async () => {
  await open("/sagas");
  await page.waitForSelector("tbody tr");
  const all = await page.locator("tbody tr").count();
  await page.fill("input[name=from]", "2999-01-01T00:00");
  await page.waitForSelector(".empty");
  assert.match(new URL(page.url()).search, /^\?from=299(8-12-31|9-01-01)T/);
  await page.reload();
  await page.waitForSelector(".empty");
  await page.fill("input[name=from]", "2020-01-01T00:00");
  await rows(all);
  await page.fill("input[name=to]", "2020-01-02T00:00");
  await page.waitForSelector(".empty");
  const before = complaints.length;
  await open("/sagas?from=yesterday"); // the form stays, to put it right
  await page.waitForSelector("[role=alert] >> text=expected a time");
  complaints.length = before; // the browser's own lines about the 400
  await page.selectOption("select[name=state]", "COMPLETED");
  await page.waitForSelector("tbody tr");
});

test("pages of the list follow each other", async () => {
  for (let n = 0; n < 2; n++) await api("/v1/sagas?wait=30s", { definition: "order", input: ORDER });
  const [newest, second] = (await api("/v1/sagas?limit=2")).sagas;
  await open("/sagas?limit=1");
  await page.waitForSelector(`td >> text=${newest.id}`);
  await page.click("text=Older");
  await page.waitForSelector(`td >> text=${second.id}`);
  await page.click("text=Newest");
  await page.waitForSelector(`td >> text=${newest.id}`);
});

test("a saga that fails is seen being compensated, without a reload", async () => {
  const saga = await startHalting("3s", { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" });
  await open(`/sagas/${saga.id}`);
  await page.waitForSelector("dd >> text=4bf92f3577b34da6a3ce929d0e0e4736");
  await page.evaluate(() => (window.loaded = "once"));
  await page.waitForSelector(".headline .busy");
  await page.waitForSelector(".step.good >> text=reserve");
  await shot("saga-running");
  await page.waitForSelector(".headline >> text=compensated");
  assert.equal(await page.evaluate(() => window.loaded), "once");
  const said = await page.$$eval("tbody tr", (rows) => rows.map((row) => row.children[1].textContent));
  assert.deepEqual(said, ["saga started", "action sent", "action succeeded", "action sent", "action unknown", "saga compensating",
    "nothing to undo", "compensation sent", "compensation succeeded", "saga compensated"]);
  assert.equal(await page.$("button.danger"), null); // nothing to do any more
  await checkAccess("saga");
  await checkNarrow("saga");
  await shot("saga-compensated");
});

test("branches stand beside each other", async () => {
  const step = (name, after) => ({ name, service: "nobody", action: "act", compensation: null, timeout: "2s", after });
  await api("/v1/definitions", { name: "trip", steps: [step("begin", []), step("hotel", ["begin"]), step("flight", ["begin"]),
    step("insurance", []), step("confirm", ["hotel", "flight"])] });
  const saga = await api("/v1/sagas", { definition: "trip" });
  await open(`/sagas/${saga.id}`);
  await page.waitForSelector(".step");
  const stages = await page.$$eval(".stage", (all) => all.map((stage) => [...stage.querySelectorAll("strong")].map((name) => name.textContent)));
  assert.deepEqual(stages, [["begin", "insurance"], ["hotel", "flight"], ["confirm"]]);
  await page.waitForSelector(".step >> text=after begin");
  await checkAccess("graph");
  await checkNarrow("graph");
  await shot("graph");
});

test("a saga is cancelled through the page", async () => {
  const saga = await startHalting("4s");
  await open(`/sagas/${saga.id}`);
  await page.click("text=Cancel…");
  await checkAccess("dialog");
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.focus("text=Cancel…");
  await page.keyboard.press("Enter");
  await page.fill("#reason", "the customer <b>called</b>");
  await shot("saga-cancel");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".headline >> text=(cancelled)");
  await page.waitForSelector("td >> text=cancelled: the customer <b>called</b>");
  await page.waitForSelector(".headline .undone");
  assert.equal((await api(`/v1/sagas/${saga.id}`)).state, "COMPENSATED");
});

test("a stalled saga is repaired through the page", async () => {
  const step = (name, action, more) => ({ name, service: "inventory", action, compensation: null, input: { sku: "book", qty: 1 }, ...more });
  await api("/v1/definitions", { name: "stuck", steps: [step("reserve", "reserve", { pivot: true }), step("wrap", "wrap"), step("bow", "bow")] });
  const saga = await api("/v1/sagas?wait=20s", { definition: "stuck" });
  assert.equal(saga.state, "STALLED");
  await open(`/sagas/${saga.id}`);
  await page.waitForSelector("li.step:has-text('reserve') >> text=the pivot");
  await page.click("li.step:has-text('wrap') >> text=Retry…");
  await checkAccess("dialog");
  await page.keyboard.press("Enter");
  await page.waitForSelector("td >> text=step retried");
  await page.click("li.step:has-text('wrap') >> text=Resolve…");
  await page.fill("#output", "not json");
  await page.click("text=Say so");
  await page.waitForSelector("dialog [role=alert] >> text=not JSON");
  await page.fill("#output", '{"ribbon":"red"}');
  await shot("saga-resolve");
  await page.click("text=Say so");
  await page.click("li.step:has-text('bow') >> text=Skip…");
  await page.click("text=Go on without it");
  assert.ok(await page.isVisible("dialog")); /* it wants a reason */
  await page.fill("#reason", "no bows left");
  await page.click("text=Go on without it");
  await page.waitForSelector(".headline .good");
  await page.waitForSelector("li.step:has-text('bow') >> text=waived");
  await page.waitForSelector("td >> text=an operator: no bows left");
});

test("a step that waits is told through the page", async () => {
  await api("/v1/definitions", { name: "approval", steps: [{ name: "approve", wait: "approved", timeout: "1h" }, { name: "pause", delay: "100ms" }] });
  const saga = await api("/v1/sagas", { definition: "approval" });
  await open(`/sagas/${saga.id}`);
  await page.waitForSelector("li.step:has-text('approve') >> text=waits for the signal approved");
  await page.click("text=Send signal…");
  await checkAccess("dialog");
  await page.fill("#value", '{"by":"the boss"}');
  await page.keyboard.press("Enter");
  await page.waitForSelector(".headline .good");
  assert.deepEqual((await api(`/v1/sagas/${saga.id}`)).steps[0].output, { by: "the boss" });
});

async function tile(label) {
  const text = await page.textContent(`.tile:has(dt:has-text("${label}")) dd`);
  return Number(text.replace(/\D/g, ""));
}

async function until(what, check) {
  const deadline = Date.now() + LONG;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, `waited in vain for ${what}`);
    await page.waitForTimeout(20);
  }
}

test("the overview tells what needs a person, what lives and what happened", async () => {
  await open("/");
  await page.waitForSelector(".tiles");
  await page.evaluate(() => (window.loaded = "once"));
  assert.equal(await page.getAttribute("nav a[aria-current]", "href"), "/");
  await page.waitForSelector(".attention >> text=Nobody carries out the steps of nobody");
  await page.waitForSelector("[aria-label=Services] tr:has-text('payment') .good");
  await page.waitForSelector("[aria-label=Processes] tr:has-text('saga-orchestrator') .good");
  await page.waitForSelector("[aria-label=Processes] tr:has-text('saga-relay') .good");
  assert.ok((await page.locator("rect.column.good").count()) > 0 && (await page.locator("rect.column.undone").count()) > 0);
  const running = async () => (await api("/v1/sagas?state=RUNNING&limit=500")).sagas.map(({ id }) => id);
  const started = await tile("Started");
  const saga = await startHalting("4s");
  await until("it among those that run", async () => {
    const ids = await running();
    return ids.includes(saga.id) && (await tile("running")) === ids.length;
  });
  await until("one more that was started", async () => (await tile("Started")) > started); // counts come a little late
  await until("its end", async () => (await api(`/v1/sagas/${saga.id}`)).state === "COMPENSATED");
  await until("those that still run", async () => (await tile("running")) === (await running()).length);
  assert.equal(await page.evaluate(() => window.loaded), "once");
  await page.click("summary");
  await checkAccess("overview");
  await checkNarrow("overview");
  await shot("overview");
  await page.emulateMedia({ colorScheme: "dark" });
  await shot("overview-dark");
  await page.emulateMedia({ colorScheme: "light" });
});

test("a stalled saga comes first on the overview", async () => {
  const { id } = await startHalting("2s");
  execFileSync("psql", ["-qd", process.env.SAGA_DATABASE_URL, "-c", `INSERT INTO saga.saga (id, namespace, definition, version, state,
    input, created_at) SELECT gen_random_uuid(), namespace, definition, version, 'STALLED', input, created_at FROM saga.saga WHERE id = '${id}'`]);
  await open("/");
  await page.waitForSelector(".attention li:first-child >> text=1 saga is stalled");
  await shot("overview-stalled");
  await page.click("text=Show them");
  await rows(1);
  execFileSync("psql", ["-qd", process.env.SAGA_DATABASE_URL, "-c", "DELETE FROM saga.saga WHERE state = 'STALLED'"]);
});

test("what is not there is said", async () => {
  const before = complaints.length;
  await page.goto(`${URL_OF_API}/sagas/0197c0de-0000-7000-8000-00000000000a`);
  assert.match(await page.textContent("[role=alert]"), /Not found/);
  complaints.length = before; // the browser's own line about the 404
});

test("pages of other sites may change nothing", async () => {
  const { id } = await startHalting("2s");
  const status = await new Promise((resolve) => {
    const headers = { Origin: "http://elsewhere.example", "Content-Length": 2 };
    request(`${URL_OF_API}/v1/sagas/${id}/cancel`, { method: "POST", headers }, (answer) => resolve(answer.resume().statusCode)).end("{}");
  });
  assert.equal(status, 403);
  assert.equal((await api(`/v1/sagas/${id}`)).cancelled, false);
});

test("200,000 sagas slow nothing down", async () => {
  execFileSync("psql", ["-qd", process.env.SAGA_DATABASE_URL, "-c", `INSERT INTO saga.saga (id, namespace, definition, version, state,
    input, created_at, ended_at) SELECT gen_random_uuid(), 'default', 'order', 1, 'COMPLETED', '{}', now(), now() FROM generate_series(1, 200000)`]);
  for (const path of ["/", "/sagas", "/sagas?state=COMPENSATED&definition=order", "/sagas?state=STALLED"]) {
    const from = performance.now();
    await open(path);
    await page.waitForSelector(path === "/" ? ".tiles" : "tbody tr, .empty");
    assert.ok(performance.now() - from < 1000, `${path} took ${Math.round(performance.now() - from)} ms`);
  }
});

test("the browser had nothing to complain about", () => {
  assert.deepEqual(complaints, []);
});
