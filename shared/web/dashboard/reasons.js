// The open error rows by reason and study, newest first: how many, what to do, and a way to the rows themselves.

import { get } from "./api.js";
import { byId, button, draw, element, Freshness, table, time, uidLine } from "./dom.js";
import { count, number } from "./format.js";
import { propose } from "./replay_dialog.js";
import { studyLink } from "./study_link.js";

export const DEFAULT_PARTITION = "Microsoft.Default";
const LISTED = 5; // studies of a reason; the others are folded
const freshness = new Freshness(byId("reasons-freshness"), byId("reasons"));

/** `show` takes what is asked for of the rows: table, exception, study. */
export async function refreshReasons(show) {
  try {
    const answer = await get("errors");
    freshness.read();
    draw(byId("reasons"), answer, (found) => overview(found, show));
  } catch (error) {
    freshness.failed(error);
  }
}

function overview({ rows, isWhole, reasons, moreReasons }, show) {
  if (!rows) return element("p", { class: "muted" }, "No row is open: nothing waits for a person.");
  const most = isWhole ? "" : ` A table has more than the 1,000 that were read: these are the first of it.`;
  const others = moreReasons ? ` ${count(moreReasons, "older reason")} not listed.` : "";
  return [
    element("div", { class: "heading" },
      element("p", {}, `${count(rows, "open row")}, ${count(reasons.length + moreReasons, "reason")}.${most}${others}`),
      button("Replay all …", "open rows", () => propose({ errors: "all" }))),
    element("ul", { class: "plain" }, reasons.map((one) => element("li", { class: "reason" }, reason(one, show)))),
  ];
}

function reason(one, show) {
  const { studies, moreStudies, table: name, exception } = one;
  const about = `${exception} ${one.message}`.slice(0, 120);
  const isOfTag = one.message.startsWith("(");
  const [listed, folded] = [studies.slice(0, LISTED), studies.slice(LISTED)];
  return [
    element("h3", {}, isOfTag ? one.message : exception),
    isOfTag ? null : element("p", {}, one.message),
    element("p", { class: "note" }, `${count(one.rows, "row")} of ${count(studies.length + moreStudies, "study", "studies")} in ${name}, last seen `, time(one.lastSeen), isOfTag ? ` (${exception})` : ""),
    element("p", {}, element("strong", {}, "What to do: "), `${one.remedy}.`),
    element("div", { class: "row" },
      button("Show rows", about, () => show({ table: name, exception })),
      isOfTag ? null : button("Replay these …", about, () => propose({ errors: name, exception }))),
    studyTable(one, listed, show),
    folded.length ? element("details", { "data-key": `more ${about}` },
      element("summary", {}, `${count(folded.length, "other study", "other studies")}${moreStudies ? `, and ${number(moreStudies)} not listed` : ""}`),
      studyTable(one, folded, show)) : null,
  ].filter(Boolean);
}

function studyTable({ table: name, exception, message }, studies, show) {
  return table("Studies, newest first", [
    ["StudyInstanceUID", (one) => [one.studyInstanceUID ? uidLine("StudyInstanceUID", one.studyInstanceUID) : "of no study that is known", studyLink(one.studyInstanceUID, one.partition), ...details(one, message)], "uid"],
    ["Rows", (one) => number(one.rows), "number"],
    ["Last seen", (one) => time(one.lastSeen)],
    ["Actions", (one) => [
      button("Show rows", `of study ${one.studyInstanceUID} ${exception}`, () => show({ table: name, exception, study: one.studyInstanceUID }), { disabled: !one.studyInstanceUID }),
      button("Rebuild …", `study ${one.studyInstanceUID}, ${exception}`, () => propose({ study: one.studyInstanceUID, partition: partitionOf(one) }, { ofRows: true }), { disabled: !one.studyInstanceUID }),
    ], "actions"],
  ], studies, { class: "stacking studies" });
}

/** What is not said by the reason already. */
const details = (one, message) =>
  [partitionOf(one) && `partition ${one.partition}`, one.message !== message && one.message]
    .filter(Boolean).map((said) => element("span", { class: "note" }, said));

/** The data partition that has to be about, undefined for the default one. */
export const partitionOf = ({ partition }) => (partition === DEFAULT_PARTITION ? undefined : partition);
