// The latest replays with their progress, and the forms that begin one.

import { get, remove } from "./api.js";
import { byId, button, draw, element, Freshness, time } from "./dom.js";
import { described, isUnderWay, isWorthRunning, progressAndResult, stateWord } from "./replay.js";
import { propose, show } from "./replay_dialog.js";

const LATEST = 4;
const freshness = new Freshness(byId("replays-freshness"), byId("replays-list"));

/** Whether one is under way. */
export async function refreshReplays() {
  try {
    const { replays } = await get("replay");
    freshness.read();
    draw(byId("replays-list"), replays, list);
    return replays.some(isUnderWay);
  } catch (error) {
    freshness.failed(error);
    return false;
  }
}

function list(replays) {
  if (!replays.length) return element("p", { class: "muted card" }, "No replay yet.");
  const [latest, earlier] = [replays.slice(0, LATEST), replays.slice(LATEST)].map((some) =>
    element("ul", { class: "plain" }, some.map((replay) => element("li", { class: "card replay" }, item(replay)))));
  return replays.length > LATEST ? [latest, element("details", { class: "card", "data-key": "earlier" }, element("summary", {}, "Earlier replays"), earlier)] : latest;
}

function item(replay) {
  const { id, request, created, updated } = replay;
  const what = described(request);
  return [
    element("div", { class: "heading" },
      element("h3", {}, what[0].toUpperCase() + what.slice(1)),
      element("span", {}, request.dryRun ? element("span", { class: "word" }, "dry run") : null, stateWord(replay))),
    element("p", { class: "note" }, "begun ", time(created), isUnderWay(replay) ? ", last heard of " : ", ended ", time(updated)),
    ...progressAndResult(replay).map(closed),
    element("div", { class: "row" },
      isUnderWay(replay) ? button("Cancel", what, (event) => cancel(event, id)) : null,
      isUnderWay(replay) ? button("Follow …", what, () => show(replay)) : null,
      isWorthRunning(replay) ? button("Run for real …", what, () => show(replay)) : null),
  ];
}

/** In the list details begin folded. */
function closed(part) {
  part.removeAttribute("open");
  return part;
}

async function cancel(event, id) {
  event.target.disabled = true;
  try {
    await remove(`replay/${id}`);
    await refreshReplays();
  } catch (error) {
    freshness.failed(error);
  }
}

/** A form that begins a dry run; `requestOf` makes the request of its named fields. */
function begins(id, requestOf) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    propose(requestOf(Object.fromEntries(new FormData(event.target))));
  });
}

begins("replay-study", ({ study, partition }) => ({ study: study.trim(), ...(partition.trim() && { partition: partition.trim() }) }));
begins("replay-sequence", ({ from, to }) => ({ sequence: { from: Number(from), ...(to && { to: Number(to) }) } }));
begins("replay-time", ({ from, to }) => ({ time: { from: new Date(from).toISOString(), to: new Date(to).toISOString() } }));
document.addEventListener("replays-changed", refreshReplays);
