// Which view the address names. A view is a function of the element to fill, the rest of the address and a signal that ends it.
import { h } from "./dom.js";
import { overviewView } from "./overview.js";
import { sagaView } from "./saga.js";
import { sagasView } from "./sagas.js";

const main = document.getElementById("main");
let leave = new AbortController();

function viewOf(path) {
  const saga = path.match(/^\/sagas\/([^/]+)$/);
  if (saga) return (element, query, signal) => sagaView(element, decodeURIComponent(saga[1]), signal);
  if (path === "/sagas") return sagasView;
  return (element, query, signal) => overviewView(element, signal);
}

function mark(path) {
  for (const link of document.querySelectorAll(".top nav a:not(.brand)")) {
    if (link.getAttribute("href") === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function render() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const element = h("div", {});
  main.replaceChildren(element);
  mark(location.pathname);
  try {
    await viewOf(location.pathname)(element, new URLSearchParams(location.search), signal);
  } catch (error) {
    if (!signal.aborted) element.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
  }
}

function go(address) {
  history.pushState(null, "", address);
  render();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

addEventListener("popstate", render);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (link?.classList.contains("skip")) {
    event.preventDefault(); // the address stays
    main.focus();
    return;
  }
  if (!link || link.origin !== location.origin || link.target || link.hash || event.defaultPrevented) return;
  if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (!/^\/($|sagas)/.test(link.pathname)) return;
  event.preventDefault();
  go(link.href);
});

render();
