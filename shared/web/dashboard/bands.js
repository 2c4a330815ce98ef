// Times in which ticks failed, and in which none ended: bands behind the plots, and the same in words.

import { dateTime, hourMinute } from "./format.js";

const SLOT = 300; // seconds, of the API's slots
const LEAST_GAP = 900;
const TOLD = 3;

/** `slots` of the API, `now` in seconds; the slot of now is not over, and while a tick is at work it has not failed. */
export function bandsOf(slots, now, isTickAtWork) {
  const begins = slots.map(({ start }) => Date.parse(start) / 1000);
  const steps = begins.slice(1).map((begin, index) => begin - begins[index]).sort((one, other) => one - other);
  const usual = steps.length ? steps[Math.floor(steps.length / 2)] : 0; // the schedule may be of any length
  const bands = [];
  for (const [index, begin] of begins.entries()) {
    if (slots[index].failedTicks) join(bands, { from: begin, to: Math.min(begin + SLOT, now), kind: "failed" });
    const isLast = index === begins.length - 1;
    const next = isLast ? now : begins[index + 1];
    if (next - begin > Math.max(LEAST_GAP, 3 * usual) && !(isLast && isTickAtWork)) join(bands, { from: begin + SLOT, to: next, kind: "none" });
  }
  return bands;
}

function join(bands, band) {
  const last = bands.at(-1);
  if (last?.kind === band.kind && band.from <= last.to) last.to = band.to;
  else bands.push(band);
}

const WORDS = { failed: "Ticks failed", none: "No tick ended" };

/** "Ticks failed 26 Nov 2026, 21:05 – 21:20." The latest, and how many before them. */
export function bandSummary(bands) {
  const told = bands.slice(-TOLD).map(({ from, to, kind }) => `${WORDS[kind]} ${dateTime(new Date(from * 1000)).slice(0, -3)} – ${hourMinute(new Date(to * 1000))}.`);
  return [...told, bands.length > TOLD ? `And ${bands.length - TOLD} times before.` : ""].filter(Boolean).join(" ");
}
