// Elements from values. Text is always text: nothing that a saga carries is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// A table that scrolls by itself where it is wider than the page. A cell is a td or what stands in one.
export function table(name, columns, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => (cell?.tagName === "TD" ? cell : h("td", {}, cell))))))));
}

// Replaces a section's content only when it says something else, so that focus and selection survive an update.
export function show(section, key, make) {
  const text = JSON.stringify(key);
  if (section.dataset.key === text) return;
  section.dataset.key = text;
  section.replaceChildren(...[make()].flat());
}
