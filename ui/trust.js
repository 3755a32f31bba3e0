// Trust: the ledger, what came late or was refused, and how far everybody is behind the log.

import { element, emptyState, faultState, setText, table } from "./dom.js";
import * as format from "./format.js";
import { LivePage, card, pageOf, scroll, tileOf } from "./live.js";

export const { mount, unmount } = pageOf((root, context) => new Trust(root, context));

const entries = (n) => `${format.number(n)} ${n === 1 ? "entry" : "entries"}`;

const number = (title) => ({ title, number: true });

const mark = (closed) => element("span", { class: closed ? "good mark-closed" : "bad mark-open" }, closed ? "✓ closed" : "✗ OPEN");

const TONES = { holds: "good", broken: "bad" };

const times = (n, what) => `${format.number(n)} ${what}`;

const since = (n) => (n > 0 ? `, ${entries(n)} ago` : "");

/** Figure, note and tone of the last verification; if there was one. */
function verdictOf({ verify, ledger, pipeline }) {
  if (!ledger) return [format.NONE, ""];
  if (!verify) return ["never verified", `lakeward verify ${pipeline}`];
  if (verify.error) return ["not readable", verify.error, "bad"];
  const when = `${format.time(verify.at)}, at version ${format.number(verify.version)}`;
  return verify.broken ? [`✗ ${times(verify.broken, "BROKEN")}`, when, "bad"] : ["✓ nothing broken", when, "good"];
}

class Trust extends LivePage {
  constructor(root, context) {
    super("trust", root, context);
  }

  layOut() {
    this.tiles = ["Ledger", "Records read", "Kept", "Quarantined", "Late rows", "Last verify"].map(tileOf);
    this.open = element("div", { class: "banner", role: "alert", hidden: true });
    this.partitions = scroll("Ledger by partition");
    this.layers = scroll("Layers against the ledger");
    this.ledger = card("Ledger", element("p", { class: "muted" }, "Every record read is kept, filtered, a duplicate, quarantined or a tombstone. The files of the lake hold exactly those rows."),
      this.partitions, this.layers);
    this.minutes = scroll("Ledger by minute and partition");
    this.byMinute = card("Ledger by minute and partition", this.minutes);
    this.late = scroll("Late rows");
    this.reasons = scroll("Reasons");
    this.samples = element("div", { "aria-label": "Samples" });
    this.quarantine = card("Quarantine", this.reasons);
    this.entries = scroll("Entries");
    this.followers = scroll("Followers");
    this.sampled = card("Newest refused records", this.samples);
    this.verified = element("div");
    this.verify = card("Last verify", this.verified);
    this.root.replaceChildren(
      element("h1", {}, "Trust"),
      this.open,
      element("section", { class: "tiles", "aria-label": "Figures" }, this.tiles.map((tile) => tile.node)),
      this.ledger.node,
      this.verify.node,
      element("div", { class: "pair" }, this.quarantine.node,
        element("div", { class: "stack" }, card("Late rows", this.late).node, card("Followers of the log", this.followers).node)),
      this.byMinute.node,
      this.sampled.node,
      card("Newest entries of the log", this.entries).node,
    );
  }

  show(data) {
    this.data = data;
    const { ledger, quarantine } = data;
    const [balance, read, kept, refused, late, verify] = this.tiles;
    const total = ledger?.total;
    balance.show(ledger ? ledger.closed ? "✓ closed" : "✗ OPEN" : format.NONE, ledger ? `at version ${format.number(data.version)}` : "", ledger ? ledger.closed ? "good" : "bad" : "");
    read.show(format.number(total?.records), total ? `and ${format.number(data.uncommitted.reduce((sum, p) => sum + p.records, 0))} not committed yet` : "");
    kept.show(format.number(total?.kept), total?.records ? format.percent(total.kept / total.records, 2) : "");
    refused.show(format.number(quarantine?.records), total?.records ? format.percent(quarantine.records / total.records, 2) : "");
    late.show(format.number(Object.values(data.late).reduce((sum, n) => sum + n, 0)), "too late for their window");
    verify.show(...verdictOf(data));
    this.open.hidden = !ledger || ledger.closed;
    setText(this.open, ledger ? `The ledger is open: ${ledger.open.join("; ")}` : "");
    this.showLedger(ledger, data);
    this.showVerify(data);
    this.showMinutes(data.minutes);
    this.showLate(data.late);
    this.showQuarantine(quarantine);
    this.showFollowers(data.followers);
    this.showEntries(data.entries);
  }

