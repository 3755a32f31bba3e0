// What is looked at: a stretch of time, and values of columns.

import { element, setText } from "./dom.js";
import * as format from "./format.js";

const SPANS = [["15m", "Last 15 minutes"], ["1h", "Last hour"], ["6h", "Last 6 hours"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["all", "All time"], ["custom", "From … to …"]];

/** The bar; `changed(selection)` is told each new selection, ready to be asked for. */
export function filterBar(board, context, changed) {
  const chosen = Object.fromEntries(board.filters.map((name) => [name, new Set()]));
  const spans = SPANS.some(([span]) => span === (board.last ?? "all")) ? SPANS : [[board.last, `Last ${board.last}`], ...SPANS];
  const span = element("select", { id: "span", onchange: () => { showCustom(); told(); } },
    spans.map(([value, title]) => element("option", { value, selected: value === (board.last ?? "all") }, title)));
  const from = element("input", { type: "datetime-local", step: "60", "aria-label": "From", onchange: () => told() });
  const to = element("input", { type: "datetime-local", step: "60", "aria-label": "To", onchange: () => told() });
  const custom = element("span", { class: "bar", hidden: true }, from, element("span", { class: "muted" }, "to"), to);
  const clear = element("button", { type: "button", hidden: true, onclick: () => clearAll() }, "Clear filters");
  const choices = Object.fromEntries(board.filters.map((name) => [name, choiceOf(name, chosen[name], told, () => fill())]));

  function showCustom() {
    custom.hidden = span.value !== "custom";
    if (span.value === "custom" && !from.value) from.value = local(Date.now() - 3_600_000);
  }

  function time() {
    if (span.value === "all") return {};
    if (span.value !== "custom") return { last: span.value };
    return { from: instant(from.value), to: instant(to.value) };
  }

  function selection() {
    const values = Object.entries(chosen).filter(([, set]) => set.size > 0).map(([name, set]) => [name, [...set]]);
    return { ...time(), ...Object.fromEntries(values) };
  }

  function told() {
    clear.hidden = Object.values(chosen).every((set) => set.size === 0);
    changed(selection());
  }

  function clearAll() {
    Object.values(chosen).forEach((set) => set.clear());
    Object.values(choices).forEach((choice) => choice.refresh());
    told();
  }

  async function fill() {
    try {
      const answer = await context.get("dashboard/choices", time());
      answer.filters.forEach(({ name, values }) => choices[name]?.fill(values));
    } catch {
      // The stream says what is wrong.
    }
  }

  const closeOthers = (event) => Object.values(choices).forEach(({ node }) => { if (!node.contains(event.target)) node.open = false; });
  document.addEventListener("click", closeOthers);

  return {
    node: element("form", { class: "bar", "aria-label": "Filters", onsubmit: (event) => event.preventDefault() },
      element("label", { class: "hidden", for: "span" }, "Time"), span, custom,
      Object.values(choices).map((choice) => choice.node), clear),
    start: told,
    stop: () => document.removeEventListener("click", closeOthers),
  };
}

/** A list of boxes to tick. Filled anew whenever it is opened, too: values come and go. */
function choiceOf(name, set, told, opened) {
  const list = element("div", { role: "group", "aria-label": name });
  const summary = element("summary", { class: "button" }, name);
  const node = element("details", { class: "choice", ontoggle: () => { if (node.open) opened(); }, onkeydown: (event) => {
    if (event.key === "Escape" && node.open) { node.open = false; summary.focus(); }
  } }, summary, list);
  let known = [];

  function refresh() {
    setText(summary, set.size === 0 ? name : `${name}: ${set.size === 1 ? [...set][0] : format.number(set.size)}`);
    node.classList.toggle("set", set.size > 0);
    list.querySelectorAll("input").forEach((box) => { box.checked = set.has(box.value); });
  }

  function fill(values) {
    known = values;
    const gone = [...set].filter((label) => !known.some((value) => value.label === label)).map((label) => ({ label, rows: "0" }));
    list.replaceChildren(...[...known, ...gone].map(({ label, rows }) => element("label", {},
      element("input", { type: "checkbox", value: label, onchange: (event) => {
        if (event.target.checked) set.add(label); else set.delete(label);
        refresh();
        told();
      } }),
      element("span", {}, label === "" ? "(empty)" : label), element("span", { class: "muted push" }, format.compact(rows)))));
    if (list.children.length === 0) list.replaceChildren(element("span", { class: "muted" }, "No values yet"));
    refresh();
  }

  fill([]);
  return { node, fill, refresh };
}

/** What a field for date and time shows for a moment, in the zone of the page. */
function local(moment) {
  const date = new Date(moment);
  const shifted = format.isUtc() ? date : new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

/** The moment that such a field means. */
function instant(text) {
  if (!text) return null;
  return new Date(format.isUtc() ? `${text}Z` : text).toISOString();
}
