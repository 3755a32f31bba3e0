// The board of a pipeline: tiles, charts, filters and newest rows, laid out by its description and kept up to date by a
// stream. Nothing here knows what a feed is about.

import { address } from "./api.js";
import { element, emptyState, faultState, setText } from "./dom.js";
import * as format from "./format.js";
import { plotOf } from "./plots.js";
import { filterBar } from "./filters.js";

let page = null;

export function mount(root, context) {
  page = new Sales(root, context);
  page.start();
}

export function unmount() {
  page?.stop();
  page = null;
}

class Sales {
  constructor(root, context) {
    this.root = root;
    this.context = context;
    this.plots = [];
    this.data = null;
    this.gone = false;
  }

  async start() {
    this.root.replaceChildren(emptyState("Loading…"));
    try {
      this.board = await this.context.get("dashboard");
    } catch (fault) {
      if (this.gone) return;
      this.root.replaceChildren(fault.code === "NO_DASHBOARD"
        ? emptyState("This pipeline has no board", "Add a [dashboard] section to its file: docs/PIPELINES.md says how.")
        : faultState(fault));
      if (fault.code !== "NO_DASHBOARD" && fault.code !== "NO_MART") this.later = setTimeout(() => this.start(), 3000);
      return;
    }
    if (this.gone) return;
    this.layOut();
    this.context.on("theme", () => this.redraw());
    this.context.on("zone", () => this.redraw());
    this.filters.start();
  }

  stop() {
    this.gone = true;
    clearTimeout(this.later);
    this.filters?.stop();
    this.plots.forEach((plot) => plot.destroy());
  }

  layOut() {
    const { board } = this;
    this.banner = element("div", { class: "banner", role: "alert", hidden: true });
    this.download = element("a", { class: "button", download: "" }, "Download CSV");
    this.filters = filterBar(board, this.context, (selection) => this.watch(selection));
    this.tiles = board.tiles.map(tileOf);
    this.plots = board.charts.map(plotOf);
    this.note = element("p", { class: "muted note-line" });
    this.hint = element("div", { class: "card", hidden: true }, emptyState("No rows in this selection",
      "Choose another stretch of time or fewer filters; new rows appear here by themselves."));
    this.feed = element("tbody");
    this.root.replaceChildren(
      element("div", { class: "bar" }, element("h1", {}, board.title),
        element("span", { class: "push" }, this.download)),
      this.filters.node,
      this.banner,
      this.hint,
      element("section", { class: "tiles", "aria-label": "Figures", "aria-live": "polite" }, this.tiles.map((tile) => tile.node)),
      this.note,
      element("section", { class: "charts", "aria-label": "Charts" }, this.plots.map((plot) => plot.node)),
      element("section", { class: "card" },
        element("header", {}, element("h2", {}, "Newest rows"), this.count = element("span", { class: "muted" })),
        element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Newest rows" },
          element("table", {},
            element("thead", {}, element("tr", {}, board.columns.map((column) =>
              element("th", { scope: "col", class: column.kind === "number" ? "number" : null }, column.name)))),
            this.feed))));
  }

  /** Follows another selection. */
  watch(selection) {
    this.opened?.close();
    this.root.classList.add("waiting");
    this.download.href = address("dashboard/rows.csv", { pipeline: this.context.pipeline, ...selection });
    this.opened = this.context.stream("dashboard/stream", selection, {
      data: (data) => this.show(data),
      fault: (fault) => this.fail(fault),
    });
  }

  show(data) {
    if (this.gone) return;
    this.data = data;
    this.banner.hidden = true;
    this.root.classList.remove("waiting");
    this.root.querySelectorAll(".stale").forEach((node) => node.classList.remove("stale"));
    this.hint.hidden = !data.empty;
    this.tiles.forEach((tile, i) => tile.show(data.tiles[i], data));
    this.plots.forEach((plot, i) => plot.show(data.charts[i]));
    setText(this.note, differences(data.differences));
    this.showFeed();
  }

  showFeed() {
    const { columns } = this.board;
    setText(this.count, this.data.newest.length === 0 ? "None yet" : `The newest ${format.number(this.data.newest.length)}`);
    this.feed.replaceChildren(...this.data.newest.map((row) => element("tr", {},
      row.map((cell, i) => element("td", { class: columns[i].kind === "number" ? "number" : null, title: cell }, shown(cell, columns[i]))))));
  }

  /** The mart is away: what was shown last stays, but pale. */
  fail(fault) {
    if (this.gone) return;
    this.banner.replaceChildren(element("strong", {}, fault.code), fault.message);
    this.banner.hidden = false;
    this.root.querySelectorAll(".tiles, .charts").forEach((node) => node.classList.add("stale"));
  }

  redraw() {
    if (!this.data) return;
    this.plots.forEach((plot, i) => plot.show(this.data.charts[i], true));
    this.tiles.forEach((tile, i) => tile.show(this.data.tiles[i], this.data));
    this.showFeed();
  }
}

function shown(cell, column) {
  if (cell === null) return "";
  if (column.kind === "number") return format.number(cell, digitsOf(column.type), true);
  return column.kind === "time" ? format.time(cell) : cell;
}

/** Digits behind the point, by the column's type. */
function digitsOf(type) {
  const scale = /^decimal\(\d+,(\d+)\)$/.exec(type);
  if (scale) return Number(scale[1]);
  return type === "float64" ? 3 : 0;
}

/** One figure. */
function tileOf(described) {
  const figure = element("div", { class: "figure" }, format.NONE);
  const note = element("div", { class: "note" });
  const node = element("div", { class: "card tile" }, element("div", { class: "label" }, described.title), figure, note);
  const amount = (value) => (described.currency ? format.money(value, described.currency) : format.number(value, described.digits));
  return {
    node,
    show(tile) {
      if (described.top) {
        setText(figure, tile.label ?? format.NONE);
        setText(note, tile.value === null ? "" : amount(tile.value));
      } else {
        setText(figure, amount(tile.value));
      }
      figure.classList.toggle("long", figure.textContent.length > 12);
      figure.dataset.value = tile.label ?? tile.value ?? "";
      node.title = `From ${tile.source}`;
    },
  };
}

/** By how much two sources differ, in a sentence; nothing where they don't. */
function differences(found) {
  if (found.length === 0) return "";
  const each = found.map(({ title, by }) => `${title}: rows ${Number(by) > 0 ? "hold" : "lack"} ${format.number(Math.abs(by), 2)}${Number(by) > 0 ? " more" : ""}`);
  return `Rows and windows differ. ${each.join(" · ")}. Late rows, retention, or values on their way.`;
}
