// The rows of an error table, with filter, paging and replay. They are read only while they are looked at.

import { get } from "./api.js";
import { byId, draw, element, Freshness } from "./dom.js";
import { rowTable } from "./error_rows.js";
import { number, openRows } from "./format.js";
import { refreshReasons } from "./reasons.js";
import { propose } from "./replay_dialog.js";

const NAMES = [
  "InvalidDicomTagExceptionTable", "DicomFailToStoreExceptionTable", "FhirFailToStoreExceptionTable",
  "TransientRetryExceptionTable", "TransientFailureExceptionTable",
];
const NARROW = matchMedia("(max-width: 45rem)");
const freshness = new Freshness(byId("errors-freshness"), byId("errors-rows"));
const inputs = Object.fromEntries(["table", "open", "study", "exception"].map((name) => [name, byId(`errors-${name}`)]));
inputs.table.append(...NAMES.map((name) => element("option", { value: name }, name)));

let page = firstPage();
let next = null;
let total = null;

/** `open` of the status' errors: how many rows each table has. */
export function showOpenRows(open) {
  for (const option of inputs.table.options) {
    const text = open ? `${option.value} (${openRows(open[option.value] ?? 0)} open)` : option.value;
    if (option.textContent !== text) option.textContent = text;
  }
}

export const refreshErrors = () => Promise.all([refreshReasons(show), byId("rows").open ? refreshRows() : null]);

async function refreshRows() {
  const asked = page;
  try {
    const { open, study, exception, after, size } = asked;
    const answer = await get(`errors/${asked.table}`, { open, study, exception, after, size });
    if (asked !== page) return; // another page was asked for meanwhile; its own answer comes
    next = answer.next ?? null;
    total = answer.total ?? total;
    if (answer.exceptions) choices(answer.exceptions);
    freshness.read();
    draw(byId("errors-rows"), { asked, rows: answer.rows }, ({ rows }) => rowTable(asked.table, rows));
    paging(answer.rows.length);
  } catch (error) {
    if (asked === page) freshness.failed(error);
  }
}

/** "Rows 11 to 20 of 525", and what can be done with them. */
function paging(shown) {
  const first = page.before.length * page.size + 1;
  byId("errors-page").textContent = shown ? `Rows ${number(first)} to ${number(first + shown - 1)} of ${openRows(total)}` : "";
  byId("errors-pages").hidden = !page.before.length && !next && !shown;
  byId("errors-previous").disabled = !page.before.length;
  byId("errors-next").disabled = !next;
  byId("errors-replay").hidden = !shown || page.open === "false";
}

/** The classes of exceptions that the table has rows of. */
function choices(exceptions) {
  const chosen = inputs.exception.value;
  const names = chosen && !exceptions.includes(chosen) ? [chosen, ...exceptions] : exceptions;
  draw(inputs.exception, names, () => [element("option", { value: "" }, "any"), ...names.map((name) => element("option", { value: name }, name))]);
  inputs.exception.value = chosen;
}

/** Of what the filter says; `before`: the `after` of each page before it. */
function firstPage() {
  const read = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
  return { ...read, size: NARROW.matches ? 5 : 10, after: null, before: [] };
}

function filter() {
  if (byId("errors-filter").reportValidity()) turn(firstPage());
}

function turn(to) {
  [page, next] = [to, null];
  return refreshRows();
}

/** Opens the rows of a reason, or of one study of it. */
function show({ table: name, exception = "", study = "" }) {
  inputs.table.value = name;
  choices(exception ? [exception] : []);
  [inputs.exception.value, inputs.study.value, inputs.open.value] = [exception, study, "true"];
  page = firstPage();
  if (byId("rows").open) refreshRows();
  else byId("rows").open = true; // which reads them
  byId("rows").scrollIntoView();
  byId("errors-rows").focus({ preventScroll: true });
}

/** The filter as a replay request; what is empty does not narrow. */
function shown() {
  const { study, exception } = page;
  return { errors: page.table, ...(study && { study }), ...(exception && { exception }) };
}

byId("errors-filter").addEventListener("submit", (event) => {
  event.preventDefault();
  filter();
});
for (const name of ["table", "open", "exception"]) {
  inputs[name].addEventListener("change", () => {
    if (name === "table") inputs.exception.value = "";
    filter();
  });
}
byId("rows").addEventListener("toggle", () => byId("rows").open && refreshRows());
byId("errors-clear").addEventListener("click", () => {
  inputs.study.value = inputs.exception.value = "";
  filter();
});
byId("errors-replay").addEventListener("click", () => propose(shown()));
byId("errors-next").addEventListener("click", () => turn({ ...page, after: next, before: [...page.before, page.after] }));
byId("errors-previous").addEventListener("click", () => turn({ ...page, after: page.before.at(-1), before: page.before.slice(0, -1) }));
