// What pages share that show one answer of the API and keep it up to date by its stream.

import { element, emptyState, faultState, setText } from "./dom.js";

export const card = (title, ...children) => {
  const note = element("span", { class: "muted" });
  return { note, node: element("section", { class: "card" }, element("header", {}, element("h2", {}, title), note), ...children) };
};

export const scroll = (label) => element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label });

export function tileOf(label) {
  const figure = element("div", { class: "figure" }), note = element("div", { class: "note" });
  const node = element("div", { class: "card tile" }, element("div", { class: "label" }, label), figure, note);
  return { node, show(text, about, tone = "") { setText(figure, text); setText(note, about); figure.className = `figure ${tone}`; } };
}

/** A page of `/api/v1/<name>`; `layOut()` and `show(data)` are the page's own. */
export class LivePage {
  constructor(name, root, context) {
    Object.assign(this, { name, root, context, data: null, gone: false });
  }

  async start() {
    this.root.replaceChildren(emptyState("Loading…"));
    try {
      this.data = await this.context.get(this.name);
    } catch (fault) {
      if (this.gone) return;
      this.root.replaceChildren(faultState(fault));
      this.later = setTimeout(() => this.start(), 3000);
      return;
    }
    if (this.gone) return;
    this.layOut();
    this.show(this.data);
    this.context.stream(`${this.name}/stream`, {}, { [this.name]: (data) => this.show(data) });
    this.context.on("zone", () => this.show(this.data));
  }

  stop() {
    this.gone = true;
    clearTimeout(this.later);
  }
}

/** The two functions that the router asks of a page. */
export function pageOf(make) {
  let page = null;
  return {
    mount(root, context) {
      page = make(root, context);
      page.start();
    },
    unmount() {
      page?.stop();
      page = null;
    },
  };
}
