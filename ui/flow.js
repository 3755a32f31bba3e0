// Flow: the topology as it runs, its rates and epochs, what holds the watermark and where lag arises.

import { draw, palette } from "./chart.js";
import { element, emptyState, faultState, setText, table } from "./dom.js";
import * as format from "./format.js";
import { graph } from "./graph.js";
import { LivePage, card, pageOf, scroll, tileOf } from "./live.js";

export const { mount, unmount } = pageOf((root, context) => new Flow(root, context));

class Flow extends LivePage {
  constructor(root, context) {
    super("flow", root, context);
    this.charts = [];
    this.context.on("theme", () => this.redraw());
  }

  async start() {
    await super.start();
    if (this.data && !this.gone) this.settings();
  }

  stop() {
    super.stop();
    this.charts.forEach((one) => one.chart?.destroy());
  }

  layOut() {
    this.standby = element("div", { class: "banner", role: "status", hidden: true });
    this.tiles = ["Records read", "Lag in Kafka", "Newest epoch", "Processor", "Memory", "Open windows"].map(tileOf);
    this.graph = graph();
    this.picture = card("From Kafka to the sinks", this.graph.node);
    this.held = element("p");
    this.advice = element("p", { class: "muted" });
    this.partitions = scroll("Partitions");
    this.watermark = card("What holds the watermark", this.held, this.advice, this.partitions);
    this.where = element("ul", { class: "plain" });
    this.lag = card("Where lag arises", this.where);
    this.windows = scroll("Windows");
    this.sinks = scroll("Sinks");
    this.charts = [
      chartOf("Records per second", (data) => lines(data, [["read", data.series.read]])),
      chartOf("Records waiting in Kafka", (data) => lines(data, [["waiting", data.series.lag]])),
      chartOf("Epochs: seconds from cut to commit", epochBars),
      chartOf("Processors in use", (data) => lines(data, [["processors", data.series.cpu]])),
      chartOf("Memory, MiB", (data) => lines(data, [["memory", data.series.resident_bytes.map((n) => n / 1048576)]])),
      chartOf("Epochs: records", (data) => epochBars(data, "read")),
    ];
    this.actors = scroll("Actors");
    this.epochs = scroll("Epochs");
    this.config = scroll("Configuration");
    this.configured = card("Effective configuration", this.config);
    this.root.replaceChildren(
      element("h1", {}, "Flow"),
      this.standby,
      element("section", { class: "tiles", "aria-label": "Figures" }, this.tiles.map((tile) => tile.node)),
      this.picture.node,
      element("div", { class: "pair" },
        element("div", { class: "stack" }, this.watermark.node, card("Open windows", this.windows).node),
        element("div", { class: "stack" }, this.lag.node, card("Freshness of the sinks", this.sinks).node)),
      element("section", { class: "charts", "aria-label": "The last minutes" }, this.charts.map((one) => one.node)),
      details("All actors", this.actors, true),
      details("Newest epochs", this.epochs),
      this.configured.node,
    );
  }

