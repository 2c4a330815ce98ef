// The latest ticks that did something, as a table.

import { element, table, time } from "./dom.js";
import { count, duration, number } from "./format.js";

const OUTCOMES = { synced: "ok", idle: "ok", standstill: "bad", leaseHeld: "warn", stopped: "warn", failed: "bad" };
const LATEST = 5;

/** The outcome of a tick, green only where all that it read has ended in FHIR. */
export function outcomeWord({ outcome, written, unchanged, failed, carried }) {
  const word = outcome === "leaseHeld" ? "lease held" : carried && !(written + unchanged + failed) ? "carried" : outcome;
  const kind = outcome === "synced" && (failed || carried) ? "warn" : (OUTCOMES[outcome] ?? "");
  return element("span", { class: `word ${kind}` }, word);
}

/** `ticks`: null where storage did not answer. */
export function lastTicks(ticks) {
  if (!ticks) return element("p", {}, "Unknown: the storage account did not answer.");
  if (!ticks.length) return element("p", { class: "muted" }, "No tick has synced anything yet.");
  const latest = tickTable("The latest ticks that did something, newest first", ticks.slice(0, LATEST));
  if (ticks.length <= LATEST) return latest;
  return [latest, element("details", { "data-key": "earlier-ticks" }, element("summary", {}, "Earlier ticks"),
    tickTable(`Earlier ticks, at most ${20 - LATEST}`, ticks.slice(LATEST)))];
}

function tickTable(caption, ticks) {
  const counted = (name) => (tick) => (tick[name] == null ? "" : number(tick[name]));
  return table(caption, [
    ["Started", (tick) => time(tick.started)],
    ["Outcome", outcomeWord],
    ["Took", (tick) => duration(tick.durationSeconds), "number"],
    ["Entries", counted("entries"), "number"],
    ["Studies", counted("studies"), "number"],
    ["Written", counted("written"), "number"],
    ["Unchanged", counted("unchanged"), "number"],
    ["Failed", counted("failed"), "number"],
    ["Carried", counted("carried"), "number"],
    ["FHIR calls", counted("fhirCalls"), "number"],
    ["Notes", notes, "wide"],
  ], ticks, { class: "stacking ticks" });
}

function notes({ error, heldBy, failures = {}, invalidTags }) {
  const recorded = Object.entries(failures).filter(([, rows]) => rows).map(([name, rows]) => `${number(rows)} in ${name}`);
  const tags = invalidTags && !recorded.some((one) => one.includes("InvalidDicomTag")) ? `${count(invalidTags, "invalid tag")}` : null;
  return [error, heldBy && `held by: ${heldBy}`, ...recorded, tags].filter(Boolean).join("; ");
}