  showLedger(ledger, data) {
    if (!ledger) {
      this.layers.replaceChildren();
      return this.partitions.replaceChildren(emptyState("Nothing committed here yet", data.owner ? "The first epoch opens the ledger." : "This process stands by and has not owned the pipeline."));
    }
    const waiting = new Map(data.uncommitted.map((p) => [p.partition, p.records]));
    this.partitions.replaceChildren(table(
      [number("Partition"), { title: "Offsets" }, number("Read"), number("Replayed"), number("Kept"), number("Filtered"), number("Duplicate"), number("Quarantined"), number("Tombstones"), number("Not committed"), { title: "Balance" }],
      ledger.partitions.map((p) => [format.number(p.partition), `${format.number(p.from)} – ${format.number(p.to)}`,
        ...["records", "replayed", "kept", "filtered", "duplicate", "quarantined", "tombstones"].map((name) => format.number(p.counters[name] ?? 0)),
        format.number(waiting.get(p.partition) ?? 0), mark(p.balance === 0)])));
    this.layers.replaceChildren(table([{ title: "Layer" }, number("Files"), number("Rows"), number("Expired"), number("Rows due"), { title: "" }],
      ledger.layers.map((l) => [l.layer, format.number(l.files), format.number(l.rows), format.number(l.expired), format.number(l.due),
        format.isNone(l.due) ? "" : mark(l.due === l.rows + l.expired)])));
  }

  showVerify({ verify, version, ledger, pipeline }) {
    const key = JSON.stringify([verify, version, format.isUtc()]);
    if (key === this.shownVerify) return;
    this.shownVerify = key;
    setText(this.verify.note, verify && !verify.error ? `${format.time(verify.at)}, against entry ${format.number(verify.version)}${since(version - verify.version)}` : "");
    if (verify?.error) return this.verified.replaceChildren(faultState({ code: "LAKE", message: verify.error }));
    if (!verify || !ledger) return this.verified.replaceChildren(emptyState("Never verified", `lakeward verify ${pipeline} works everything out anew and holds it against lake, mart and Kafka.`));
    const broken = verify.invariants.filter((one) => one.verdict === "broken");
    const all = scroll("Invariants");
    all.append(table([{ title: "" }, { title: "Invariant" }, { title: "Verdict" }, { title: "Compared, or why not" }],
      verify.invariants.map((one) => [one.invariant, one.title, element("span", { class: TONES[one.verdict] ?? "muted" }, one.verdict),
        one.why ?? Object.entries(one.compared ?? {}).map(([what, n]) => times(n, what)).join(", ")])));
    this.verified.replaceChildren(
      element("p", {}, element("strong", { class: verify.broken ? "bad" : "good" }, `${times(verify.holds, "hold")}, ${times(verify.broken, "broken")}, ${times(verify.not_checkable, "not checkable")}`),
        `${verify.deep ? "; every value was compared" : ""}; ${verify.quiet ? "nobody worked on the pipeline" : "while it ran, or not cleanly ended"}`),
      ...broken.map((one) => element("article", { class: "sample" },
        element("div", {}, element("strong", { class: "bad" }, `${one.invariant} ${one.title}`), `: ${times(one.broken, "found")}`),
        element("pre", { tabindex: "0" }, one.evidence.join("\n")))),
      element("details", { class: "data", open: this.verified.querySelector("details")?.open }, element("summary", {}, "All invariants"), all));
  }

