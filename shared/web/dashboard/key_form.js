// The form that asks for the function key: shown where a request was answered with 401.

import { key } from "./api.js";
import { byId } from "./dom.js";

/** `begin` is called once a key was entered, and hides the form; `hide` takes away all that was shown with the one before. */
export function asksForKey(begin, hide) {
  document.addEventListener("key-needed", ({ detail }) => {
    if (detail.sent !== key.get()) return; // an answer to a key that has been replaced
    key.forget();
    hide();
    byId("forget-key").hidden = true;
    byId("key-message").textContent = detail.sent ? "This key was not taken (401). Enter another." : "";
    if (!byId("key-form").hidden) return;
    byId("key-form").hidden = false;
    byId("key").focus();
  });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = byId("key").value.trim();
    if (!key.isOne(given)) {
      byId("key-message").textContent = "A key has no spaces and no letters beyond ASCII: copy it anew.";
      return;
    }
    key.set(given);
    byId("key").value = "";
    begin();
  });
  byId("forget-key").addEventListener("click", () => {
    key.forget();
    location.reload();
  });
}
