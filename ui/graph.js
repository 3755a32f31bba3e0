// The picture of a pipeline: boxes from left to right, from Kafka to the sinks, drawn from what the server says is there.

import { element, setText } from "./dom.js";
import * as format from "./format.js";

const BOX = { width: 158, height: 66 }, GAP = { x: 38, y: 20 }, EDGE = 22;
const SVG = "http://www.w3.org/2000/svg";

const shape = (tag, attributes, ...children) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};

/** What a state is called; colour is never the only sign. */
export function stateOf(node) {
  const words = {
    backpressure: `waits ${format.percent(node.blocked, 0)}`, busy: `busy ${format.percent(node.busy, 0)}`,
    lag: `lag ${format.duration(node.lag_seconds)}`, trouble: "trouble",
  };
  return words[node.state] || "";
}

/** Two lines about a box. */
export function linesOf(node) {
  if (node.kind === "kafka") {
    return ["Kafka topic", node.lag_records ? `${format.compact(node.lag_records)} records wait` : "all read"];
  }
  if (node.kind === "log") return ["entries, in order", "a new one is the commit"];
  if (node.kind === "follower") return ["follows the log", node.behind ? `${format.number(node.behind)} entries behind` : "up to date"];
  const many = node.actors === 1 ? "1 actor" : `${format.number(node.actors)} actors`;
  const waiting = node.lag_records ? `, ${format.compact(node.lag_records)} records` : "";
  return [`${many}, busy ${format.percent(node.busy, 0)}`, `${format.number(node.queue_depth)} of ${format.number(node.credits)} credits used${waiting}`];
}

/** Columns, each from top to bottom. Rows for tables go on top, KPIs at the bottom: their arrows pass above and below the rest. */
function columnsOf({ nodes, edges }) {
  const fed = (from) => new Set(edges.filter((edge) => edge.from === from).map((edge) => edge.to));
  const finals = fed("kpi_registry");
  const all = (test) => nodes.filter(test);
  return [
    all((n) => n.kind === "kafka"),
    all((n) => n.kind === "partition"),
    [...all((n) => n.kind === "layer_writer" && !finals.has(n.id)), ...all((n) => n.kind === "kpi_registry")],
    [...all((n) => n.kind === "layer_writer" && finals.has(n.id)), ...all((n) => n.kind === "kpi")],
    all((n) => n.kind === "commit"),
    all((n) => n.kind === "log"),
    [...all((n) => n.kind === "row_mart"), ...all((n) => n.kind === "follower"), ...all((n) => n.kind === "kpi_mart")],
  ].filter((column) => column.length > 0);
}

function places(data) {
  const columns = columnsOf(data);
  const rows = Math.max(...columns.map((column) => column.length));
  const height = rows * (BOX.height + GAP.y) + 2 * EDGE;
  const at = new Map();
  columns.forEach((column, x) => {
    const step = (height - 2 * EDGE) / column.length;
    column.forEach((node, y) => at.set(node.id, {
      column: x, x: x * (BOX.width + GAP.x) + 2, y: EDGE + step * (y + .5) - BOX.height / 2,
    }));
  });
  return { at, height, width: columns.length * (BOX.width + GAP.x) - GAP.x + 4 };
}

function pathOf(from, to, height) {
  const x1 = from.x + BOX.width, y1 = from.y + BOX.height / 2, x2 = to.x, y2 = to.y + BOX.height / 2;
  const half = Math.min(GAP.x * .6 * (to.column - from.column) ** 2, 110);
  if (to.column - from.column === 1) return `M${x1} ${y1}C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2} ${y2}`;
  const lane = to.y < height / 2 ? EDGE / 2 : height - EDGE / 2;
  const turn = GAP.x;
  return `M${x1} ${y1}C${x1 + turn} ${y1} ${x1} ${lane} ${x1 + turn} ${lane}H${x2 - turn}C${x2} ${lane} ${x2 - turn} ${y2} ${x2} ${y2}`;
}

