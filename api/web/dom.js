/** Small ways of building the page. Data only ever becomes text nodes and properties, never markup. */

/** The element with this id; a missing one is a mistake in index.html. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element #${id}`);
  return found;
}

/** A new element: `el("p", { className: "hint" }, "text", child)`; strings become text nodes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "role") element.setAttribute(name, value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show `text` in an element, or hide the element where there is none. */
export function say(element, text) {
  element.textContent = text ?? "";
  element.hidden = !text;
}

/** Tell people who listen to the page what has just happened. */
export function announce(text) {
  const region = byId("announcer");
  region.textContent = "";
  // An equal text twice in a row is read twice only when the region was empty in between.
  setTimeout(() => { region.textContent = text; }, 50);
}

/** Open a modal dialog; true when it was left through its "ok" button. */
export function confirmed(dialog) {
  dialog.returnValue = "";
  dialog.querySelector(".cancel").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok"), { once: true });
  });
}

/** "1 page", "1,204 pages". */
export function counted(number, singular) {
  return `${number.toLocaleString("en")} ${singular}${number === 1 ? "" : "s"}`;
}
