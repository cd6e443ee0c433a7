/** The page: collections on the left, questions in the middle, the stored text beside them. */

import * as client from "./client.js";
import { Conversation } from "./conversation.js";
import { announce, byId, confirmed, counted, el, say } from "./dom.js";
import { contents, Documents } from "./documents.js";
import { acceptDrops } from "./drop.js";
import { Viewer } from "./viewer.js";

const CHOSEN = "footnote.collection";
const FIRST_NAME = "My documents"; // of the collection that the first dropped files create
const ALL = "";

const chooser = byId("collection");
const fileInput = byId("file-input");
let stores = [];
let isRefreshing = false;

const viewer = new Viewer();
const open = (citation) => viewer.open(citation);
const documents = new Documents({ open, changed: refresh });
new Conversation({ scope: () => chooser.value || null, open, asked: () => showLibrary(false), remark });

const nameOf = (store) => store?.name || store?.id || "";
const chosen = () => stores.find((store) => store.id === chooser.value);

client.onUnauthorized(async (wasRefused) => {
  const input = byId("key");
  input.value = "";
  byId("key-message").textContent = wasRefused
    ? "The server did not accept that key."
    : "It is kept in this tab until you close it.";
  return (await confirmed(byId("key-dialog"))) ? input.value.trim() : null;
});

/** Read the collections and show the one chosen before, else the only one, else all. */
async function load() {
  byId("retry-load").hidden = true;
  say(byId("library-message"), null);
  try {
    stores = await client.listStores();
  } catch (error) {
    say(byId("library-message"), error.message);
    byId("retry-load").hidden = false;
    return;
  }
  const remembered = sessionStorage.getItem(CHOSEN);
  const isKnown = remembered === ALL || stores.some((store) => store.id === remembered);
  await choose(isKnown ? remembered : stores.length === 1 ? stores[0].id : ALL);
}

async function choose(id) {
  chooser.replaceChildren(new Option("All collections", ALL), ...stores.map(optionFor));
  chooser.value = id;
  sessionStorage.setItem(CHOSEN, id);
  await documents.show(id || null);
  show();
}

function optionFor(store) {
  const option = new Option(nameOf(store), store.id);
  option.dir = "auto";
  return option;
}

/** A document came, went or became ready: the counts are other ones now. */
async function refresh() {
  show();
  if (isRefreshing) return;
  isRefreshing = true;
  await new Promise((resolve) => setTimeout(resolve, 500)); // many files end together
  isRefreshing = false;
  stores = await client.listStores().catch(() => stores);
  show();
}

/** Everything that depends on the chosen collection and on what it holds. */
function show() {
  const store = chosen();
  const total = stores.reduce((sum, each) => sum + each.file_counts.total, 0);
  const isEmpty = store ? documents.isEmpty : total === 0;
  byId("scope").textContent = store ? nameOf(store) : "all collections";
  byId("contents").hidden = Boolean(store) || !stores.length;
  byId("contents").replaceChildren(...(store ? [] : contents(stores, choose)));
  byId("welcome-text").replaceChildren(...welcome(store, isEmpty, total));
  byId("welcome-choose").hidden = !isEmpty;
}

function welcome(store, isEmpty, total) {
  if (isEmpty) {
    return ["Add some first: drop files anywhere onto this page. Every claim in an answer then carries a footnote "
      + "that opens the passage it rests on."];
  }
  const where = store ? el("bdi", {}, nameOf(store)) : counted(total, "document");
  return ["Answers come from ", where, " alone. Every claim carries a footnote that opens the passage it rests on; "
    + "if the answer is not in them, you will be told so."];
}

/** Why an answer may not be in the documents yet; null when all have been read. */
async function remark() {
  stores = await client.listStores().catch(() => stores);
  const counts = (chosen() ? [chosen()] : stores).map((store) => store.file_counts);
  const sum = (name) => counts.reduce((total, each) => total + each[name], 0);
  if (!sum("total") && documents.isEmpty) return "There are no documents yet. Add some, then ask again.";
  const reading = sum("in_progress");
  if (!reading) return null;
  return `${counted(reading, "document")} ${reading === 1 ? "is" : "are"} still being read. Ask again when that is done.`;
}

async function create(name) {
  const store = await client.createStore(name);
  stores = [store, ...stores];
  await choose(store.id);
  return store;
}

/** Where new files go: the chosen collection, the only one, a new first one, or the one that a person picks. */
async function targetForFiles() {
  if (chosen()) return chosen();
  if (!stores.length) return create(FIRST_NAME);
  if (stores.length > 1) {
    byId("target").replaceChildren(...stores.map(optionFor));
    if (!(await confirmed(byId("target-dialog")))) return null;
  }
  return stores.length > 1 ? stores.find((store) => store.id === byId("target").value) : stores[0];
}

async function add(files) {
  try {
    const target = await targetForFiles();
    if (!target) return;
    if (target !== chosen()) await choose(target.id);
    documents.add(files, target.id);
    announce(files.length === 1 ? `Adding ${files[0].name}` : `Adding ${files.length} files`);
    showLibrary(true);
    show();
  } catch (error) {
    say(byId("library-message"), error.message);
    showLibrary(true);
  }
}

/** Only narrow screens hide the documents; wide ones pay no heed to the class. */
function showLibrary(isShown) {
  document.body.classList.toggle("shows-library", isShown);
  byId("toggle-library").setAttribute("aria-expanded", String(isShown));
}

acceptDrops({
  receive: add,
  target: () => (chosen() ? nameOf(chosen()) : stores.length > 1 ? "a collection" : nameOf(stores[0]) || FIRST_NAME),
});
chooser.addEventListener("change", () => choose(chooser.value));
byId("retry-load").addEventListener("click", load);
byId("toggle-library").addEventListener("click", () => showLibrary(!document.body.classList.contains("shows-library")));
for (const id of ["choose-files", "welcome-choose"]) byId(id).addEventListener("click", () => fileInput.click());
fileInput.addEventListener("change", () => {
  const files = [...fileInput.files];
  fileInput.value = ""; // so that choosing the same file again is a change
  if (files.length) add(files);
});
byId("new-collection").addEventListener("click", async () => {
  const input = byId("collection-name");
  input.value = "";
  if (!(await confirmed(byId("collection-dialog"))) || !input.value.trim()) return;
  await create(input.value.trim()).catch((error) => say(byId("library-message"), error.message));
});

// On a phone the focus would call up the keyboard over half the page.
if (matchMedia("(min-width: 760px)").matches) byId("question").focus({ preventScroll: true });
load();
