// The audit: the last round in a sentence, what a person may do about it, and the studies that differ.

import { get, post, remove } from "./api.js";
import { byId, button, draw, element, Freshness, problem, table, time, uidLine } from "./dom.js";
import { count } from "./format.js";
import { partitionOf } from "./reasons.js";
import { propose } from "./replay_dialog.js";
import { studyLink } from "./study_link.js";

const KINDS = {
  missing: "not in FHIR",
  gone: "not in DICOM",
  patient: "another Patient",
  series: "series or instances",
  modality: "modality",
  element: "other elements",
  resource: "Patient, Endpoint or Observation",
};
const freshness = new Freshness(byId("audit-freshness"), byId("audit"));

export async function refreshAudit() {
  try {
    const answer = await get("audit");
    freshness.read();
    draw(byId("audit"), answer, overview);
  } catch (error) {
    freshness.failed(error);
  }
}

function overview({ mode, rounds, open, differences, next }) {
  const [current] = rounds;
  const canBeStopped = current && (current.state === "running" || (current.state === "queued" && !current.notBefore));
  return [
    element("p", {}, current ? element("strong", {}, sentence(current)) : "No round yet: the first begins an hour after the first tick.", mode === "off" ? " No round begins by itself." : ""),
    ...(current?.unknown ?? []).map((said) => element("p", { class: "note" }, said)),
    current?.waitingFor && current.state !== "failed" ? element("p", { class: "note" }, `It waits: ${current.waitingFor}`) : null,
    element("div", { class: "row" },
      canBeStopped ? button("Stop", "the round", asks(() => remove("audit"))) : button("Begin a round", "of the audit", asks(() => post("audit", {}))),
      current?.state === "stopped" ? button("Delete them", "the studies that DICOM has no more", asks(() => post("audit", { confirm: current.id }), question(current))) : null),
    differences.length ? found(open, differences, next) : element("p", { class: "muted" }, "No difference is open."),
  ].filter(Boolean);
}

const sentence = ({ says }) => `${says[0].toUpperCase()}${says.slice(1)}.`;

const question = ({ deletesWaiting }) =>
  `Delete ${count(deletesWaiting, "study", "studies")} from FHIR that the DICOM service answers 404 for? Not if the archive was restored or emptied.`;

function found(open, differences, next) {
  const kinds = Object.entries(open).filter(([, of]) => of).map(([kind, of]) => `${of} ${KINDS[kind]}`);
  return element("div", {},
    element("p", {}, `${kinds.join(", ")}.${next ? ` The first ${differences.length} are listed.` : ""}`),
    table("Studies that differ", [
      ["StudyInstanceUID", (one) => [uidLine("StudyInstanceUID", one.studyInstanceUID), studyLink(one.studyInstanceUID, one.partition), partitionOf(one) ? element("span", { class: "note" }, `partition ${one.partition}`) : null].filter(Boolean), "uid"],
      ["What differs", (one) => [KINDS[one.kind], ...[one.says, one.failure].filter(Boolean).map((said) => element("span", { class: "note" }, said))]],
      ["Since", (one) => time(one.firstSeen)],
      ["Actions", (one) => button("Rebuild …", `study ${one.studyInstanceUID}, audit`, () => propose({ study: one.studyInstanceUID, partition: partitionOf(one) })), "actions"],
    ], differences, { class: "stacking studies" }));
}

/** A button's work: asked about first where it has a question. */
function asks(work, asked) {
  return async ({ currentTarget }) => {
    if (asked && !confirm(asked)) return;
    currentTarget.disabled = true;
    try {
      await work();
      await refreshAudit();
    } catch (error) {
      currentTarget.after(problem(error));
    }
    currentTarget.disabled = false;
  };
}
