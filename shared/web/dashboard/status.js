// What /status and /health say: the light, the faults, the numbers of this moment, ticks, carried studies, settings, the
// FHIR server.

import { byId, draw, element, table, time } from "./dom.js";
import { count, duration, number, openRows } from "./format.js";

const UNKNOWN = "Unknown: the storage account did not answer.";
const OUTCOMES = { synced: "ok", idle: "ok", standstill: "bad", leaseHeld: "warn", stopped: "warn", failed: "bad" };

const STATES = { syncing: "ok", "caught up": "ok", degraded: "warn", behind: "warn", "never ran": "warn", "not syncing": "bad" };

/** `health`: true, false, or null where it is not known; `state`: the status' own word, null where there is no status. */
export function light(health, state) {
  if (health === false) return ["bad", state ? `Unhealthy: ${state}` : "Unhealthy: no tick has ended well lately"];
  if (!state) return health ? ["ok", "Healthy"] : ["none", "Health unknown"];
  const isWell = health && ["syncing", "caught up", "degraded"].includes(state);
  return [STATES[state], isWell ? `Healthy: ${state}` : sentence(state)];
}

export function showLight([kind, text]) {
  const shown = byId("light");
  if (shown.textContent === text) return; // a live region speaks only of changes
  shown.className = `light ${kind}`;
  shown.textContent = text;
  document.title = `${text.split(":")[0]} – DICOM Cast`;
}

export function showStatus(status) {
  byId("version").textContent = status.version;
  draw(byId("state"), [status.state, status.since, status.reason, status.action], headline);
  draw(byId("faults"), status.faults, (faults) =>
    faults.length ? [element("div", { class: "notice bad" }, element("h2", {}, "Down"), element("ul", {}, faults.map((one) => element("li", {}, one))))] : []);
  draw(byId("now"), { ...status, settings: null, fhirServer: null, ticks: null }, tiles);
  draw(byId("ticks"), status.watermark && status.ticks, tickTable);
  draw(byId("carried"), status.carried, carried);
  draw(byId("totals"), status.totals, (totals) => pairs("Totals since the first tick", totals, number));
  draw(byId("settings"), status.settings, (settings) => pairs("Effective settings", settings, (value) => value));
  draw(byId("fhir-server"), status.fhirServer, (known) => pairs("What the FHIR server does, as far as this process has seen", known, (value) => value));
}

/** One sentence that is true at night, and what to do. */
const headline = ([state, since, reason, action]) =>
  element("div", { class: `notice ${STATES[state]}` },
    element("p", {}, element("strong", {}, sentence(state)), ...(since ? [" since ", time(since)] : []), `: ${reason}.`),
    action && element("p", {}, `What to do: ${action}.`));

const sentence = (words) => words[0].toUpperCase() + words.slice(1);

function tiles({ watermark, latest, lag, lease, lastTick, entriesPerSecond, errors, carried, replays }) {
  const open = errors && Object.values(errors.open).reduce((sum, one) => sum + one, 0);
  return [
    tile("Lag", lag.entries == null ? "unknown" : count(lag.entries, "entry", "entries"), lag.seconds ? `oldest waits for ${duration(lag.seconds)}` : null),
    tile("Watermark", number(watermark?.sequence), point(watermark)),
    tile("Latest in the feed", number(latest?.sequence), point(latest)),
    tile("Last tick", lastTick ? word(lastTick.outcome) : watermark ? "none yet" : "unknown", lastTick && [time(lastTick.started), `, took ${duration(lastTick.durationSeconds)}`]),
    tile("Entries per second", entriesPerSecond == null ? "–" : number(entriesPerSecond), "of the last tick that synced any"),
    tile("Lease", lease ? (lease.held ? "held" : "free") : "unknown", lease?.since && ["since ", time(lease.since)]),
    tile("Open error rows", errors ? openRows(open) : "unknown", element("a", { href: "#errors-title", "data-key": "to-errors" }, "Errors")),
    tile("Carried studies", carried ? number(carried.length) : "unknown", element("a", { href: "#carried-title", "data-key": "to-carried" }, "Carried studies")),
    tile("Replays under way", replays ? number(replays.length) : "unknown", element("a", { href: "#replays", "data-key": "to-replays" }, "Replays")),
  ];
}

const tile = (name, value, note) =>
  element("div", { class: "tile" }, element("dt", {}, name), element("dd", { class: "value" }, value), note && element("dd", { class: "note" }, note));

const point = (at) => (at?.timestamp ? time(at.timestamp) : null);

const word = (outcome) => element("span", { class: `word ${OUTCOMES[outcome] ?? ""}` }, outcome === "leaseHeld" ? "lease held" : outcome);

function tickTable(ticks) {
  if (!ticks) return element("p", {}, UNKNOWN);
  if (!ticks.length) return element("p", { class: "muted" }, "No tick has synced anything yet.");
  const counted = (name) => (tick) => (tick[name] == null ? "–" : number(tick[name]));
  return table("The latest 20 ticks that did something, newest first", [
    ["Started", (tick) => time(tick.started)],
    ["Took", (tick) => duration(tick.durationSeconds), "number"],
    ["Outcome", (tick) => word(tick.outcome)],
    ["Entries", counted("entries"), "number"],
    ["Studies", counted("studies"), "number"],
    ["Written", counted("written"), "number"],
    ["Unchanged", counted("unchanged"), "number"],
    ["Failed", counted("failed"), "number"],
    ["Carried", counted("carried"), "number"],
    ["FHIR calls", counted("fhirCalls"), "number"],
    ["Notes", notes, "wide"],
  ], ticks);
}

function notes({ error, heldBy, failures = {}, invalidTags }) {
  const recorded = Object.entries(failures).filter(([, rows]) => rows).map(([name, rows]) => `${number(rows)} in ${name}`);
  const tags = invalidTags && !recorded.some((one) => one.includes("InvalidDicomTag")) ? `${count(invalidTags, "invalid tag")}` : null;
  return [error, heldBy && `held by: ${heldBy}`, ...recorded, tags].filter(Boolean).join("; ");
}

function carried(studies) {
  if (!studies) return element("p", {}, UNKNOWN);
  if (!studies.length) return element("p", { class: "muted" }, "None: no study waits for another try.");
  return table("Studies with a transient fault, tried again each tick", [
    ["StudyInstanceUID", (one) => one.studyInstanceUID, "uid"],
    ["Entries", (one) => number(one.entries), "number"],
    ["Retries", (one) => number(one.retries), "number"],
    ["Since", (one) => time(one.since)],
  ], studies, { class: "stacking" });
}

const pairs = (caption, object, format) =>
  table(caption, [["Name", ([name]) => name, "uid"], ["Value", ([, value]) => format(value), "uid"]], Object.entries(object), { class: "pairs" });
