// One chart of a board: canvas, table of its numbers, empty state. What to draw comes as labels and texts of numbers.

import { colours, draw } from "./chart.js";
import { element, emptyState, setText, table } from "./dom.js";
import * as format from "./format.js";

const WIDE = new Set(["line", "stacked", "scatter"]);
/** Points that are filled in where a stretch of time has no rows. */
const MOST_FILLED = 2_000;

/** A chart by its description. */
export function plotOf(described) {
  const canvas = element("canvas", { role: "img", "aria-label": described.title });
  const plot = element("div", { class: "plot" }, canvas);
  const empty = emptyState("Nothing yet");
  empty.hidden = true;
  const numbers = element("div", { class: "scroll", tabindex: "0" });
  const per = element("span", { class: "muted" });
  const details = element("details", { class: "data", ontoggle: () => showNumbers() }, element("summary", {}, "As a table"), numbers);
  const node = element("article", { class: `card ${WIDE.has(described.kind) ? "wide" : "narrow"}` },
    element("header", {}, element("h2", {}, described.title), per), plot, empty, details);
  let chart = null, shown = null;

  function show(data, anew = false) {
    shown = data;
    const drawn = DRAW[described.kind](data, described);
    const none = drawn.rows.length === 0;
    plot.hidden = none;
    empty.hidden = !none;
    setText(per, data.span ? `per ${data.span}` : "");
    node.title = `From ${data.source}`;
    if (anew && chart) { chart.destroy(); chart = null; }
    if (!none) {
      if (chart) {
        merge(chart.data.datasets, drawn.config.data.datasets);
        chart.data.labels = drawn.config.data.labels;
        chart.update("none");
      } else {
        chart = draw(canvas, drawn.config);
      }
    }
    showNumbers();
  }

  function showNumbers() {
    if (!details.open || !shown) return;
    const { head, rows } = DRAW[described.kind](shown, described);
    numbers.replaceChildren(table(head.map((title, i) => ({ title, number: i > 0 })), rows, described.title));
  }

  return { node, show, destroy() { chart?.destroy(); } };
}

/** New values into sets that are drawn: Chart.js keeps what it knows of a set. */
function merge(kept, wanted) {
  kept.length = Math.min(kept.length, wanted.length);
  wanted.forEach((set, i) => { if (kept[i]) Object.assign(kept[i], set); else kept.push(set); });
}

const amount = (described) => (value) => (described.currency ? format.money(value, described.currency) : format.number(value, described.digits));
const numeric = (value) => (value === null ? null : Number(value));

/** Times and values with the gaps between filled by nothing. */
function filled(times, span) {
  if (times.length < 2 || (times[times.length - 1] - times[0]) / span > MOST_FILLED) return times;
  const all = [];
  for (let time = times[0]; time <= times[times.length - 1]; time += span) all.push(time);
  return all;
}

function timeLabel(span, times) {
  const days = times.length > 1 && times[times.length - 1] - times[0] > 86_400_000;
  if (span >= 86_400_000) return format.date;
  return days ? (time) => `${format.date(time)} ${format.clock(time)}` : (time) => format.clock(time, span < 60_000);
}

function axes(described, x = {}, y = {}) {
  const { grid } = colours();
  return {
    x: { grid: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 16, ...x.ticks }, ...x.scale },
    y: { beginAtZero: true, grid: { color: grid }, border: { display: false },
      ticks: { maxTicksLimit: 6, callback: (value) => format.compact(value, described.currency), ...y.ticks }, ...y.scale },
  };
}

function overTime(data, series, described, set, options) {
  const times = filled(data.times, data.span_ms);
  const label = timeLabel(data.span_ms, times);
  const at = new Map(data.times.map((time, i) => [time, i]));
  const labels = times.map(label);
  const columns = series.map((one) => times.map((time) => (at.has(time) ? numeric(one.values[at.get(time)]) ?? 0 : 0)));
  return {
    config: {
      type: set.type,
      data: { labels, datasets: series.map((one, i) => ({ label: one.label, data: columns[i], ...set.look(i) })) },
      options: { interaction: { mode: "index", intersect: false }, scales: axes(described), ...options,
        plugins: { tooltip: { callbacks: { label: (item) => ` ${item.dataset.label}: ${amount(described)(item.raw)}` } }, ...options?.plugins } },
    },
    head: ["Time", ...series.map((one) => one.label)],
    rows: times.map((time, i) => [format.time(time), ...columns.map((column) => amount(described)(column[i]))]).reverse(),
  };
}

