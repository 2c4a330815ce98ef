// Rows of an error table as they are shown.

import { button, element, table, time, uidLine } from "./dom.js";
import { count, sequence } from "./format.js";
import { partitionOf } from "./reasons.js";
import { propose } from "./replay_dialog.js";
import { studyLink } from "./study_link.js";

export function rowTable(name, rows) {
  if (!rows.length) return element("p", { class: "muted" }, "No rows.");
  return table(`Rows of ${name}`, [
    ["Sequence", (row) => (row.sequence ? sequence(row.sequence) : "–"), "number"],
    ["What is wrong", (row) => [element("span", {}, row.message), element("span", { class: "note" }, row.exception)], "wide"],
    ["StudyInstanceUID", uids, "uid"],
    ["Seen", seen],
    ["Actions", (row) => [
      button("Replay entry …", row.sequence, () => propose({ sequence: { from: row.sequence, to: row.sequence } }, ofRow(row)), { disabled: !row.sequence }),
      button("Rebuild study …", `of entry ${row.sequence}`, () => propose({ study: row.studyInstanceUID, partition: partitionOf(row) }, ofRow(row)), { disabled: !row.studyInstanceUID }),
    ], "actions"],
  ], rows, { class: "stacking failures" });
}

const ofRow = ({ resolvedAt }) => ({ ofRows: !resolvedAt });

/** The study's in one line; series and instance are folded. */
const uids = (row) => [
  row.studyInstanceUID ? uidLine("StudyInstanceUID", row.studyInstanceUID) : "not known",
  studyLink(row.studyInstanceUID, row.partition),
  partitionOf(row) && element("span", { class: "named muted" }, `partition ${row.partition}`),
  row.sopInstanceUID && element("details", { "data-key": `uids ${row.table} ${row.exception} ${row.sequence} ${row.message}` },
    element("summary", {}, "series and instance"),
    element("span", { class: "named muted" }, "SeriesInstanceUID"), uidLine("SeriesInstanceUID", row.seriesInstanceUID),
    element("span", { class: "named muted" }, "SOPInstanceUID"), uidLine("SOPInstanceUID", row.sopInstanceUID)),
];

/** A retry of DICOM Cast's own time: such rows have no `firstSeen`. */
const isHistory = ({ table, firstSeen }) => table === "TransientRetryExceptionTable" && !firstSeen;

const seen = (row) => [
  element("span", { class: "named" }, "last ", time(row.lastSeen)),
  row.firstSeen === row.lastSeen ? null : element("span", { class: "named muted" }, "first ", time(row.firstSeen)),
  element("span", { class: "named" }, row.resolvedAt ? ["resolved ", time(row.resolvedAt)] : isHistory(row) ? "noted by DICOM Cast, not tried again" : "open", row.retryNumber ? `, ${count(row.retryNumber, "retry", "retries")}` : ""),
];
