// The shell: which page is shown, of which pipeline, in which theme and time zone.
//
// A page is a module with `mount(root, context)` and `unmount()`. The context:
//   pipeline              the chosen pipeline's name
//   get(path, params)     one answer below /api/v1, as JSON; throws a Fault { code, message, status }
//   stream(path, params, { name: (data) => … })   server-sent events; closed by the shell when the page goes
//   on("theme" | "zone", f)   called when the reader switches; forgotten when the page goes
// Whatever else a page needs it imports: dom.js, format.js, chart.js.

import { get, stream } from "./api.js";
import { element, emptyState, faultState } from "./dom.js";
import * as format from "./format.js";
import * as sales from "./sales.js";
import * as flow from "./flow.js";
import * as trust from "./trust.js";

const PAGES = { sales: { title: "Sales", page: sales }, flow: { title: "Flow", page: flow }, trust: { title: "Trust", page: trust } };

const main = document.getElementById("main");
const chooser = document.getElementById("pipeline");
const live = document.getElementById("live");
let shown = null;

function context(pipeline) {
  const streams = [], listeners = { theme: [], zone: [] };
  const told = new Map();
  const tell = (id, state) => {
    told.set(id, state);
    showLive([...told.values()].includes("lost") ? "lost" : "live");
  };
  return {
    pipeline,
    get: (path, params) => get(path, { pipeline, ...params }),
    stream(path, params, on) {
      const id = streams.length;
      const opened = stream(path, { pipeline, ...params }, on, (state) => tell(id, state));
      streams.push(opened);
      return { close() { opened.close(); told.delete(id); } };
    },
    on(what, listener) { listeners[what].push(listener); },
    switched(what) { listeners[what].forEach((listener) => listener()); },
    close() { streams.forEach((open) => open.close()); },
  };
}

function showLive(state) {
  live.dataset.state = state;
  const text = { live: "Live", lost: "Reconnecting…" }[state] || "";
  if (live.textContent !== text) live.textContent = text;
}

/** `#/page`, with the pipeline as `#/page?pipeline=name` where it isn't the first. */
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const name = Object.hasOwn(PAGES, path) ? path : "sales";
  return { name, pipeline: new URLSearchParams(query).get("pipeline") };
}

function show() {
  const { name, pipeline: wanted } = route();
  const names = [...chooser.options].map((option) => option.value);
  const pipeline = names.includes(wanted) ? wanted : names[0];
  chooser.value = pipeline;
  if (shown) { shown.page.unmount(); shown.context.close(); }
  showLive("");
  document.querySelectorAll("nav a").forEach((link) => {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    link.hash = `/${link.dataset.page}${pipeline === names[0] ? "" : `?pipeline=${encodeURIComponent(pipeline)}`}`;
  });
  const { title, page } = PAGES[name];
  document.title = `${title} · ${pipeline} · Lakeward`;
  main.replaceChildren();
  shown = { page, context: context(pipeline) };
  page.mount(main, shown.context);
}

const THEMES = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

function theme(next) {
  const chosen = next || localStorage.getItem("theme") || "system";
  if (chosen === "system") {
    localStorage.removeItem("theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("theme", chosen);
    document.documentElement.dataset.theme = chosen;
  }
  document.getElementById("theme").textContent = THEMES[chosen];
  return chosen;
}

function switches() {
  const zone = document.getElementById("zone");
  const showZone = () => {
    zone.textContent = format.isUtc() ? "UTC" : "Local time";
    zone.setAttribute("aria-pressed", String(!format.isUtc()));
  };
  zone.addEventListener("click", () => { format.setUtc(!format.isUtc()); showZone(); shown?.context.switched("zone"); });
  showZone();
  let chosen = theme();
  document.getElementById("theme").addEventListener("click", () => {
    const order = Object.keys(THEMES);
    chosen = theme(order[(order.indexOf(chosen) + 1) % order.length]);
    shown?.context.switched("theme");
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown?.context.switched("theme"));
  document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  chooser.addEventListener("change", () => { location.hash = `/${route().name}?pipeline=${encodeURIComponent(chooser.value)}`; });
}

async function start() {
  switches();
  let pipelines;
  try {
    ({ pipelines } = await get("pipelines"));
  } catch (fault) {
    main.replaceChildren(faultState(fault));
    if (fault.status !== 401) setTimeout(() => location.reload(), 3000);
    return;
  }
  chooser.replaceChildren(...pipelines.map(({ name }) => element("option", { value: name }, name)));
  chooser.disabled = pipelines.length < 2;
  if (pipelines.length === 0) {
    main.replaceChildren(emptyState("No pipeline", "This process runs none."));
    return;
  }
  addEventListener("hashchange", show);
  show();
}

start();
