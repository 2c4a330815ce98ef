// One study: the address names it by its UID and data partition; all else is read with the function key, and kept nowhere.

import { get, key } from "./api.js";
import { byId, element, problem } from "./dom.js";
import { clock } from "./format.js";
import { asksForKey } from "./key_form.js";
import { follow } from "./study_rebuild.js";
import { search } from "./study_search.js";
import { changes, faults, lines, resources, rows, series, verdict } from "./study_view.js";

const TIMEOUT_MS = 60_000; // the app reads for 40 s at most
const PARTS = { "study-faults": faults, "study-lines": lines, "study-series": series, "study-changes": changes, "study-resources": resources, "study-rows": rows };
let asked = named();
let readings = 0; // counts; an answer to an earlier question is not shown

/** What the address names. */
function named() {
  const query = new URLSearchParams(location.search);
  return { uid: query.get("uid") ?? "", partition: query.get("partition") ?? "" };
}

async function read() {
  const mine = (readings += 1);
  const { uid, partition } = asked;
  byId("page").hidden = byId("key-form").hidden === false;
  byId("forget-key").hidden = !key.get();
  byId("ask-partition").value = partition;
  byId("study").hidden = true;
  clear();
  if (!uid) {
    byId("updated").textContent = "";
    byId("ask-text").focus();
    return;
  }
  say("Reading both sides …");
  try {
    const patients = byId("patients").checked;
    const found = await get(`study/${encodeURIComponent(uid)}`, { partition, patients }, TIMEOUT_MS);
    if (mine === readings) show(found);
  } catch (error) {
    if (mine !== readings || error.status === 401) return;
    say("");
    byId("study-faults").replaceChildren(problem(error));
    byId("study").hidden = false;
  }
}

function show(found) {
  const { studyInstanceUID, partition, readAt } = found;
  byId("study-title").textContent = `Study ${studyInstanceUID}${partition === "Microsoft.Default" ? "" : ` of partition ${partition}`}`;
  say(verdict(found));
  for (const [id, part] of Object.entries(PARTS)) byId(id).replaceChildren(...[part(found)].flat());
  byId("study").classList.toggle("nowhere", found.inDicom === false && found.inFhir === false);
  byId("rebuild").disabled = !found.changes?.length;
  byId("updated").textContent = `as of ${clock(new Date(readAt))}`;
  byId("study").hidden = false;
}

/** Takes away what is shown of a study. */
function clear() {
  for (const id of Object.keys(PARTS)) byId(id).replaceChildren();
  byId("study-title").textContent = "";
  byId("rebuild").disabled = true;
}

/** Of the reading, above the study, and as a state for who does not see. */
function say(text) {
  byId("verdict").textContent = text;
  byId("study").hidden = !text;
}

/** Goes to a study: its UID is the address. What was searched for is shown no more. */
function open(uid, partition) {
  byId("ask").reset();
  byId("found").replaceChildren();
  const query = new URLSearchParams({ uid, ...(partition && { partition }) });
  history.pushState(null, "", `?${query}`);
  asked = named();
  byId("rebuild-state").replaceChildren();
  return read();
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  readings += 1;
  say("");
  clear();
  byId("updated").textContent = "";
  search(byId("ask-text").value.trim(), byId("ask-partition").value.trim(), open);
});
byId("again").addEventListener("click", read);
byId("patients").addEventListener("change", read);
byId("rebuild").addEventListener("click", async () => {
  byId("rebuild").disabled = true;
  const request = { study: asked.uid, ...(asked.partition && { partition: asked.partition }), patients: byId("patients").checked };
  const box = byId("rebuild-state");
  try {
    await follow(request, (parts) => box.replaceChildren(...parts));
    await read();
  } catch (error) {
    if (error.status !== 401) box.replaceChildren(element("div", {}, problem(error)));
  }
});
addEventListener("popstate", () => {
  asked = named();
  read();
});

/** With a key that was entered: what was asked for without it is asked again. */
function begin() {
  byId("key-form").hidden = true;
  read();
  if (!asked.uid && byId("ask-text").value) byId("ask").requestSubmit();
}

asksForKey(begin, () => {
  readings += 1;
  byId("page").hidden = true;
  clear();
});
read();
