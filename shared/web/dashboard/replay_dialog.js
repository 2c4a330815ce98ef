// A replay from proposal to end: the dry run, what it would write, a confirmation, and the run itself, live.

import { ApiError, get, post, remove } from "./api.js";
import { byId, draw, element, problem } from "./dom.js";
import { clock } from "./format.js";
import { described, isUnderWay, isWorthRunning, progressAndResult } from "./replay.js";

const POLL_MS = 1000;
const dialog = byId("replay-dialog");
const body = byId("replay-dialog-body");
const confirm = byId("replay-dialog-confirm");
const cancel = byId("replay-dialog-cancel");
let replay = null; // the one that is followed
let opening = 0; // counts; an answer for an earlier opening is not shown
let answeredAt = null;
let marksRows; // whether a run marks open rows as resolved, even where FHIR is right already

/** Opens the dialog with a dry run of the request; `ofRows`: it is asked for because of open rows. */
export function propose(request, { ofRows = Boolean(request.errors) } = {}) {
  open(request);
  marksRows = ofRows;
  return start({ ...request, dryRun: true });
}

/** Opens the dialog with a replay that is there already. */
export function show(known) {
  open(known.request);
  replay = known;
  render();
  return follow(opening);
}

function open(request) {
  opening += 1;
  marksRows = undefined;
  [replay, answeredAt] = [null, new Date()];
  const what = described(request);
  byId("replay-dialog-title").textContent = `Replay ${what}`;
  draw(body, null, () => []);
  confirm.hidden = cancel.hidden = true;
  dialog.showModal();
}

async function start(request) {
  const mine = opening;
  confirm.hidden = true;
  say(request.dryRun ? "Asking for a dry run …" : "Asking for the replay …");
  try {
    const taken = await post("replay", request);
    if (mine !== opening) return;
    replay = taken;
    document.dispatchEvent(new CustomEvent("replays-changed"));
    render();
    await follow(mine);
  } catch (error) {
    if (mine === opening) refused(error);
  }
}

async function follow(mine) {
  while (mine === opening && dialog.open && isUnderWay(replay)) {
    await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
    if (document.hidden) continue;
    try {
      const answer = await get(`replay/${replay.id}`);
      if (mine !== opening) return;
      [replay, answeredAt] = [answer, new Date()];
      render();
    } catch (error) {
      if (mine !== opening) return;
      say(`No answer since ${clock(answeredAt)}: ${error.message}. The replay goes on by itself.`);
      if (error instanceof ApiError && error.status < 500) return;
    }
  }
  if (mine === opening && !isUnderWay(replay)) document.dispatchEvent(new CustomEvent("replays-changed"));
}

function render() {
  const isDry = Boolean(replay.request.dryRun);
  const what = isDry ? "Dry run" : "Replay";
  const notes = {
    queued: "queued: the next tick that ends well begins it", running: "running", cancelled: "cancelled", failed: "failed",
    done: isDry ? `done at ${clock(new Date(replay.updated))}. ${planned()}` : "done",
  };
  say(`${what} ${notes[replay.state]}.`);
  draw(body, replay, progressAndResult);
  cancel.hidden = !isUnderWay(replay);
  cancel.textContent = isDry ? "Cancel the dry run" : "Cancel the replay";
  confirm.hidden = !isWorthRunning(replay, marksRows);
}

function planned() {
  if (replay.writes.length) return "Nothing has been written yet";
  return isWorthRunning(replay, marksRows) ? "FHIR would not be changed; a run marks the rows as resolved" : "A run would change nothing";
}

function refused(error) {
  say("Not started.");
  cancel.hidden = true;
  draw(body, { message: error.message, errors: error.errors, opening }, () => problem(error));
}

/** A live region: it is to speak of changes alone. */
function say(text) {
  const state = byId("replay-dialog-state");
  if (state.textContent !== text) state.textContent = text;
}

confirm.addEventListener("click", () => {
  const { dryRun, ...request } = replay.request;
  byId("replay-dialog-close").focus();
  start(request);
});
cancel.addEventListener("click", async () => {
  try {
    replay = await remove(`replay/${replay.id}`);
    render();
    byId("replay-dialog-close").focus();
  } catch (error) {
    say(`Not cancelled: ${error.message}`);
  }
});
byId("replay-dialog-close").addEventListener("click", () => dialog.close());
document.addEventListener("key-needed", () => dialog.close());
