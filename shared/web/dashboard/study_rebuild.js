// The rebuild of a study, followed to its end.

import { get, post } from "./api.js";
import { element } from "./dom.js";
import { isUnderWay, progressAndResult, stateWord } from "./replay.js";

const POLL_MS = 1000;

/** Asks for the replay and shows how it goes; comes back when it has ended. Raises ApiError, UnreachableError. */
export async function follow(request, show) {
  let replay = await post("replay", request);
  for (;;) {
    const state = element("p", {}, "Rebuild: ", stateWord(replay));
    show([state, ...(isUnderWay(replay) || replay.errors.length ? progressAndResult(replay) : [])]);
    if (!isUnderWay(replay)) return;
    await new Promise((done) => setTimeout(done, POLL_MS));
    replay = await get(`replay/${replay.id}`);
  }
}