  showMinutes(minutes) {
    setText(this.byMinute.note, minutes.length ? "minutes of the commit, newest first" : "");
    if (!minutes.length) return this.minutes.replaceChildren(emptyState("No minute yet", "The first epoch with records fills this table."));
    this.minutes.replaceChildren(table(
      [{ title: "Minute" }, number("Partition"), { title: "Offsets" }, number("Read"), number("Replayed"), number("Kept"), number("Filtered"), number("Duplicate"), number("Quarantined"), number("Tombstones"), number("Late"), { title: "Ledger" }],
      minutes.slice(0, 60).map((m) => [format.time(m.minute), format.number(m.partition), `${format.number(m.from)} – ${format.number(m.to)}`,
        ...["read", "replayed", "kept", "filtered", "duplicate", "quarantined", "tombstones", "late"].map((name) => format.number(m[name])),
        element("span", {}, mark(m.closed), m.running ? element("span", { class: "muted" }, " so far") : null)])));
  }

  showLate(late) {
    const rows = Object.entries(late);
    if (!rows.length) return this.late.replaceChildren(emptyState("This pipeline has no KPIs"));
    this.late.replaceChildren(table([{ title: "KPI" }, number("Late rows")], rows.map(([kpi, n]) => [kpi, format.number(n)]),
      "They are in the lake and not in the closed window."));
  }

  showQuarantine(quarantine) {
    const reasons = Object.entries(quarantine?.by_reason ?? {}).sort((a, b) => b[1] - a[1]);
    setText(this.quarantine.note, quarantine ? `${format.number(quarantine.records)} records` : "");
    if (!reasons.length) this.reasons.replaceChildren(emptyState("Nothing was refused"));
    else {
      const most = reasons[0][1];
      this.reasons.replaceChildren(table([{ title: "Reason" }, number("Records"), { title: "" }], reasons.map(([reason, n]) => [
        reason, format.number(n), element("meter", { min: 0, max: most, value: n, "aria-hidden": "true" })])));
    }
    this.showSamples(quarantine?.samples);
  }

  showSamples(samples) {
    if (samples?.error) return this.samples.replaceChildren(faultState({ code: "LAKE", message: samples.error }));
    if (!samples?.length) return this.samples.replaceChildren(emptyState("No record to show"));
    const key = JSON.stringify([samples, format.isUtc()]);
    if (key === this.shownSamples) return;
    this.shownSamples = key;
    this.samples.replaceChildren(...samples.map((s) => element("article", { class: "sample" },
      element("div", {}, element("strong", {}, s.reason), s.field ? ` ${s.field}` : "", element("span", { class: "muted" }, `: ${s.detail}`)),
      element("div", { class: "muted" }, `partition ${s.partition}, offset ${s.offset}, ${format.time(s.time)}`),
      element("pre", { tabindex: "0" }, s.payload))));
  }

  showFollowers(followers) {
    if (!followers.length) return this.followers.replaceChildren(emptyState("No follower has started"));
    this.followers.replaceChildren(table([{ title: "Follower" }, number("Version"), number("Behind"), { title: "State" }],
      followers.map((f) => [f.follower, format.number(f.version), f.behind ? entries(f.behind) : "0",
        element("span", { class: f.trouble ? "bad" : f.behind ? "" : "good", title: f.trouble }, f.trouble ? `trouble: ${f.trouble}` : f.behind ? "catching up" : "up to date")])));
  }

  showEntries(entries) {
    if (!entries.length) return this.entries.replaceChildren(emptyState("No entry yet"));
    const rows = (e) => Object.entries(e.rows).map(([layer, n]) => `${layer} ${format.number(n)}`).join(", ");
    this.entries.replaceChildren(table(
      [number("Version"), { title: "Kind" }, { title: "At" }, number("Took"), number("Read"), { title: "Rows added" }, number("Files"), { title: "Watermark" }],
      entries.map((e) => [format.number(e.version), e.trouble ? element("span", { class: "bad" }, `failed: ${e.trouble}`) : e.kind, format.time(e.at),
        format.duration(e.seconds), format.number(e.read), rows(e), format.number(e.files), format.time(e.watermark)])));
  }
}

