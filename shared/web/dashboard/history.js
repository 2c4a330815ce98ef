// Lag and throughput over time: two plots, a sentence and a table that say the same.

import { get } from "./api.js";
import { byId, draw, Freshness, table } from "./dom.js";
import { brief, count, dateTime, duration, hourMinute, number } from "./format.js";
import { axis, bars, fromZero, line, Plot } from "./plots.js";

const WIDTHS = [5, 10, 15, 30, 60, 120, 240]; // minutes of a slot; the API's are of 5
const LEAST_PIXELS = 4; // of a slot
const AXES_PIXELS = 110;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600, 604800];
const freshness = new Freshness(byId("history-freshness"), byId("plots"), byId("history-numbers"));
let slots = [];
let shown = gathered(slots, 24, 0, 0);

const lagPlot = new Plot(byId("lag-plot"), {
  series: [line("--lag-seconds", "seconds"), line("--lag-entries", "entries", { dash: [6, 4] })],
  scales: { seconds: fromZero(10), entries: fromZero(10) },
  axes: [
    axis({ scale: "seconds", incrs: SECONDS, values: (_, values) => values.map(duration) }),
    axis({ scale: "entries", side: 1, grid: { show: false }, values: (_, values) => values.map(brief) }),
  ],
  readout: (index) => readOut("lag-readout", index, ({ lagEntries, lagSeconds }) => lag(lagEntries[index], lagSeconds[index])),
});
const throughputPlot = new Plot(byId("throughput-plot"), {
  series: [bars("--entries"), bars("--failed")],
  scales: { y: fromZero(1) },
  axes: [axis({ scale: "y", values: (_, values) => values.map(brief) })],
  readout: (index) => readOut("throughput-readout", index, ({ entries, failed }) =>
    entries[index] == null ? "no tick ended" : `${count(entries[index], "entry", "entries")} per minute, ${number(failed[index])} failed`),
});

/** How far back the plots go. */
export const hours = () => Number(document.querySelector("#hours input:checked").value);

export async function refreshHistory() {
  const asked = hours();
  try {
    const answer = await get("history", { hours: asked });
    if (asked !== hours()) return; // another span was chosen meanwhile; its own answer comes
    slots = answer.slots;
    freshness.read();
    show();
  } catch (error) {
    freshness.failed(error);
  }
}

/**
 * API slots gathered into wider ones, as many as have room in `width` pixels up to `now` (seconds since 1970).
 * Lags are the largest of a slot, entries are per minute. A slot without a tick stays null: a gap in the plot.
 */
export function gathered(given, span, now, width) {
  const minutes = WIDTHS.find((one) => ((span * 60) / one) * LEAST_PIXELS <= width) ?? WIDTHS.at(-1);
  const step = minutes * 60;
  const first = Math.floor((now - span * 3600) / step) * step;
  const x = Array.from({ length: Math.floor((now - first) / step) + 1 }, (_, index) => first + index * step);
  const empty = () => x.map(() => null);
  const columns = { minutes, x, lagSeconds: empty(), lagEntries: empty(), entries: empty(), failed: empty() };
  for (const slot of given) {
    const index = Math.floor((Date.parse(slot.start) / 1000 - first) / step);
    if (!(index in x)) continue;
    for (const name of ["lagSeconds", "lagEntries"]) {
      if (slot[name] != null) columns[name][index] = Math.max(columns[name][index] ?? 0, slot[name]);
    }
    for (const name of ["entries", "failed"]) columns[name][index] = (columns[name][index] ?? 0) + slot[name] / minutes;
  }
  return columns;
}

function show() {
  const now = Date.now() / 1000;
  shown = gathered(slots, hours(), now, lagPlot.width - AXES_PIXELS);
  const span = [now - hours() * 3600, now];
  lagPlot.show([shown.x, shown.lagSeconds, shown.lagEntries], span);
  throughputPlot.show([shown.x, shown.entries, shown.failed], span);
  const inSpan = hours() === 168 ? "the last 7 days" : `the last ${hours()} hours`;
  byId("lag-summary").textContent = lagSummary(inSpan);
  byId("throughput-summary").textContent = throughputSummary(inSpan);
  showNumbers();
}

function showNumbers() {
  if (byId("history-numbers").open) draw(byId("history-table"), shown, historyTable);
}

const lag = (entries, seconds) =>
  entries == null ? "lag not known" : `${count(entries, "entry", "entries")}${seconds ? `, the oldest ${duration(seconds)} old` : ""}`;

function readOut(id, index, text) {
  const { x, minutes } = shown;
  const at = (seconds) => new Date(seconds * 1000);
  byId(id).textContent =
    index === null || !(index in x) ? "" : `${dateTime(at(x[index])).slice(0, -3)} – ${hourMinute(at(x[index] + minutes * 60))}: ${text(shown)}`;
}

function lagSummary(span) {
  const known = slots.filter((slot) => slot.lagEntries != null);
  if (!known.length) return slots.length ? `The lag was not known in ${span}.` : `No tick ended in ${span}.`;
  const worst = known.reduce((most, slot) => ((slot.lagSeconds ?? 0) > (most.lagSeconds ?? 0) ? slot : most));
  const last = known.at(-1);
  const said = ({ start, lagEntries, lagSeconds }) => `${lag(lagEntries, lagSeconds)} (${dateTime(new Date(start)).slice(0, -3)})`;
  return `In ${span} at most ${said(worst)}; in the latest slot at most ${said(last)}.`;
}

function throughputSummary(span) {
  if (!slots.length) return `No tick ended in ${span}.`;
  const sum = (name) => slots.reduce((total, slot) => total + slot[name], 0);
  return `In ${span} ${count(sum("entries"), "entry", "entries")}: ${number(sum("written"))} written, ${number(sum("unchanged"))} unchanged, ` +
    `${number(sum("failed"))} failed; ${count(sum("fhirCalls"), "FHIR call")}; ${count(sum("ticks"), "tick")}, ${number(sum("failedTicks"))} of them failed.`;
}

function historyTable({ minutes, x, lagSeconds, lagEntries, entries, failed }) {
  const rows = [...x.keys()].filter((index) => entries[index] != null).reverse();
  return table(`Slots of ${minutes} minutes, newest first; those in which no tick ended are left out`, [
    ["From", (index) => dateTime(new Date(x[index] * 1000)).slice(0, -3)],
    ["Largest lag", (index) => number(lagEntries[index]), "number"],
    ["Oldest entry", (index) => duration(lagSeconds[index]), "number"],
    ["Entries per minute", (index) => number(entries[index]), "number"],
    ["Failed per minute", (index) => number(failed[index]), "number"],
  ], rows);
}

byId("hours").addEventListener("change", refreshHistory);
byId("history-numbers").addEventListener("toggle", showNumbers);
