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
    const failed = steps.filter(({ state }) => state === "failed").length;
    show(element("p", {}, `At ${clock(new Date())}: ${failed ? `${failed} of ${steps.length} steps failed.` : "all is well."}`));
  } catch (error) {
    show(problem(error));
  }
  target.disabled = false;
  target.focus();
});

const report = (steps) =>
  table("Steps of the self-check", [
    ["Step", (step) => step.name],
    ["State", (step) => element("span", { class: `word ${WORDS[step.state]}` }, step.state)],
    ["Took", (step) => duration(step.seconds), "number"],
    ["Found", (step) => step.message, "wide"],
    ["What to do", (step) => step.action ?? "", "wide"],
  ], steps, { class: "stacking" });