// Barriers, and what followers read of the log beside what they are sent, would cover the rest.
const drawn = (edge, at) => {
  const from = at.get(edge.from), to = at.get(edge.to);
  if (!from || !to || to.column <= from.column || (edge.from === "partition" && edge.to === "commit")) return false;
  return !(edge.from === "log" && /^(row|kpi)_mart/.test(edge.to));
};

/** The picture; `show(data)` brings it up to date. */
export function graph() {
  const holder = element("div", { class: "scroll graph", tabindex: "0", role: "region", "aria-label": "Topology, from Kafka to the sinks" });
  const list = element("ul", { class: "graph-list" });
  let known = "", boxes = new Map();

  function build(data) {
    const { at, width, height } = places(data);
    const arrows = data.edges.filter((edge) => drawn(edge, at)).map((edge) =>
      shape("path", { class: "arrow", "data-from": edge.from, "data-to": edge.to, d: pathOf(at.get(edge.from), at.get(edge.to), height) },
        shape("title", {}, `${edge.from} to ${edge.to}: ${edge.credits} credits for each sender`)));
    boxes = new Map(data.nodes.filter((node) => at.has(node.id)).map((node) => [node.id, boxOf(at.get(node.id))]));
    holder.replaceChildren(shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", width, height },
      ...arrows, ...[...boxes.values()].map((box) => box.group)));
    list.replaceChildren(...[...boxes.values()].map((box) => box.item));
  }

  return {
    node: element("div", {}, holder, list),
    show(data) {
      const key = data.nodes.map((node) => node.id).join(" ");
      if (key !== known) build(data);
      known = key;
      data.nodes.forEach((node) => boxes.get(node.id)?.show(node));
      holder.querySelectorAll(".arrow").forEach((arrow) => {
        const find = (id) => data.nodes.find((node) => node.id === id);
        const from = find(arrow.dataset.from), to = find(arrow.dataset.to);
        const isNarrow = to && (to.busy >= .5 || (to.credits > 0 && to.credits_free === 0));
        arrow.dataset.state = from?.state === "backpressure" && isNarrow ? "backpressure" : "ok";
      });
    },
  };
}

const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function boxOf({ x, y }) {
  const text = (cls, dy) => shape("text", { class: cls, x: 12, y: dy });
  const title = text("title", 22), first = text("", 40), second = text("", 56), hint = shape("title", {});
  const badge = shape("g", { class: "badge" }), label = shape("text", { y: 3.5, "text-anchor": "middle" });
  const pill = shape("rect", { height: 18, y: -9, rx: 9 });
  badge.append(pill, label);
  const group = shape("g", { class: "box", transform: `translate(${x} ${y})` },
    shape("rect", { width: BOX.width, height: BOX.height, rx: 9 }), shape("rect", { class: "stripe", width: 4, height: BOX.height - 18, x: 0, y: 9, rx: 2 }),
    title, first, second, badge, hint);
  const name = element("strong"), mark = element("span", { class: "mark" }), about = element("span", { class: "muted" });
  const item = element("li", {}, element("span", {}, name, " ", mark), about);
  return {
    group,
    item,
    show(node) {
      const state = stateOf(node), [one, two] = linesOf(node);
      group.dataset.state = item.dataset.state = node.state;
      setText(title, cut(node.title, 19));
      setText(first, cut(one, 24));
      setText(second, cut(two, 24));
      setText(label, state);
      const width = state.length * 6.2 + 16;
      pill.setAttribute("width", width);
      pill.setAttribute("x", -width / 2);
      badge.setAttribute("transform", `translate(${BOX.width - width / 2 - 6} 0)`);
      badge.style.display = state ? "" : "none";
      setText(hint, [node.title, one, two, state, node.trouble].filter(Boolean).join("; "));
      setText(name, node.title);
      setText(mark, state);
      setText(about, [one, two, node.trouble].filter(Boolean).join(" · "));
    },
  };
}
