// The search for a study: what is typed goes in the body of a POST, and is taken away once a study is chosen.

import { post } from "./api.js";
import { byId, button, element, problem, table } from "./dom.js";
import { count } from "./format.js";

const UID = /^[012](\.(0|[1-9][0-9]*))+$/;
const DEFAULT_PARTITION = "Microsoft.Default";
let searches = 0; // counts; an answer to an earlier search is not shown

/** Opens the one that is found, or shows them all to choose from. */
export async function search(text, partition, open) {
  const mine = (searches += 1);
  const box = byId("found");
  box.replaceChildren("Searching …");
  try {
    const found = await post("study", { text, ...(partition && { partition }) });
    if (mine !== searches) return;
    const only = found.studies.length === 1 && found.isAll && !found.faults.length ? found.studies[0] : null;
    if (only) open(only.studyInstanceUID, named(only.partition));
    else if (!found.studies.length && UID.test(text)) open(text, partition);
    else box.replaceChildren(...told(found, open));
  } catch (error) {
    if (mine === searches) box.replaceChildren(error.status === 401 ? "" : problem(error));
  }
}

const named = (partition) => (partition === DEFAULT_PARTITION ? "" : partition);

function told({ studies, isAll, faults }, open) {
  const failed = faults.map((one) => element("p", { class: "notice bad" }, `Not asked: ${one}`));
  if (!studies.length) return [...failed, element("p", {}, "No study has this StudyInstanceUID, accession number or PatientID.")];
  return [...failed, table(`${count(studies.length, "study", "studies")}${isAll ? "" : ", and maybe more: narrow it down"}`, [
    ["StudyInstanceUID", (one) => [one.studyInstanceUID, named(one.partition) ? element("span", { class: "note" }, `partition ${one.partition}`) : null], "uid"],
    ["Started", (one) => one.started || "–"],
    ["Description", (one) => one.description || "–", "wide"],
    ["Found in", (one) => [one.inDicom && "DICOM", one.inFhir && "FHIR"].filter(Boolean).join(" and ")],
    ["Actions", (one) => button("Show", one.studyInstanceUID, () => open(one.studyInstanceUID, named(one.partition))), "actions"],
  ], studies, { class: "stacking" })];
}
