// Lag and throughput over time: two plots, a sentence and a table that say the same.

import { get } from "./api.js";
import { bandsOf, bandSummary } from "./bands.js";
import { byId, draw, Freshness, table } from "./dom.js";
import { brief, count, dateTime, duration, hourMinute, number } from "./format.js";
import { axis, bars, fromZero, line, Plot } from "./plots.js";
import { ended, gathered } from "./slots.js";

const AXES_PIXELS = 110;
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600, 604800];
const freshness = new Freshness(byId("history-freshness"), byId("plots"), byId("history-numbers"));
const SPANS = [1, 3, 24, 168];
let slots = [];
let current = {}; // of the status: the lag of now, and whether a tick is at work
let isChosen = false; // by the person; until then the least span that shows all of the data
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
    const answer = await get("history", { hours: isChosen ? asked : SPANS.at(-1) });
    if (asked !== hours()) return; // another span was chosen meanwhile; its own answer comes
    slots = isChosen ? answer.slots : chosenSpan(answer.slots);
    freshness.read();
    show();
  } catch (error) {
    freshness.failed(error);
  }
}

/** Chooses the least span that shows all of a week's slots, or a day, unless the latest is older; gives those of it. */
function chosenSpan(given) {
  isChosen = true;
  const ages = given.map(({ start }) => (Date.now() - Date.parse(start)) / 3_600_000);
  const span = SPANS.find((one) => one >= Math.min(ages[0] ?? 0, Math.max(24, ages.at(-1) ?? 0))) ?? SPANS.at(-1);
  document.querySelector(`#hours input[value="${span}"]`).checked = true;
  return given.filter((_, index) => ages[index] <= span);
}

/** What the status says of this moment is in the plot before the tick has ended. */
export function showNow({ lag, runningTick }) {
  current = { ...lag, isTickAtWork: Boolean(runningTick) };
  if (isChosen) show();
}

function show() {
  const now = Date.now() / 1000;
  shown = gathered(withNow(slots, now), hours(), now, lagPlot.width - AXES_PIXELS);
  const span = [now - hours() * 3600, now];
  const bands = bandsOf(slots, now, current.isTickAtWork);
  lagPlot.show([shown.x, shown.lagSeconds, shown.lagEntries], span, bands);
  throughputPlot.show([shown.x, shown.entries, shown.failed], span, bands);
  const inSpan = { 1: "the last hour", 168: "the last 7 days" }[hours()] ?? `the last ${hours()} hours`;
  byId("lag-summary").textContent = `${lagSummary(inSpan)} ${bandSummary(bands)}`.trim();
  byId("throughput-summary").textContent = throughputSummary(inSpan);
  showNumbers();
}

const withNow = (given, now) =>
  current.entries == null ? given : [...given, { start: new Date(now * 1000).toISOString(), lagEntries: current.entries, lagSeconds: current.seconds }];

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
  if (!known.length) return slots.length ? `The lag was not known in ${span}.` : `No tick has ended in ${span}.`;
  const worst = known.reduce((most, slot) => ((slot.lagSeconds ?? 0) > (most.lagSeconds ?? 0) ? slot : most));
  const last = known.at(-1);
  const said = ({ start, lagEntries, lagSeconds }) => `${lag(lagEntries, lagSeconds)} (${dateTime(new Date(start)).slice(0, -3)})`;
  const now = current.entries == null ? `in the latest slot at most ${said(last)}` : `now ${lag(current.entries, current.seconds)}`;
  return `In ${span} at most ${said(worst)}; ${now}.`;
}

function throughputSummary(span) {
  if (!slots.length) return `No tick has ended in ${span}.`;
  const sum = (name) => slots.reduce((total, slot) => total + slot[name], 0);
  const all = slots.reduce((total, slot) => total + ended(slot), 0);
  return `In ${span} ${count(all, "entry", "entries")}: ${number(sum("written"))} written, ${number(sum("unchanged"))} unchanged, ` +
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

byId("hours").addEventListener("change", () => {
  isChosen = true;
  refreshHistory();
});
byId("history-numbers").addEventListener("toggle", showNumbers);