  show(data) {
    this.data = data;
    const { watermark, lag, rates, process } = data;
    this.standby.hidden = data.owner;
    setText(this.standby, "This process stands by: another one runs the pipeline. Figures of actors are there once it takes over.");
    const epoch = data.epochs.at(-1);
    const failed = epoch?.kind === "failed";
    const [read, waiting, newest, cpu, memory, open] = this.tiles;
    read.show(`${format.number(rates.read, rates.read < 10 ? 1 : 0)}/s`, format.isNone(rates.incoming) ? "" : `${format.number(rates.incoming)}/s come in`);
    waiting.show(format.number(lag.records), lag.records ? lag.where[0]?.name ?? "" : "all is read", lag.records ? "" : "good");
    newest.show(failed ? "failed" : format.isNone(epoch?.seconds) ? format.NONE : format.duration(epoch.seconds),
      epoch ? failed ? epoch.result : `version ${format.number(epoch.version)}, ${format.number(epoch.read)} records` : "none yet", failed ? "bad" : "");
    cpu.show(format.number(process.cpu, 2), "processors in use");
    memory.show(format.bytes(process.resident_bytes), `${format.bytes(process.state_bytes)} of state`);
    open.show(format.number(data.open_windows), `${format.number(data.kpi_actors)} KPI actors`);
    this.graph.show(data);
    setText(this.picture.note, `${format.number(data.actors.filter((a) => a.kind !== "kpi").length + data.kpi_actors)} actors, version ${format.number(data.version)}`);
    setText(this.held, watermark.held_by.sentence);
    setText(this.advice, watermark.held_by.advice?.replaceAll("`", ""));
    setText(this.watermark.note, watermark.global ? `closed up to ${format.time(watermark.global)}` : "");
    this.showPartitions(data);
    this.where.replaceChildren(...lag.where.map((place) => element("li", {}, place.sentence,
      place.advice ? element("span", { class: "muted" }, ` ${place.advice.replaceAll("`", "")}`) : null)));
    this.showWindows(data);
    this.showSinks(data);
    this.showActors(data);
    this.showEpochs(data);
    this.charts.forEach((one) => one.show(data));
  }

  showPartitions({ partitions, watermark }) {
    if (!partitions.length) return this.partitions.replaceChildren(emptyState("No partition is read"));
    const state = (p) => [p.partition === watermark.held_by.partition ? "holds it" : null, p.idle ? "idle" : null, p.waits ? "waits for slower ones" : null]
      .filter(Boolean).join(", ");
    this.partitions.replaceChildren(table(
      [{ title: "Partition", number: true }, { title: "Watermark" }, { title: "Ahead", number: true }, { title: "Lag", number: true }, { title: "Next offset", number: true }, { title: "" }],
      partitions.map((p) => [format.number(p.partition), format.time(p.watermark), format.isNone(p.ahead_ms) ? format.NONE : format.duration(p.ahead_ms / 1000),
        format.number(p.lag_records), format.number(p.position), state(p)])));
  }

  showWindows({ watermark }) {
    const { windows } = watermark;
    if (!windows.length) return this.windows.replaceChildren(emptyState("This pipeline has no KPIs"));
    this.windows.replaceChildren(table([{ title: "KPI" }, { title: "Next window ends" }, { title: "Closes at watermark" }],
      windows.map((w) => [w.kpi, format.time(w.next_end), format.time(w.closes_at)])));
  }

  showSinks({ sinks }) {
    if (!sinks.length) return this.sinks.replaceChildren(emptyState("No sink has started"));
    this.sinks.replaceChildren(table([{ title: "Sink" }, { title: "Behind", number: true }, { title: "Last written" }, { title: "State" }],
      sinks.map((s) => [s.sink, s.behind ? `${format.number(s.behind)} entries` : "0",
        format.isNone(s.age_ms) ? format.NONE : `${format.duration(s.age_ms / 1000)} ago`,
        element("span", { class: s.trouble ? "bad" : "good", title: s.trouble }, s.trouble ? `trouble: ${s.trouble}` : "fine")])));
  }

  showActors({ actors, kpi_actors: kpis }) {
    const shown = actors.filter((a) => a.kind === "kpi").length;
    const title = kpis > shown ? `Of ${format.number(kpis)} KPI actors the busiest` : null;
    this.actors.replaceChildren(table(
      [{ title: "Actor" }, { title: "Queue", number: true }, { title: "Credits free", number: true }, { title: "Records", number: true },
        { title: "Oldest", number: true }, { title: "Busy", number: true }, { title: "Waits", number: true }, { title: "Messages/s", number: true }],
      actors.map((a) => [a.name, format.number(a.queue_depth), `${format.number(a.credits_free)} of ${format.number(a.credits)}`, format.number(a.lag_records),
        format.duration(a.lag_seconds), format.percent(a.busy), format.percent(a.blocked), format.number(a.messages_per_second, 1)]), title));
  }

  showEpochs({ epochs }) {
    if (!epochs.length) return this.epochs.replaceChildren(emptyState("No epoch yet"));
    this.epochs.replaceChildren(table(
      [{ title: "Version", number: true }, { title: "At" }, { title: "Took", number: true }, { title: "Read", number: true }, { title: "Kept", number: true },
        { title: "Quarantined", number: true }, { title: "Files", number: true }, { title: "Result" }],
      epochs.slice(-30).reverse().map((e) => [format.number(e.version), format.time(e.at), format.duration(e.seconds), format.number(e.read),
        format.number(e.kept), format.number(e.quarantined), format.number(e.files),
        element("span", { class: e.kind === "failed" ? "bad" : "good" }, e.kind === "epoch" ? e.result : e.kind === "failed" ? e.result : e.kind)])));
  }

  async settings() {
    try {
      const { file, settings } = await this.context.get("config");
      if (this.gone) return;
      setText(this.configured.note, file ? `from ${file} and the environment` : "no file; defaults and the environment");
      this.config.replaceChildren(table([{ title: "Setting" }, { title: "Value" }, { title: "Meaning" }], settings.map((s) => [
        `${s.section}.${s.name}`, s.value === "" ? element("span", { class: "muted" }, "not set") : s.default ? s.value : element("strong", {}, s.value),
        element("span", { class: "muted wrap" }, s.doc.replaceAll("`", ""))]), "Bold: differs from the default."));
    } catch (fault) {
      this.config.replaceChildren(faultState(fault));
    }
  }

  redraw() {
    this.charts.forEach((one) => one.again(this.data));
  }
}

/** A part that opens; closed ones cost no room. */
function details(title, content, open = false) {
  return element("details", { class: "card fold", open }, element("summary", {}, element("h2", {}, title)), content);
}

/** A chart that is made at the first data and then only gets new numbers. */
function chartOf(title, of) {
  const canvas = element("canvas", { role: "img", "aria-label": title });
  const one = {
    node: element("section", { class: "card narrow" }, element("header", {}, element("h2", {}, title)), element("div", { class: "plot low" }, canvas)),
    chart: null,
    show(data) {
      const { config, summary } = of(data);
      if (!one.chart) one.chart = draw(canvas, config);
      else {
        one.chart.data.labels = config.data.labels;
        config.data.datasets.forEach((set, i) => Object.assign(one.chart.data.datasets[i], set));
        one.chart.update("none");
      }
      canvas.setAttribute("aria-label", `${title}. ${summary}`);
    },
    again(data) {
      one.chart?.destroy();
      one.chart = null;
      if (data) one.show(data);
    },
  };
  return one;
}

const axes = {
  x: { ticks: { maxTicksLimit: 4, maxRotation: 0, autoSkip: true }, grid: { display: false } },
  y: { beginAtZero: true, ticks: { maxTicksLimit: 5, callback: (value) => format.compact(value) } },
};

function lines(data, sets) {
  const [first] = sets, colour = palette()[0], last = first[1].at(-1);
  return {
    summary: format.isNone(last) ? "No figures yet." : `Now ${format.number(last, 2)}.`,
    config: {
      type: "line",
      data: {
        labels: data.series.at.map((at) => format.clock(at, true)),
        datasets: sets.map(([label, values]) => ({ label, data: values, borderColor: colour, backgroundColor: `${colour}22`, fill: true, borderWidth: 2, pointRadius: 0, tension: .25 })),
      },
      options: { scales: axes, interaction: { mode: "index", intersect: false } },
    },
  };
}

function epochBars(data, what = "seconds") {
  const epochs = data.epochs.filter((e) => e.kind !== "claim" && (what === "read" || e.kind === "failed" || !format.isNone(e.seconds)));
  const colours = palette();
  const last = epochs.at(-1);
  return {
    summary: last ? `The newest: ${what === "read" ? format.number(last.read) : format.duration(last.seconds)}, ${last.result}.` : "No epoch yet.",
    config: {
      type: "bar",
      data: {
        labels: epochs.map((e) => format.clock(e.at, true)),
        datasets: [{ label: what, data: epochs.map((e) => e[what]), backgroundColor: epochs.map((e) => colours[e.kind === "failed" ? 4 : what === "read" ? 1 : 0]), maxBarThickness: 14 }],
      },
      options: { scales: axes },
    },
  };
}
