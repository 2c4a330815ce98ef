// The error tables: how many rows are open, and the rows themselves with filter, paging and replay.

import { get } from "./api.js";
import { byId, button, draw, element, Freshness, table, time } from "./dom.js";
import { number, openRows } from "./format.js";
import { propose } from "./replay_dialog.js";

const MEANINGS = {
  InvalidDicomTagExceptionTable: "An optional tag was invalid and left out; the entry is in FHIR.",
  DicomFailToStoreExceptionTable: "A required tag is missing or invalid; the entry is not in FHIR.",
  FhirFailToStoreExceptionTable: "The FHIR server refused the entry; it is not in FHIR.",
  TransientRetryExceptionTable: "A transient fault; the entry is tried again by itself.",
  TransientFailureExceptionTable: "A transient fault outlasted its retries; the entry is not in FHIR.",
};
const NAMES = Object.keys(MEANINGS);
const PAGE_SIZE = 10;
const DEFAULT_PARTITION = "Microsoft.Default";
const freshness = new Freshness(byId("errors-freshness"), byId("errors-rows"));
const inputs = Object.fromEntries(["table", "open", "study", "exception"].map((name) => [name, byId(`errors-${name}`)]));
inputs.table.append(...NAMES.map((name) => element("option", { value: name }, name)));

let page = { ...read(), after: null, before: [] }; // what is shown; `before`: the `after` of each page before it
let next = null;
let isChosen = false;

/** `errors` of the status; null where storage did not answer. Until a table is chosen, that of the newest row is shown. */
export function showOpenRows(errors) {
  draw(byId("open-rows"), errors?.open ?? null, counts);
  if (!isChosen && errors?.newest.length) {
    isChosen = true;
    inputs.table.value = errors.newest[0].table;
    turn({ ...page, table: inputs.table.value });
  }
}

export async function refreshErrors() {
  const asked = page;
  try {
    const { open, study, exception, after } = asked;
    const answer = await get(`errors/${asked.table}`, { open, study, exception, after, size: PAGE_SIZE });
    if (asked !== page) return; // another page was asked for meanwhile; its own answer comes
    next = answer.next ?? null;
    freshness.read();
    draw(byId("errors-rows"), { asked, rows: answer.rows }, ({ rows }) => rowTable(rows));
  } catch (error) {
    if (asked === page) freshness.failed(error);
  }
  byId("errors-page").textContent = `Page ${page.before.length + 1}`;
  byId("errors-previous").disabled = !page.before.length;
  byId("errors-next").disabled = !next;
}

function read() {
  return Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
}

function filter() {
  isChosen = true;
  if (byId("errors-filter").reportValidity()) turn({ ...read(), after: null, before: [] });
}

function turn(to) {
  [page, next] = [to, null];
  return refreshErrors();
}

/** The filter as a replay request; what is empty does not narrow. */
function shown() {
  const { study, exception } = page;
  return { errors: page.table, ...(study && { study }), ...(exception && { exception }) };
}

function counts(open) {
  if (!open) return element("p", {}, "Open rows: unknown, the storage account did not answer.");
  return [
    table("Open rows by table", [
      ["Table", (name) => [element("span", { class: "uid" }, name), element("span", { class: "note" }, MEANINGS[name])]],
      ["Open", (name) => element("span", { class: `word ${open[name] ? "warn" : "ok"}` }, openRows(open[name] ?? 0)), "number"],
      ["Actions", (name) => [
        button("Show", name, () => pick(name)),
        button("Replay …", name, () => propose({ errors: name }), { disabled: !open[name] }),
      ], "actions"],
    ], NAMES, { class: "stacking" }),
    button("Replay all …", "tables", () => propose({ errors: "all" }), { disabled: !Object.values(open).some(Boolean) }),
  ];
}

function pick(name) {
  inputs.table.value = name;
  inputs.study.value = inputs.exception.value = "";
  filter();
  byId("rows-title").scrollIntoView();
  inputs.table.focus({ preventScroll: true });
}

function rowTable(rows) {
  if (!rows.length) return element("p", { class: "muted" }, "No rows.");
  return table(`Rows of ${page.table}`, [
    ["Sequence", (row) => (row.sequence ? number(row.sequence) : "–"), "number"],
    ["What is wrong", (row) => [element("span", {}, row.message), element("span", { class: "note" }, row.exception)], "wide"],
    ["UIDs", uids, "uid"],
    ["Seen", seen],
    ["Actions", (row) => [
      button("Replay entry …", row.sequence, () => propose({ sequence: { from: row.sequence, to: row.sequence } }, ofRow(row)), { disabled: !row.sequence }),
      button("Rebuild study …", `of entry ${row.sequence}`, () => propose({ study: row.studyInstanceUID, partition: partitionOf(row) }, ofRow(row)), { disabled: !row.studyInstanceUID }),
    ], "actions"],
  ], rows, { class: "stacking failures" });
}

const ofRow = ({ resolvedAt }) => ({ ofRows: !resolvedAt });

/** The data partition that has to be named, undefined for the default one. */
const partitionOf = ({ partition }) => (partition === DEFAULT_PARTITION ? undefined : partition);

const uids = (row) =>
  [["Study", row.studyInstanceUID], ["Series", row.seriesInstanceUID], ["SOP instance", row.sopInstanceUID], ["Partition", partitionOf(row)]]
    .filter(([, value]) => value)
    .map(([name, value]) => element("span", { class: "named" }, element("span", { class: "muted" }, `${name} `), value));

/** A retry of DICOM Cast's own time: such rows have no `firstSeen`. */
const isHistory = ({ table, firstSeen }) => table === "TransientRetryExceptionTable" && !firstSeen;

const seen = (row) => [
  element("span", { class: "named" }, "last ", time(row.lastSeen)),
  row.firstSeen === row.lastSeen ? null : element("span", { class: "named muted" }, "first ", time(row.firstSeen)),
  element("span", { class: "named" }, row.resolvedAt ? ["resolved ", time(row.resolvedAt)] : isHistory(row) ? "noted by DICOM Cast, not tried again" : "open", row.retryNumber ? `, ${number(row.retryNumber)} retries` : ""),
];

byId("errors-filter").addEventListener("submit", (event) => {
  event.preventDefault();
  filter();
});
inputs.table.addEventListener("change", filter);
inputs.open.addEventListener("change", filter);
byId("errors-clear").addEventListener("click", () => {
  inputs.study.value = inputs.exception.value = "";
  filter();
});
byId("errors-replay").addEventListener("click", () => propose(shown()));
byId("errors-next").addEventListener("click", () => turn({ ...page, after: next, before: [...page.before, page.after] }));
byId("errors-previous").addEventListener("click", () => turn({ ...page, after: page.before.at(-1), before: page.before.slice(0, -1) }));
