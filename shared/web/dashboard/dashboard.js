// The page: asks for the key, refreshes all parts while the tab is seen, and says when there is no answer.

import { get, isHealthy, key, UnreachableError } from "./api.js";
import "./check.js";
import { byId } from "./dom.js";
import { refreshErrors, showOpenRows } from "./errors.js";
import { clock, zone } from "./format.js";
import { hours, refreshHistory, showNow } from "./history.js";
import { asksForKey } from "./key_form.js";
import { refreshAudit } from "./audit.js";
import { refreshReplays } from "./replays.js";
import { light, showLight, showStatus } from "./status.js";
import { showStudyLinks } from "./study_link.js";

const REFRESH_MS = 5000;
const REPLAY_MS = 2000; // while one is under way
const OLD_MS = 15_000; // an answer older than this is marked as old
const RARELY = 3; // refreshes to one of history, and of errors while as many rows are open as before
const WEEKLY = 12; // and to one of a week's history
let timer = null;
let isRefreshing = false;
let refreshes = 0;
let answeredAt = null;
let missingSince = null;
let isKeyMissing = false;
let openCounts = null; // when the errors were read last

async function refresh() {
  if (isRefreshing) return;
  isRefreshing = true;
  clearTimeout(timer);
  let isReplaying = false;
  const isAsked = !isKeyMissing;
  try {
    const [health, status] = await Promise.allSettled([isHealthy(), isAsked ? get("status") : null]);
    if (isKeyMissing) {
      showLight(health.reason ? ["none", "No answer"] : light(health.value, null));
    } else if (isAsked) {
      byId("key-form").hidden = true;
      byId("board").hidden = false;
      byId("forget-key").hidden = !key.get();
      isReplaying = await parts(health, status);
    }
  } finally {
    isRefreshing = false;
    const wait = isReplaying ? REPLAY_MS : REFRESH_MS;
    if (!document.hidden) timer = setTimeout(refresh, isAsked || isKeyMissing ? wait : 0); // the key was given meanwhile
  }
}

/** Shows what was answered; whether a replay is under way. */
async function parts(health, status) {
  if (status.reason?.status === 401) return false; // of a key that was replaced meanwhile
  if (status.status === "rejected") {
    noAnswer(health, status.reason);
    if (status.reason instanceof UnreachableError) return false;
  } else {
    showStudyLinks(status.value.settings);
    showStatus(status.value);
    showOpenRows(status.value.errors?.open);
    showNow(status.value);
    showLight(light(health.value ?? null, status.value.state, status.value.action));
    [answeredAt, missingSince] = [new Date(), null];
    byId("updated").textContent = `as of ${clock(answeredAt)}`;
    byId("banner").hidden = true;
    markOld();
  }
  const rare = [];
  if (refreshes % (hours() > 24 ? WEEKLY : RARELY) === 0) rare.push(refreshHistory());
  if (refreshes % RARELY === 0) rare.push(refreshAudit());
  const counts = JSON.stringify(status.value?.errors?.open ?? null);
  if (refreshes % RARELY === 0 || counts !== openCounts) {
    openCounts = counts;
    rare.push(refreshErrors());
  }
  refreshes += 1;
  const [isReplaying] = await Promise.all([refreshReplays(), ...rare]);
  return isReplaying;
}

function noAnswer(health, reason) {
  missingSince ??= answeredAt ?? new Date();
  const since = clock(missingSince);
  const isUnreachable = reason instanceof UnreachableError;
  const text = isUnreachable ? `No answer since ${since}` : `No status since ${since}: ${reason.message}`;
  showLight(isUnreachable ? ["none", `No answer since ${since}`] : light(health.value ?? null, null));
  if (byId("banner").textContent !== text) byId("banner").textContent = text;
  byId("banner").hidden = false;
  markOld();
}

/** Numbers that no answer stands behind any more are shown as old, also where a request hangs or the machine slept. */
function markOld() {
  const isOld = missingSince !== null || (answeredAt !== null && Date.now() - answeredAt > OLD_MS);
  byId("board").classList.toggle("old", isOld);
  if (!isOld || !answeredAt) return;
  byId("updated").textContent = `what is shown is of ${clock(answeredAt)}`;
  if (!missingSince && !isKeyMissing) showLight(["none", `Last heard at ${clock(answeredAt)}`]);
}

asksForKey(
  () => {
    isKeyMissing = false;
    refreshes = 0;
    refresh();
  },
  () => {
    isKeyMissing = true;
    byId("board").hidden = true;
    byId("updated").textContent = "";
  },
);
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  markOld();
  if (!document.hidden) refresh();
});
document.addEventListener("replays-changed", refreshErrors);
byId("zone").textContent = zone();
byId("begin-replay").open = !matchMedia("(max-width: 45rem)").matches;
key.takeFromFragment();
setInterval(markOld, 1000);
refresh();
