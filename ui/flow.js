import { emptyState } from "./dom.js";

export function mount(root) {
  root.replaceChildren(emptyState("Not there yet", "This page is being built."));
}

export function unmount() {}
