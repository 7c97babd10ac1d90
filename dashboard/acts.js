// What an operator may do to a saga or to a step that holds it up: buttons, and a dialog that asks for what the act must say.
import { post } from "./api.js";
import { h } from "./dom.js";

const REASON = { name: "reason", label: "Reason, for the history", maxlength: "160" };

// `read` makes the request's body from the form; what it throws is shown, and the dialog stays open.
function ask({ title, text, fields, keep, verb, danger, path, read }, signal) {
  const problem = h("p", { class: "problem", role: "alert" });
  const rows = fields.map(({ name, label, options, ...attributes }) => [
    h("label", { for: name }, label),
    options ? h("select", { id: name, name }, options.map((option) => h("option", {}, option)))
            : h("input", { id: name, name, autocomplete: "off", ...attributes })]);
  const dialog = h("dialog", { "aria-labelledby": "act-title" }, h("form", { method: "dialog" },
    h("h2", { id: "act-title" }, title), h("p", {}, text), rows, problem,
    h("p", { class: "buttons" },
      h("button", { type: "button", onclick: () => dialog.close() }, keep),
      h("button", { type: "submit", class: danger && "danger" }, verb))));
  const form = dialog.querySelector("form");
  let sending = false;
  dialog.addEventListener("close", () => dialog.remove());
  signal.addEventListener("abort", () => dialog.close(), { once: true });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    sending = true;
    try {
      await post(path, read(Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""))));
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    }
    sending = false;
  });
  document.body.append(dialog);
  dialog.showModal();
}

function readOutput(said) {
  if (said.output === undefined) return said;
  try {
    return { ...said, output: JSON.parse(said.output) };
  } catch {
    throw new Error("The output is not JSON: a text stands in quotation marks.");
  }
}

const STEP_ACTS = {
  retry: { button: "Retry…", verb: "Send it again", keep: "Leave it", fields: [REASON], read: (said) => said,
    title: (step) => `Retry ${step}?`, text: "Its command is sent once more, in a new round." },
  resolve: { button: "Resolve…", verb: "Say so", keep: "Leave it", read: readOutput,
    fields: [{ name: "outcome", label: "What became of it", options: ["succeeded", "failed"] },
      { name: "output", label: "Its output, as JSON", spellcheck: "false" }, REASON],
    title: (step) => `What became of ${step}?`,
    text: "The saga goes on as if the service had said it. A failure can be said of a pivot of unknown outcome only: its compensation fences it, and the saga turns back." },
  skip: { button: "Skip…", verb: "Go on without it", keep: "Leave it", danger: true, fields: [{ ...REASON, required: true }], read: (said) => said,
    title: (step) => `Go on without ${step}?`,
    text: "The step is waived. If its outcome is unknown its compensation, where it has one, fences it first, so that it cannot happen later; a compensation that failed leaves its effect." },
};

// What the step waits for is told by whoever knows it.
function signalAct(saga, step, signalName) {
  return { title: `Send the signal ${signalName}?`, text: "The step that waits for it succeeds, with this as its output.", keep: "Not yet", verb: "Send it",
    fields: [{ name: "value", label: "Its value, a JSON object", spellcheck: "false" }], path: `/v1/sagas/${saga.id}/signals/${signalName}`,
    read: ({ value }) => (value === undefined ? {} : readOutput({ output: value }).output) };
}

export function sagaActs(saga, signal) {
  const cancel = { title: "Cancel this saga?", keep: "Keep it running", verb: "Cancel the saga", danger: true, fields: [REASON],
    text: "No further step begins. What is in flight is waited for; then everything done so far is undone in reverse. While its pivot has no answer, it waits for that.",
    path: `/v1/sagas/${saga.id}/cancel`, read: (said) => said };
  const pause = { title: "Pause this saga?", keep: "Let it run", verb: "Pause it", fields: [REASON],
    text: "Answers that come are noted, but nothing is begun, sent or undone until it is resumed.", path: `/v1/sagas/${saga.id}/pause`, read: (said) => said };
  const resume = { title: "Resume this saga?", keep: "Leave it", verb: "Let it go on", fields: [REASON],
    text: "It goes on where it was held; what has fallen due meanwhile counts now.", path: `/v1/sagas/${saga.id}/resume`, read: (said) => said };
  const acts = { pause: [pause, "Pause…"], resume: [resume, "Resume…"], cancel: [cancel, "Cancel…"] };
  return Object.entries(acts).filter(([name]) => saga.actions.includes(name))
    .map(([, [act, label]]) => h("button", { type: "button", class: act.danger && "danger", onclick: () => ask(act, signal) }, label));
}

export function stepActs(saga, step, definition, signal) {
  if (!step.actions.length) return null;
  return h("span", { class: "buttons" }, step.actions.map((name) => {
    if (name === "signal")
      return h("button", { type: "button", onclick: () => ask(signalAct(saga, step, definition.wait), signal) }, "Send signal…");
    const { title, button, read, ...act } = STEP_ACTS[name];
    const request = { ...act, title: title(step.name), path: `/v1/sagas/${saga.id}/steps/${step.name}/${name}`,
      read: (said) => ({ version: step.version, ...read(said) }) };
    return h("button", { type: "button", class: act.danger && "danger", onclick: () => ask(request, signal) }, button);
  }));
}
