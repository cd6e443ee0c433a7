/** Files dropped anywhere onto the page, folders included. */

import { byId } from "./dom.js";

/** Call `receive(files)` for every drop; `target()` names where they would go. */
export function acceptDrops({ receive, target }) {
  const veil = byId("drop-veil");
  let depth = 0; // dragenter and dragleave fire for every element that the pointer crosses
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const show = (visible) => {
    if (!visible) depth = 0;
    veil.hidden = !visible;
  };

  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    byId("drop-target").textContent = target();
    show(true);
  });
  addEventListener("dragleave", (event) => {
    if (carriesFiles(event) && (depth -= 1) <= 0) show(false);
  });
  addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    show(false);
    const files = await droppedFiles(event.dataTransfer);
    if (files.length && !document.querySelector("dialog:modal")) receive(files);
  });
}

/** The transfer is readable only until the event ends, so its entries are taken before the first await. */
async function droppedFiles(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const taken = items.map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const found = await Promise.all(taken.map(({ entry, file }) => (entry?.isDirectory ? filesBelow(entry) : [file])));
  return found.flat().filter(Boolean);
}

async function filesBelow(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null)];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    // A folder is read in batches of at most 100 entries; an empty one is its end.
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (!entries.length) return files;
    for (const child of entries) files.push(...(await filesBelow(child)));
  }
}
