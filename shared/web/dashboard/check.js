// The self-check of the deployment, at the push of a button.

import { get } from "./api.js";
import { byId, draw, element, problem, table } from "./dom.js";
import { clock, duration } from "./format.js";

const WORDS = { ok: "ok", failed: "bad", skipped: "" };

byId("check").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  const result = byId("check-result");
  draw(result, "asked", () => element("p", {}, "Checking …"));
  try {
    draw(result, await get("check"), report);
  } catch (error) {
    draw(result, error.message, () => problem(error));
  }
  target.disabled = false;
  target.focus();
});

function report({ ok, steps }) {
  return [
    element("p", {}, `At ${clock(new Date())}: ${ok ? "all is well." : "something needs attention."}`),
    table("Steps of the self-check", [
      ["Step", (step) => step.name],
      ["State", (step) => element("span", { class: `word ${WORDS[step.state]}` }, step.state)],
      ["Took", (step) => duration(step.seconds), "number"],
      ["What to do", (step) => step.message, "wide"],
    ], steps, { class: "stacking" }),
  ];
}
