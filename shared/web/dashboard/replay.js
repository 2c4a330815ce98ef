// A replay as it is shown, in the list and in the dialog.

import { element, table, time } from "./dom.js";
import { count, number } from "./format.js";
import { studyLink } from "./study_link.js";

const WORDS = { queued: "", running: "", done: "ok", cancelled: "warn", failed: "bad" };

export const isUnderWay = ({ state }) => state === "queued" || state === "running";

/** What a replay is of: "entries 3 to 9 of the change feed"; whether it may overwrite Patients. */
export const described = (request) => selected(request) + (request.patients ? ", Patients too" : "");

function selected({ sequence, time: span, study, partition, errors, exception }) {
  if (sequence) return sequence.from === sequence.to ? `entry ${sequence.from}` : `entries ${sequence.from} to ${sequence.to ?? "the newest"}`;
  if (span) return `entries from ${time(span.from).textContent} until before ${time(span.to).textContent}`;
  if (!errors) return `study ${study}${partition ? ` of partition ${partition}` : ""}`;
  const narrowed = [exception && `exception ${exception}`, study && `study ${study}`].filter(Boolean);
  return [errors === "all" ? "open rows of all error tables" : `open rows of ${errors}`, ...narrowed].join(", ");
}

export const stateWord = ({ state, progress, errors }) =>
  element("span", { class: `word ${state === "done" && (progress.failed || errors.some(isOfAll)) ? "warn" : WORDS[state]}` }, state);

/** An error of the replay as a whole: why it failed, or did nothing. */
const isOfAll = ({ sequence, sopInstanceUID }) => sequence == null && !sopInstanceUID;

/** Whether running a dry run for real would do something: write to FHIR, or mark the open rows that it began with. */
export const isWorthRunning = ({ request, state, progress, writes = [], moreWrites = 0 }, marksRows = Boolean(request.errors)) =>
  Boolean(request.dryRun) && state === "done" && (writes.length + moreWrites > 0 || (marksRows && progress.done > progress.failed));

/** Why it failed, progress, counts, why it waits, errors, and of a dry run what would be written. */
export function progressAndResult({ id, request, state, waitingFor, progress, errors, writes = [], moreErrors = 0, moreWrites = 0 }) {
  const { done, total, written, unchanged, failed } = progress;
  const label = total == null ? `${number(done)} done` : `${number(done)} of ${number(total)} done`;
  const [whole, single] = [errors.filter(isOfAll), errors.filter((error) => !isOfAll(error))];
  const lookedAt = request.errors ? null : studyLink(request.study, request.partition);
  const would = request.dryRun ? "would be written" : "written";
  return [
    ...whole.map(({ message }) => element("p", { class: `notice ${state === "failed" ? "bad" : "warn"}` }, `${message[0].toUpperCase()}${message.slice(1)}.`)),
    isUnderWay({ state }) ? element("progress", { max: total || 1, value: total ? done : null, "aria-label": label }) : null,
    element("p", {}, `${label}: ${number(written)} ${would}, ${number(unchanged)} unchanged, ${number(failed)} failed.`),
    isUnderWay({ state }) && waitingFor ? element("p", { class: "notice warn" }, `Waits: ${waitingFor}`) : null,
    deletes(writes),
    single.length ? folded(id, "errors", listed(single, moreErrors, "error"), errorTable(single)) : null,
    writes.length ? folded(id, "writes", `${listed(writes, moreWrites, "request")} that would go to FHIR`, writeTable(writes)) : null,
    lookedAt && element("p", {}, request.dryRun ? "Which elements change, and what else is known of it: " : "What both sides say of it: ", lookedAt),
  ].filter(Boolean);
}

/** Said apart: a study that is not where it is looked for (say, in another partition) would be taken out of FHIR. */
function deletes(writes) {
  const found = writes.filter(({ method }) => method === "DELETE").length;
  return found ? element("p", { class: "notice warn" }, `${count(found, "resource")} would be deleted from FHIR.`) : null;
}

const listed = (items, more, what) => (more ? `the first ${number(items.length)} of ${count(items.length + more, what)}` : count(items.length, what));

const folded = (id, name, summary, content) =>
  element("details", { "data-key": `${id}-${name}`, open: true }, element("summary", {}, summary), content);

function errorTable(errors) {
  return table("Errors", [
    ["Sequence", (error) => error.sequence ?? "–", "number"],
    ["SOPInstanceUID", (error) => error.sopInstanceUID || "–", "uid"],
    ["What is wrong", (error) => error.message, "wide"],
  ], errors, { class: "stacking" });
}

function writeTable(writes) {
  return table("What would be written", [
    ["Method", (write) => write.method],
    ["Resource", (write) => write.url, "uid"],
    ["StudyInstanceUID", (write) => write.studyInstanceUID ?? "–", "uid"],
  ], writes, { class: "stacking" });
}
