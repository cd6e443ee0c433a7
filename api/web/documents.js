/** The documents of the chosen collection: listed, added, watched until they are ready, deleted. */

import * as client from "./client.js";
import { announce, byId, confirmed, counted, el, say } from "./dom.js";
import { DocumentRow } from "./document-row.js";
import { upload } from "./uploads.js";

const WATCH_INTERVAL = 1000; // milliseconds
const HIDDEN_INTERVAL = 5000; // milliseconds, while nobody looks at the page
const WATCHED_ALONE = 4; // documents outside the first page that one round asks for, one request each

export class Documents {
  /** `open(citation)` shows a document's text; `changed()` hears that a document has come, gone or become ready. */
  constructor({ open, changed }) {
    this.open = open;
    this.changed = changed;
    this.rows = [];
    this.store = null;
    this.after = null;
    this.removed = new Set(); // ids deleted here: a listing that was under way may still name them
    this.timer = null;
    this.list = byId("documents");
    this.more = byId("more-documents");
    this.more.addEventListener("click", () => this.#showMore());
  }

  /** Show the documents of this collection; null shows none. */
  async show(store) {
    this.store = store;
    this.after = null;
    this.more.hidden = true;
    // Uploads of other collections go on; what the server lists is read afresh.
    this.rows = this.rows.filter((row) => isUnderWay(row));
    this.#render();
    if (store) await this.#load();
  }

  /** Upload these files into a collection. */
  add(files, store) {
    for (const file of files) {
      const row = this.#row({ id: null, store, upload: file, filename: file.name, status: "queued", progress: 0 });
      this.rows.unshift(row);
      this.#send(row);
    }
    this.#render();
  }

  get isEmpty() {
    return !this.rows.some((row) => row.document.store === this.store);
  }

  async #send(row) {
    await upload(row);
    if (row.document.status === "cancelled") return this.#drop(row);
    if (row.document.status === "failed") announce(`${row.document.filename} failed: ${row.document.last_error.message}`);
    this.changed();
    this.#watch();
  }

  #row(document) {
    const row = new DocumentRow(document, {
      open: () => this.open({ file_id: document.id, vector_store_id: document.store, filename: document.filename }),
      remove: () => this.#remove(row),
      retry: () => this.#send(row),
    });
    return row;
  }

  async #load() {
    const { store } = this;
    try {
      const page = await client.listFiles(store, this.after);
      if (store !== this.store) return;
      this.#merge(page.data);
      this.after = page.last_id;
      this.more.hidden = !page.has_more;
      say(byId("library-message"), null);
    } catch (error) {
      if (store === this.store) say(byId("library-message"), error.message);
    }
    this.#render();
    this.#watch();
  }

  async #showMore() {
    this.more.disabled = true;
    await this.#load();
    this.more.disabled = false;
  }

  /** Take over what the server says about these files; new ones keep its order, newest first. */
  #merge(files) {
    const known = new Map(this.rows.map((row) => [`${row.document.store} ${row.document.id}`, row]));
    for (const file of files) {
      const row = known.get(`${this.store} ${file.id}`);
      if (row) this.#update(row, file);
      else if (!this.removed.has(file.id)) this.rows.push(this.#row({ filename: file.id, ...file, store: this.store }));
    }
  }

  #update(row, file) {
    const before = row.document.status;
    if (row.isUploading) return;
    row.update(file);
    const { status, filename, last_error: error } = row.document;
    if (status === before) return;
    if (status === "completed") announce(`${filename} is ready.`);
    if (status === "failed") announce(`${filename} failed: ${error?.message ?? "it could not be read"}`);
    this.changed();
  }

  #watch() {
    if (this.timer || !this.rows.some(isBeingRead)) return;
    const interval = document.hidden ? HIDDEN_INTERVAL : WATCH_INTERVAL;
    this.timer = setTimeout(async () => {
      await this.#look();
      this.timer = null;
      this.#watch();
    }, interval);
  }

  /** One look at all that is being read: the shown collection's newest page, then some of the rest. */
  async #look() {
    const { store } = this;
    const seen = new Set();
    try {
      if (store && this.rows.some((row) => row.document.store === store && isBeingRead(row))) {
        const page = await client.listFiles(store);
        if (store === this.store) this.#merge(page.data);
        for (const file of page.data) seen.add(file.id);
      }
      const rest = this.rows.filter((row) => isBeingRead(row) && !seen.has(row.document.id));
      for (const row of rest.slice(-WATCHED_ALONE)) await this.#lookAt(row);
    } catch {
      // The server may be restarting: the next look tells.
    }
    this.#render();
  }

  async #lookAt(row) {
    try {
      this.#update(row, await client.readFile(row.document.store, row.document.id));
    } catch (error) {
      if (error.status !== 404) throw error;
      this.#drop(row); // somebody else has deleted it
    }
  }

  async #remove(row) {
    const { id, filename } = row.document;
    if (row.isUploading) return row.abort.abort();
    if (id) {
      byId("delete-name").textContent = filename;
      if (!(await confirmed(byId("delete-dialog")))) return;
      try {
        await client.deleteFile(id);
      } catch (error) {
        if (error.status !== 404) return say(byId("library-message"), error.message);
      }
      for (const gone of this.#withMembers(row)) this.removed.add(gone.document.id);
      announce(`${filename} is deleted.`);
    }
    this.#drop(row);
    byId("choose-files").focus();
  }

  #drop(row) {
    const gone = this.#withMembers(row);
    this.rows = this.rows.filter((other) => !gone.has(other));
    this.#render();
    this.changed();
  }

  /** A row, and those of the files that were unpacked from its document: they go with it. */
  #withMembers(row) {
    const found = new Set([row]);
    for (const { document } of found) { // rows that are added on the way are visited too
      for (const other of this.rows) if (document.id && other.document.archive?.file_id === document.id) found.add(other);
    }
    return found;
  }

  #render() {
    const shown = this.rows.filter((row) => row.document.store === this.store).map((row) => row.element);
    const same = shown.length === this.list.children.length && shown.every((node, i) => node === this.list.children[i]);
    if (!same) this.list.replaceChildren(...shown); // moving a node would take the focus from it
    this.list.hidden = !shown.length;
  }
}

const isBeingRead = (row) => row.document.status === "in_progress";
const isUnderWay = (row) => row.isUploading || isBeingRead(row) || Boolean(row.document.upload);

/** "Contents": every collection with the number of its documents, as buttons that choose it. */
export function contents(stores, choose) {
  return stores.map((store) =>
    el("li", {},
      el("button", { type: "button", className: "contents-line", onclick: () => choose(store.id) },
        el("bdi", {}, store.name || store.id),
        el("span", { className: "leader", "aria-hidden": "true" }),
        el("span", { "aria-label": counted(store.file_counts.total, "document") }, String(store.file_counts.total)))));
}
