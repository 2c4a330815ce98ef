// What /status and /health say: the light, the one state, faults, the numbers of this moment, carried studies, settings,
// the FHIR server.

import { breakable, byId, draw, element, table, time, uidLine } from "./dom.js";
import { count, duration, number, openRows, sequence } from "./format.js";
import { studyLink } from "./study_link.js";
import { lastTicks, outcomeWord } from "./ticks.js";

const STATES = { syncing: "ok", "caught up": "ok", degraded: "warn", behind: "warn", "never ran": "warn", "not syncing": "bad" };

/** Nothing is green where there is something to do. */
const colour = (state, action) => (action && STATES[state] === "ok" ? "warn" : STATES[state]);

/** `health`: true, false, or null where it is not known; the state and what to do are the status' own, null without one. */
export function light(health, state, action) {
  if (health === false) return ["bad", state ? `Unhealthy: ${state}` : "Unhealthy: no tick has ended well lately"];
  if (!state) return health ? ["ok", "Healthy"] : ["none", "Health unknown"];
  const isWell = health && ["syncing", "caught up", "degraded"].includes(state);
  return [colour(state, action), isWell ? `Healthy: ${state}` : sentence(state)];
}

export function showLight([kind, text]) {
  const shown = byId("light");
  shown.className = `light ${kind}`;
  if (shown.textContent === text) return; // a live region speaks only of changes
  shown.textContent = text;
  document.title = `${text.split(": ").at(-1)} – DICOM Cast`;
}

export function showStatus(status) {
  byId("version").textContent = status.version;
  draw(byId("state"), [status.state, status.since, status.reason, status.action, status.runningTick], headline);
  draw(byId("faults"), [status.state, ...status.faults.filter((one) => !status.reason.includes(one))], faults);
  draw(byId("now"), { ...status, settings: null, fhirServer: null, ticks: null }, tiles);
  draw(byId("ticks"), status.watermark && status.ticks, lastTicks);
  draw(byId("carried"), status.carried, carried);
  draw(byId("totals"), status.totals, (totals) => pairs("Totals since the first tick", totals, number));
  draw(byId("settings"), status.settings, (settings) => pairs("Effective settings", settings, (value) => value));
  draw(byId("fhir-server"), status.fhirServer, (known) => pairs("What the FHIR server does, as far as this process has seen", known, (value) => value));
}

/** One sentence that is true at night, what to do, and how far the tick is that is at work. */
const headline = ([state, since, reason, action, running]) =>
  element("div", { class: `notice ${colour(state, action)}` },
    element("p", {}, element("strong", {}, sentence(state)), ...(since ? [" since ", time(since)] : []), `: ${reason}.`),
    action && element("p", {}, `What to do: ${action}.`),
    running?.entries ? element("progress", { max: running.entries, value: running.done, "aria-label": progress(running) }) : null);

const progress = ({ done, entries }) => (entries == null ? null : `${number(done)} of ${count(entries, "entry", "entries")} done`);

/** What the state's sentence does not say: a slow answer is no outage, as long as ticks end well. */
function faults([state, ...others]) {
  if (!others.length) return [];
  const isDown = state === "not syncing";
  return element("div", { class: `notice ${isDown ? "bad" : "warn"}` },
    element("h2", {}, isDown ? "Down" : "At this moment"), element("ul", {}, others.map((one) => element("li", {}, one))));
}

const sentence = (words) => words[0].toUpperCase() + words.slice(1);

function tiles({ watermark, latest, lag, lease, runningTick, lastTick, entriesPerSecond, errors, carried, replays }) {
  const open = errors && Object.values(errors.open).reduce((sum, one) => sum + one, 0);
  return [
    tile("Lag", lag.entries == null ? "unknown" : count(lag.entries, "entry", "entries"), lag.seconds ? `oldest waits for ${duration(lag.seconds)}` : null),
    tile("Tick at work", atWork(lease, runningTick), runningTick && (progress(runningTick) ?? ["since ", time(runningTick.since)])),
    tile("Last tick", lastTick ? outcomeWord(lastTick) : watermark ? "none yet" : "unknown", lastTick && [time(lastTick.started), `, took ${duration(lastTick.durationSeconds)}`]),
    tile("Throughput", entriesPerSecond == null ? "–" : perMinute(entriesPerSecond * 60), "entries synced or failed, in the last tick with any"),
    tile("Watermark", sequence(watermark?.sequence), point(watermark)),
    tile("Latest in the feed", sequence(latest?.sequence), point(latest)),
    tile("Open error rows", errors ? openRows(open) : "unknown", element("a", { href: "#errors-title", "data-key": "to-errors" }, "Errors")),
    tile("Carried studies", carried ? number(carried.length) : "unknown", element("a", { href: "#carried-title", "data-key": "to-carried" }, "Carried studies")),
    tile("Replays under way", replays ? number(replays.length) : "unknown", element("a", { href: "#replays", "data-key": "to-replays" }, "Replays")),
  ];
}

const perMinute = (entries) => `${number(entries < 10 ? entries : Math.round(entries))} per minute`;

function atWork(lease, running) {
  if (running) return duration(running.seconds);
  return lease ? (lease.held ? "just begun" : "none") : "unknown";
}

const tile = (name, value, note) =>
  element("div", { class: "tile" }, element("dt", {}, name), element("dd", { class: "value" }, value), note && element("dd", { class: "note" }, note));

const point = (at) => (at?.timestamp ? time(at.timestamp) : null);

function carried(studies) {
  if (!studies) return element("p", {}, "Unknown: the storage account did not answer.");
  if (!studies.length) return element("p", { class: "muted" }, "None: no study waits for another try.");
  return table("Studies with a transient fault, tried again each tick", [
    ["StudyInstanceUID", (one) => [uidLine("StudyInstanceUID", one.studyInstanceUID), studyLink(one.studyInstanceUID, one.partition)], "uid"],
    ["Entries", (one) => number(one.entries), "number"],
    ["Retries", (one) => number(one.retries), "number"],
    ["Since", (one) => time(one.since)],
  ], studies, { class: "stacking studies" });
}

const pairs = (caption, object, format) =>
  table(caption, [["Name", ([name]) => breakable(name, "__")], ["Value", ([, value]) => format(value), "uid"]], Object.entries(object), { class: "stacking pairs" });