const DRAW = {
  line(data, described) {
    const { series, surface } = colours();
    const look = () => ({ borderColor: series[0], backgroundColor: `${series[0]}22`, fill: true, borderWidth: 2, tension: 0.25,
      pointRadius: data.times.length < 3 ? 3 : 0, pointHoverRadius: 4, pointBackgroundColor: series[0], pointBorderColor: surface });
    return overTime(data, [{ label: described.title, values: data.values }], described, { type: "line", look });
  },

  stacked(data, described) {
    const { series, text } = colours();
    const look = (i) => ({ backgroundColor: series[i % series.length] });
    const drawn = overTime(data, data.series, described, { type: "bar", look }, {
      plugins: { legend: { display: true, position: "bottom", labels: { color: text, boxWidth: 12 } } } });
    drawn.config.options.scales.x.stacked = true;
    drawn.config.options.scales.y.stacked = true;
    return drawn;
  },

  bar(data, described) {
    const { series, grid } = colours();
    return {
      config: {
        type: "bar",
        data: { labels: data.labels, datasets: [{ label: described.title, data: data.values.map(numeric), backgroundColor: series[0], borderRadius: 4, maxBarThickness: 26 }] },
        options: { indexAxis: "y", plugins: { tooltip: { callbacks: { label: (item) => ` ${amount(described)(item.raw)}` } } },
          scales: {
            x: { beginAtZero: true, grid: { color: grid }, border: { display: false }, ticks: { maxTicksLimit: 5, maxRotation: 0, callback: (value) => format.compact(value, described.currency) } },
            y: { grid: { display: false }, ticks: { callback(value) { return shortened(this.getLabelForValue(value)); } } },
          } },
      },
      head: [described.by, described.title],
      rows: data.labels.map((label, i) => [label, amount(described)(data.values[i])]),
    };
  },

  doughnut(data, described) {
    const { series, surface, text } = colours();
    // A label keeps its colour while ranks change.
    const order = [...data.labels].sort();
    const total = data.values.reduce((sum, value) => sum + Number(value), 0);
    const share = (value) => format.percent(total === 0 ? 0 : Number(value) / total);
    return {
      config: {
        type: "doughnut",
        data: { labels: data.labels.map(shortened), datasets: [{ label: described.title, data: data.values.map(numeric),
          backgroundColor: data.labels.map((label) => series[order.indexOf(label) % series.length]), borderColor: surface, borderWidth: 2 }] },
        options: { cutout: "62%", plugins: {
          legend: { display: true, position: "right", labels: { color: text, boxWidth: 12, padding: 10 } },
          tooltip: { callbacks: { label: (item) => ` ${amount(described)(item.raw)} (${share(item.raw)})` } } } },
      },
      head: [described.by, described.title, "Share"],
      rows: data.labels.map((label, i) => [label, amount(described)(data.values[i]), share(data.values[i])]),
    };
  },

  scatter(data, described) {
    const { series } = colours();
    const tick = (value) => format.compact(value);
    return {
      config: {
        type: "scatter",
        data: { labels: [], datasets: [{ label: described.title, data: data.points.map(([x, y]) => ({ x: Number(x), y: Number(y) })),
          backgroundColor: `${series[0]}66`, borderColor: series[0], borderWidth: 1, pointRadius: 3 }] },
        options: { plugins: { tooltip: { callbacks: { label: (item) => ` ${described.x} ${format.number(item.raw.x, 2)}, ${described.y} ${format.number(item.raw.y, 2)}` } } },
          scales: axes(described, { ticks: { callback: tick }, scale: { type: "linear", grace: "5%", title: { display: true, text: described.x } } },
            { scale: { title: { display: true, text: described.y } } }) },
      },
      head: [described.x, described.y],
      rows: data.points.map(([x, y]) => [format.number(x, 2), format.number(y, 2)]),
    };
  },

  histogram(data, described) {
    const { series } = colours();
    const label = (low, i) => (data.cut && i === data.lows.length - 1 ? `≥ ${format.number(low)}` : `${format.number(low)} – ${format.number(low + data.width)}`);
    const labels = data.lows.map(label);
    return {
      config: {
        type: "bar",
        data: { labels, datasets: [{ label: "Rows", data: data.values.map(numeric), backgroundColor: series[1], categoryPercentage: 1, barPercentage: 0.94 }] },
        options: { plugins: { tooltip: { callbacks: { label: (item) => ` ${format.number(item.raw)} rows` } } },
          scales: axes({ currency: null }, { ticks: { callback: (_, i) => format.compact(data.lows[i]) }, scale: { title: { display: true, text: described.column } } }) },
      },
      head: [described.column, "Rows"],
      rows: labels.map((label, i) => [label, format.number(data.values[i])]),
    };
  },
};

/** Labels that would push the chart aside. */
function shortened(label) {
  const letters = [...String(label)];
  return letters.length > 24 ? `${letters.slice(0, 23).join("")}…` : String(label);
}
