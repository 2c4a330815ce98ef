// Elements made of data. Text goes in as text nodes: nothing of the API's is ever parsed as markup.

import { clock, dateTime } from "./format.js";

export const byId = (id) => document.getElementById(id);

/** `on…` attributes are listeners; true is an attribute without a value; false and null are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value != null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child != null));
  return made;
}

/** A long name, whose lines break behind a separator. */
export const breakable = (name, separator) =>
  name.split(separator).flatMap((part, index) => (index ? [separator, element("wbr"), part] : part));

/** A button among many of its kind: its name begins with its text and ends with what it is `about`. */
export const button = (text, about, onclick, attributes = {}) =>
  element("button", { type: "button", "aria-label": `${text} ${about}`, "data-key": `${text} ${about}`, onclick, ...attributes }, text);

/** A UID in one line, with a button that copies it. */
export const uidLine = (name, uid) =>
  element("span", { class: "uid-line" }, element("span", { class: "uid" }, uid),
    button("Copy", `${name} ${uid}`, ({ currentTarget }) => copy(currentTarget, uid), { class: "copy" }));

async function copy(pressed, text) {
  const [word, ...about] = pressed.getAttribute("aria-label").split(" ");
  const say = (said) => {
    pressed.textContent = said;
    pressed.setAttribute("aria-label", [said, ...about].join(" "));
  };
  if (word !== "Copy") return;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    getSelection().selectAllChildren(pressed.previousSibling); // no right to the clipboard: it is one key away
    say("Selected");
  }
  setTimeout(() => say("Copy"), 2000);
}

/** A moment in local time, its ISO form as title. What is no time is shown as it is. */
export function time(iso) {
  if (!iso) return "unknown";
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? iso : element("time", { datetime: iso, title: iso }, dateTime(date));
}

/**
 * A table. `columns`: [heading, cell of a row, class]; the first cell of a row is its heading.
 * Roles are written out because narrow screens show rows as blocks, which takes the tables' own roles away.
 */
export function table(caption, columns, rows, attributes = {}) {
  const headings = columns.map(([heading, , kind]) => element("th", { scope: "col", role: "columnheader", class: kind }, heading));
  const bodies = rows.map((row) =>
    element("tr", { role: "row" }, columns.map(([heading, cell, kind], index) =>
      index
        ? element("td", { role: "cell", "data-label": heading, class: kind }, cell(row))
        : element("th", { scope: "row", role: "rowheader", "data-label": heading, class: kind }, cell(row)))));
  return element("table", { role: "table", ...attributes },
    element("caption", {}, caption),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, headings)),
    element("tbody", { role: "rowgroup" }, bodies));
}

const drawn = new WeakMap();

/** Draws `data` into the container unless it holds just that. Focus, and what is folded open, stay by their `data-key`. */
export function draw(container, data, render) {
  const signature = JSON.stringify(data);
  if (drawn.get(container) === signature) return;
  drawn.set(container, signature);
  const focused = container.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const open = [...container.querySelectorAll("details[open]")].map((one) => one.dataset.key);
  container.replaceChildren(...[render(data)].flat());
  for (const one of container.querySelectorAll("details")) one.open ||= open.includes(one.dataset.key);
  if (focused) (container.querySelector(`[data-key="${CSS.escape(focused)}"]`) ?? container).focus({ preventScroll: true });
}

/** The faults of a refused request, the first line of `error` above them. */
export const problem = (error) =>
  element("div", { class: "notice bad", role: "alert" },
    element("p", {}, error.message), error.errors?.length ? element("ul", {}, error.errors.map((one) => element("li", {}, one))) : null);

/** Says when a part of the page was read, and since when it could not be: what is shown then is marked as old. */
export class Freshness {
  #line;
  #parts;
  #readAt = null;
  #failedAt = null;

  constructor(line, ...parts) {
    this.#line = line;
    this.#parts = parts;
  }

  read() {
    this.#readAt = new Date();
    this.#failedAt = null;
    this.#say(`as of ${clock(this.#readAt)}`, false);
  }

  failed(error) {
    this.#failedAt ??= this.#readAt ?? new Date();
    this.#say(`Not read since ${clock(this.#failedAt)}: ${error.message}`, true);
  }

  #say(text, isOld) {
    this.#line.textContent = text;
    this.#line.classList.toggle("old", isOld);
    for (const part of this.#parts) part.classList.toggle("old", isOld);
  }
}
