// Elements. Text is always put in as text: nothing here, or anywhere in the dashboard, parses HTML.

/** An element. Attributes whose name begins with "on" are listeners; those that are null or false are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Sets an element's text, and touches the document only where it changes: screen readers speak of changes. */
export function setText(node, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** A table of texts; `columns`: [{ title, number }], `rows`: lists of texts. */
export function table(columns, rows, caption) {
  return element("table", {},
    caption ? element("caption", {}, caption) : null,
    element("thead", {}, element("tr", {},
      columns.map((column) => element("th", { scope: "col", class: column.number ? "number" : null }, column.title)))),
    element("tbody", {}, rows.map((row) => element("tr", {},
      row.map((cell, i) => element("td", { class: columns[i]?.number ? "number" : null }, cell ?? ""))))));
}

/** What stands where there is nothing to show. */
export function emptyState(title, hint) {
  return element("div", { class: "state" }, element("strong", {}, title), hint ? element("p", {}, hint) : null);
}

/** A fault with its name, for everybody to see. `fault`: { code, message }. */
export function faultState(fault) {
  return element("div", { class: "state fault", role: "alert" },
    element("strong", {}, fault.code || "Fault"), element("p", {}, fault.message || String(fault)));
}
