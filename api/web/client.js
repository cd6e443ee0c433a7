/** The wire: JSON calls, uploads with progress and the stream of an answer. */

const KEY = "footnote.api-key";
const UNREACHABLE = "The server cannot be reached. Is it running?";

/** An error the server stated, or the failure to reach it. */
export class ApiError extends Error {
  constructor(message, status = 0, code = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }

  /** The same again would be refused again. */
  get isFinal() {
    return this.status >= 400 && this.status < 500 && ![401, 408, 429].includes(this.status);
  }
}

let askForKey = async () => null;
let asking = null;

/** Name the function that asks a person for an API key and resolves to it, or to null. */
export function onUnauthorized(ask) {
  askForKey = ask;
}

/** One question for a key at a time, however many requests were refused; false when none was given. */
async function newKey(refused) {
  if (sessionStorage.getItem(KEY) !== refused) return true; // another request has already got one
  asking ??= askForKey(refused !== null).finally(() => { asking = null; });
  const key = await asking;
  if (key) sessionStorage.setItem(KEY, key);
  return Boolean(key);
}

function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function stated(status, body) {
  const { message, code } = body?.error ?? {};
  return new ApiError(typeof message === "string" && message ? message : `The server answered ${status}.`, status, code);
}

async function request(method, path, { body, signal } = {}) {
  const refused = sessionStorage.getItem(KEY);
  const headers = authorization();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(UNREACHABLE);
  }
  if (response.status === 401 && (await newKey(refused))) return request(method, path, { body, signal });
  if (!response.ok) throw stated(response.status, await response.json().catch(() => null));
  return response;
}

async function json(method, path, options) {
  return (await request(method, path, options)).json();
}

const part = encodeURIComponent;
const storeFile = (store, file) => `/v1/vector_stores/${part(store)}/files/${part(file)}`;

/** Every vector store, newest first. */
export async function listStores() {
  const stores = [];
  let after = "";
  for (;;) {
    const page = await json("GET", `/v1/vector_stores?limit=100${after}`);
    stores.push(...page.data);
    if (!page.has_more || !page.data.length) return stores;
    after = `&after=${part(page.last_id)}`;
  }
}

export const createStore = (name) => json("POST", "/v1/vector_stores", { body: { name } });

/** One page of a store's files, newest first: `{data, has_more, last_id}`. */
export function listFiles(store, after = null) {
  const cursor = after ? `&after=${part(after)}` : "";
  return json("GET", `/v1/vector_stores/${part(store)}/files?limit=100&order=desc${cursor}`);
}

export const attachFile = (store, file) =>
  json("POST", `/v1/vector_stores/${part(store)}/files`, { body: { file_id: file } });
export const readFile = (store, file) => json("GET", storeFile(store, file));
export const readText = (store, file, signal) => json("GET", `${storeFile(store, file)}/text`, { signal });
export const deleteFile = (file) => json("DELETE", `/v1/files/${part(file)}`);

/** Upload one file; `onProgress` hears 0..1. fetch() tells nothing of an upload's progress, so XMLHttpRequest. */
export async function uploadFile(file, { onProgress, signal }) {
  const refused = sessionStorage.getItem(KEY);
  const { status, body } = await send(file, onProgress, signal);
  if (status === 401 && (await newKey(refused))) return uploadFile(file, { onProgress, signal });
  if (status < 200 || status > 299) throw stated(status, body);
  return body;
}

function send(file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new DOMException("Aborted", "AbortError"));
    const form = new FormData();
    form.append("purpose", "assistants");
    form.append("file", file, file.name);
    const call = new XMLHttpRequest();
    call.open("POST", "/v1/files");
    call.responseType = "json";
    for (const [name, value] of Object.entries(authorization())) call.setRequestHeader(name, value);
    call.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    call.addEventListener("load", () => resolve({ status: call.status, body: call.response }));
    call.addEventListener("error", () => reject(new ApiError("The upload broke off. Is the server running?")));
    call.addEventListener("abort", () => reject(new DOMException("Aborted", "AbortError")));
    signal.addEventListener("abort", () => call.abort(), { once: true });
    call.send(form);
  });
}

export const giveFeedback = (response, body) =>
  json("POST", `/v1/responses/${part(response)}/feedback`, { body });

/**
 * Ask a question; yields the events of the answer as they arrive. `store` null asks all collections; `previous` is the
 * id of the answer that the question may follow up on, null without one.
 */
export async function* streamAnswer(question, { store, previous, signal }) {
  const body = { model: "footnote", input: question, stream: true };
  if (store) body.tools = [{ type: "file_search", vector_store_ids: [store] }];
  const response = await begin(body, previous, signal);
  try {
    for await (const data of serverSentData(response.body)) {
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  } catch (error) {
    if (error instanceof TypeError) throw new ApiError("The connection was lost before the answer was complete.");
    throw error;
  }
}

/** An answer goes with a document that it quotes: a question that would follow up on one that is gone stands alone. */
async function begin(body, previous, signal) {
  try {
    return await request("POST", "/v1/responses", { body: { ...body, previous_response_id: previous }, signal });
  } catch (error) {
    if (!previous || error.code !== "previous_response_not_found") throw error;
    return request("POST", "/v1/responses", { body, signal });
  }
}

/** The data of each server-sent event in a byte stream. */
async function* serverSentData(bytes) {
  const reader = bytes.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    buffer = (buffer + (value ?? "")).replaceAll("\r\n", "\n");
    const events = buffer.split("\n\n");
    buffer = events.pop();
    for (const event of events) {
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
    }
    if (done) return;
  }
}
