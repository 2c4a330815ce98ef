// The parts of the page of one study, made of what was read.

import { breakable, element, table, time } from "./dom.js";
import { count } from "./format.js";

const MARKS = {
  same: ["ok", "same"],
  differs: ["warn", "differs"],
  left: ["", "differs, stays"],
  unknown: ["", "not known"],
};
const SHOWN_OF_VALUE = 500; // characters
const none = () => element("span", { class: "muted" }, "–");

/** One sentence: whether the two sides agree. */
export function verdict({ inDicom, inFhir, changes, failures, faults }) {
  if (!changes) return faults.length ? "Not compared: a part could not be read." : "Not compared.";
  if (inDicom === false && inFhir === false) return "This study is in neither DICOM nor FHIR: look at its StudyInstanceUID, and at the data partition.";
  const elements = changes.reduce((sum, one) => sum + one.elements.length + one.more, 0);
  const would = failures.length ? ` ${count(failures.length, "thing")} of it cannot be synced.` : "";
  if (!changes.length) return `FHIR says what DICOM holds; a rebuild would write nothing.${would}`;
  if (inDicom === false) return `DICOM does not hold this study: a rebuild would take it out of FHIR.${would}`;
  if (inFhir === false) return `FHIR does not have this study: a rebuild would make it.${would}`;
  return `FHIR differs from DICOM: a rebuild would change ${count(elements, "element")} of ${count(changes.length, "resource")}.${would}`;
}

export const faults = ({ faults: told }) => told.map((one) => element("p", { class: "notice bad", role: "alert" }, one));

export const lines = ({ lines: all }) =>
  marked(table("Patient and study: what DICOM holds beside what FHIR says", [
    ["What", (line) => [line.name, " ", element("span", { class: "note" }, ...breakable(line.element, "."))]],
    ["DICOM", (line) => several(line.dicom), "wide"],
    ["FHIR", (line) => several(line.fhir), "wide"],
    ["Compared", (line) => word(line.mark)],
  ], all, { class: "stacking sides" }), all);

export function series({ series: all, inDicom, inFhir }) {
  if (!all.length) return element("p", { class: "muted" }, "No series.");
  const [isDicomRead, isFhirRead] = [inDicom !== null, inFhir !== null];
  return marked(table("Series: DICOM, and below it FHIR where it says otherwise", [
    ["SeriesInstanceUID", (one) => one.seriesInstanceUID, "uid"],
    ...[["No.", "number", "number"], ["Modality", "modality"], ["Description", "description", "wide"], ["Started", "started"], ["Instances", "instances", "number"]]
      .map(([heading, name, kind]) => [heading, (one) => both(one, name), kind]),
    ["Compared", (one) => [one.dicom || !isDicomRead ? null : element("span", { class: "note" }, "FHIR only"), one.fhir || !isFhirRead ? null : element("span", { class: "note" }, "DICOM only"), word(one.mark)]],
  ], all, { class: "stacking" }), all);
}

export function changes({ changes: all, failures }) {
  const told = failures.map((one) => element("p", { class: "notice warn" }, `Would be recorded: ${one}`));
  if (!all) return [...told, element("p", {}, "Not known: the rebuild could not be run dry.")];
  if (!all.length) return [...told, element("p", {}, "Nothing.")];
  return [...told, ...all.map(change)];
}

export function resources({ resources: all }) {
  if (!all.length) return element("p", { class: "muted" }, "Nothing.");
  return element("ul", {}, all.map(({ reference, url, says }) =>
    element("li", { class: "uid" }, element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, reference), says ? `, ${says}` : "")));
}

export function rows({ errors }) {
  if (!errors.length) return element("p", { class: "muted" }, "None.");
  return table("Open error rows of this study, newest first", [
    ["Sequence", (row) => String(row.sequence), "number"],
    ["What is wrong", (row) => [element("span", {}, row.message), element("span", { class: "note" }, row.exception)], "wide"],
    ["Recorded in", (row) => row.table, "uid"],
    ["SOPInstanceUID", (row) => row.sopInstanceUID || "–", "uid"],
    ["Last seen", (row) => time(row.lastSeen)],
  ], errors, { class: "stacking" });
}

const METHODS = { POST: "is made", PUT: "changes", DELETE: "is deleted" };

function change({ method, url, elements, more }) {
  const what = element("h3", {}, `${url} ${METHODS[method]}`);
  if (!elements.length) return element("div", { class: "change" }, what);
  return element("div", { class: "change" }, what, table(`Elements of ${url}`, [
    ["Element", (one) => one.path, "uid"],
    ["In FHIR now", (one) => value(one.before)],
    ["After a rebuild", (one) => value(one.after)],
  ], elements, { class: "stacking" }), more ? element("p", { class: "note" }, `and ${count(more, "element")} more`) : null);
}

/** A value as it stands in FHIR, with spaces that lines can break at; long ones are cut. */
function value(held) {
  if (held == null) return none();
  const text = typeof held === "object" ? JSON.stringify(held, null, 1).replace(/\n\s*/g, " ") : String(held);
  return text.length > SHOWN_OF_VALUE ? `${text.slice(0, SHOWN_OF_VALUE)} …` : text;
}

const several = (values) => (values.length ? values.map((one) => element("span", { class: "named" }, one)) : none());

function both({ dicom, fhir }, name) {
  const [said, held] = [dicom, fhir].map((side) => (side ? String(side[name]) : ""));
  if (!dicom || !fhir || said === held) return said || held || none();
  return [element("span", { class: "named" }, said || "–"), element("span", { class: "note" }, `FHIR: ${held || "–"}`)];
}

function word(mark) {
  const [kind, text] = MARKS[mark];
  return element("span", { class: `word ${kind}` }, text);
}

/** Rows that differ are seen before they are read. */
function marked(made, all) {
  made.querySelectorAll("tbody tr").forEach((row, index) => row.classList.toggle("differing", all[index].mark === "differs"));
  return made;
}
