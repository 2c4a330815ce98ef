// Links to the page of a study, where the settings do not turn it off.

import { byId, element } from "./dom.js";

const DEFAULT_PARTITION = "Microsoft.Default";
let isOn = false;

/** What the status says of the settings. */
export function showStudyLinks(settings) {
  isOn = settings.DicomCast__Features__StudyPage?.toLowerCase() !== "false";
  byId("to-studies").hidden = !isOn;
}

/** A link to the study's page, beside its UID; null where there is none. The page names its files as seen from beside it. */
export function studyLink(uid, partition) {
  if (!isOn || !uid) return null;
  const query = new URLSearchParams({ uid, ...(partition && partition !== DEFAULT_PARTITION && { partition }) });
  return element("a", { href: `dashboard/study?${query}`, "aria-label": `Study page ${uid}`, "data-key": `study ${uid}` }, "Study page");
}
