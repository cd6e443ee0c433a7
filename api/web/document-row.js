/** One document in the list: its name, how far it has come, and what went wrong. */

import { counted, el, say } from "./dom.js";

const percent = (fraction) => `${Math.floor(100 * fraction)} %`;

/** What a document's state means, in words; `progress` is 0..1, null where it is under way without a measure. */
export function described(document) {
  switch (document.status) {
    case "queued":
      return { words: "Waiting to upload", progress: null };
    case "uploading":
      return { words: `Uploading, ${percent(document.progress)}`, progress: document.progress };
    case "in_progress":
      return reading(document);
    case "completed":
      return { words: ["Ready", ...extent(document.coverage)].join(" · ") };
    case "cancelled":
      return { words: "Cancelled" };
    default:
      return { words: document.last_error?.message || "It could not be read." };
  }
}

/** Under way on the server: how far, how long still, and why nothing happens when nothing does. */
function reading({ progress, seconds_left: left, status_note: note }) {
  const parts = [progress > 0 ? `Reading, ${percent(progress)}` : "Waiting to be read"];
  if (note) parts.push(note);
  else if (left) parts.push(`about ${duration(left)} left`);
  return { words: parts.join(" · "), progress: progress > 0 ? progress : null };
}

/** Seconds as people say them, never more exact than an estimate can be. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 360) / 10} h`;
}

function extent(coverage) {
  const parts = [];
  if (!coverage) return parts;
  const { pages, pages_read: read, chunks } = coverage;
  if (pages && read !== null && read < pages) parts.push(`${read} of ${counted(pages, "page")} read`);
  else if (pages) parts.push(counted(pages, "page"));
  if (chunks) parts.push(counted(chunks, "passage"));
  return parts;
}

export class DocumentRow {
  /** `actions`: what its buttons do: `open()`, `remove()`, `retry()`. */
  constructor(document, actions) {
    this.document = document;
    this.name = el("button", { className: "document-name", type: "button", onclick: actions.open }, el("bdi"));
    this.remove = el("button", { className: "icon", type: "button", onclick: actions.remove }, "×");
    this.retry = el("button", { className: "link", type: "button", onclick: actions.retry }, "Try again");
    this.bar = el("progress", { max: 1 });
    this.state = el("p", { className: "document-state" });
    this.warnings = el("div", { className: "warnings" });
    this.element = el("li", { className: "document" },
      this.name, this.remove, this.bar, this.state, this.retry, this.warnings);
    this.update({});
  }

  /** Take over changed fields and show them. */
  update(changes) {
    Object.assign(this.document, changes);
    const { filename, status, upload, archive, isFinal } = this.document;
    const { words, progress } = described(this.document);
    this.element.dataset.status = status;
    this.name.firstChild.textContent = filename;
    this.name.title = archive?.path ?? filename; // two files of an archive may differ in their folder alone
    this.name.disabled = status !== "completed";
    this.remove.setAttribute("aria-label", `${this.isUploading ? "Cancel" : "Delete"} ${filename}`);
    this.#showProgress(progress, filename);
    if (this.state.textContent !== words) this.state.textContent = words;
    this.retry.hidden = !(status === "failed" && upload && !isFinal);
    this.#showWarnings(this.document.warnings ?? []);
  }

  get isUploading() {
    return this.document.status === "queued" || this.document.status === "uploading";
  }

  #showProgress(progress, filename) {
    this.bar.hidden = progress === undefined;
    if (progress === null) this.bar.removeAttribute("value");
    else if (progress !== undefined) this.bar.value = progress;
    this.bar.setAttribute("aria-label", `Progress of ${filename}`);
  }

  #showWarnings(warnings) {
    if (this.shownWarnings === warnings.join("\n")) return; // a rebuilt list would close under the reader
    this.shownWarnings = warnings.join("\n");
    const items = warnings.map((warning) => el("li", { dir: "auto" }, warning));
    if (items.length > 1) {
      this.warnings.replaceChildren(
        el("details", {}, el("summary", {}, counted(items.length, "warning")), el("ul", {}, ...items)),
      );
    } else say(this.warnings, warnings[0]);
    this.warnings.hidden = !items.length;
  }
}
