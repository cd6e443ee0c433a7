/** Files on their way to the server: a few at a time, each uploaded and then attached to its collection. */

import * as client from "./client.js";

const PARALLEL_UPLOADS = 3; // browsers keep about six connections to a host; answers need some of them

const waiting = [];
let running = 0;

/** Upload the file of this row and attach it to its collection; ends in the row's status, never in an exception. */
export function upload(row) {
  row.abort = new AbortController();
  row.update({ status: "queued", progress: 0, last_error: null, isFinal: false });
  return new Promise((resolve) => {
    waiting.push(() => run(row).finally(resolve));
    next();
  });
}

function next() {
  if (running >= PARALLEL_UPLOADS || !waiting.length) return;
  running += 1;
  waiting.shift()().finally(() => {
    running -= 1;
    next();
  });
}

async function run(row) {
  const { upload: file, store } = row.document;
  const { signal } = row.abort;
  try {
    if (!row.document.id) {
      row.update({ status: "uploading" });
      const stored = await client.uploadFile(file, {
        signal,
        onProgress: (progress) => row.update({ progress }),
      });
      row.update({ id: stored.id });
    }
    const attached = await client.attachFile(store, row.document.id);
    row.update({ ...attached, filename: attached.filename ?? file.name, upload: null });
  } catch (error) {
    if (error.name === "AbortError") row.update({ status: "cancelled" });
    else row.update({ status: "failed", last_error: { message: error.message }, isFinal: error.isFinal });
  }
}
