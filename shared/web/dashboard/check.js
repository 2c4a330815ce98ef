// The self-check of the deployment, at the push of a button: one step after the other, each shown as it ends.

import { get } from "./api.js";
import { byId, draw, element, problem, table } from "./dom.js";
import { clock, duration } from "./format.js";

const WORDS = { ok: "ok", failed: "bad", skipped: "" };
const STEP_MS = 60_000; // the app gives a step 40 s

byId("check").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  const result = byId("check-result");
  const steps = [];
  const show = (heading) => draw(result, [heading.textContent, steps], () => [heading, steps.length ? report(steps) : null].filter(Boolean));
  try {
    for (let next = { step: 1, name: "settings" }; next;) {
      show(element("p", {}, `Checking ${next.name} …`));
      const answer = await get("check", { step: next.step }, STEP_MS);
      steps.push(...answer.steps);
      next = answer.next;
    }
    show(verdict(steps));
  } catch (error) {
    show(problem(error));
  }
  target.disabled = false;
  target.focus();
});

/** What failed, and what to do about it, stands first: on a phone the steps are long. */
function verdict(steps) {
  const [at, failed] = [clock(new Date()), steps.filter(({ state }) => state === "failed")];
  if (!failed.length) return element("p", {}, `At ${at}: all is well.`);
  return element("div", { class: "notice bad" },
    element("p", {}, `At ${at}: ${failed.length} of ${steps.length} steps failed.`),
    element("ul", {}, failed.map(({ name, message, action }) => element("li", {}, `${name}: ${message}. What to do: ${action}.`))));
}

const report = (steps) =>
  table("Steps of the self-check", [
    ["Step", (step) => step.name],
    ["State", (step) => element("span", { class: `word ${WORDS[step.state]}` }, step.state)],
    ["Took", (step) => duration(step.seconds), "number"],
    ["Found", (step) => step.message, "wide"],
    ["What to do", (step) => step.action ?? "", "wide"],
  ], steps, { class: "stacking" });
