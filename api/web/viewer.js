/** The stored text of a document, opened at a passage: beside the answers where there is room, else over them. */

import * as client from "./client.js";
import { utf16Offsets } from "./codepoints.js";
import { byId, el, say } from "./dom.js";

const BLOCK = 4000; // UTF-16 units; the browser lays out only the blocks in view, so a long book opens at once
const ROOM_BESIDE = matchMedia("(min-width: 1280px)"); // as in style.css

/** Cut `[start, end)` into blocks that end at paragraph ends where there are any. */
function blocksOf(text, start, end) {
  const blocks = [];
  while (end - start > BLOCK) {
    const paragraph = text.indexOf("\n\n", start + BLOCK);
    const line = text.indexOf("\n", start + BLOCK);
    const cut = paragraph >= 0 && paragraph < start + 2 * BLOCK ? paragraph + 2 : line + 1;
    if (cut <= start || cut >= end || cut > start + 4 * BLOCK) break;
    blocks.push([start, cut]);
    start = cut;
  }
  return [...blocks, [start, end]];
}

/** The pages of a text with what lies between them, in order: `{label, start, end}`, label null without a page. */
function stretchesOf(text, pages) {
  const stretches = [];
  let reached = 0;
  for (const page of pages) {
    if (page.start > reached) stretches.push({ label: null, start: reached, end: page.start });
    stretches.push({ label: page.page, start: page.start, end: page.end });
    reached = page.end;
  }
  if (reached < text.length || !pages.length) stretches.push({ label: null, start: reached, end: text.length });
  return stretches.filter(({ label, start, end }) => label !== null || text.slice(start, end).trim() || !pages.length);
}

/** Page and passage offsets in UTF-16 units. */
function converted({ text, pages }, citation) {
  const hasPassage = Number.isInteger(citation.start) && Number.isInteger(citation.end);
  const points = (pages ?? []).flatMap((page) => [page.start, page.end]);
  const passagePoints = hasPassage ? [citation.start, citation.end] : [0, 0];
  const offsets = utf16Offsets(text, [...points, ...passagePoints]);
  const [start, end] = offsets.slice(points.length);
  return {
    pages: (pages ?? []).map(({ page }, i) => ({ page, start: offsets[2 * i], end: offsets[2 * i + 1] })),
    passage: { start, end },
  };
}

/** A block's nodes, with the part of the passage that lies in it marked. */
function marked(text, [start, end], passage) {
  const from = Math.max(start, passage.start);
  const to = Math.min(end, passage.end);
  if (from >= to) return [text.slice(start, end)];
  return [text.slice(start, from), el("mark", { tabIndex: -1 }, text.slice(from, to)), text.slice(to, end)];
}

const plain = (text) => text.replace(/\s+/g, " ").trim();

export class Viewer {
  constructor() {
    this.dialog = byId("viewer");
    this.body = byId("viewer-text");
    this.message = byId("viewer-message");
    byId("viewer-close").addEventListener("click", () => this.close());
    this.dialog.addEventListener("close", () => this.#closed());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.close(); // the backdrop
    });
    document.addEventListener("keydown", (event) => {
      // A modal dialog answers Esc by itself; one that stands beside the answers does not.
      if (event.key === "Escape" && this.dialog.open && !document.querySelector("dialog:modal")) this.close();
    });
    ROOM_BESIDE.addEventListener("change", () => {
      if (this.dialog.open) this.#stand();
    });
  }

  /** Show a document, at the citation's passage if it names one. */
  async open(citation) {
    if (!this.dialog.contains(document.activeElement)) this.opener = document.activeElement;
    this.loading?.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    this.#name(citation.filename, citation);
    this.body.replaceChildren();
    say(this.message, "Opening…");
    this.#stand();
    try {
      const stored = await client.readText(citation.vector_store_id, citation.file_id, signal);
      if (!signal.aborted) this.#show(stored, citation);
    } catch (error) {
      if (signal.aborted) return;
      say(this.message, error.status === 404 ? "This document is no longer stored." : error.message);
    }
  }

  close() {
    this.dialog.close();
  }

  /** Beside the answers or over them, as the width allows. */
  #stand() {
    const isModal = this.dialog.matches(":modal");
    if (this.dialog.open && isModal === !ROOM_BESIDE.matches) return;
    this.isMoving = this.dialog.open;
    if (this.dialog.open) this.dialog.close();
    if (ROOM_BESIDE.matches) this.dialog.show();
    else this.dialog.showModal();
    document.body.classList.add("is-reading");
  }

  #closed() {
    if (this.isMoving) {
      this.isMoving = false; // it only changed its place
      return;
    }
    this.loading?.abort();
    document.body.classList.remove("is-reading");
    if (this.opener?.isConnected) this.opener.focus({ preventScroll: true });
    this.opener = null;
  }

  #name(title, { filename, page, number }) {
    byId("viewer-title").textContent = title || filename;
    const place = [number && `Footnote ${number}`, page && `page ${page}`].filter(Boolean).join(" · ");
    const parts = [title && title !== filename ? el("bdi", {}, filename) : null, place].filter(Boolean);
    byId("viewer-place").replaceChildren(...parts.flatMap((part, i) => (i ? [" · ", part] : [part])));
  }

  #show(stored, citation) {
    const { pages, passage } = converted(stored, citation);
    this.#name(stored.title, { ...citation, filename: stored.filename });
    this.body.classList.toggle("has-pages", pages.length > 0);
    this.body.replaceChildren(
      ...stretchesOf(stored.text, pages).map(({ label, start, end }) =>
        el("section", { className: "stretch" },
          label === null ? null : el("span", { className: "folio", "aria-label": `Page ${label}` }, String(label)),
          el("div", { className: "stretch-text" },
            ...blocksOf(stored.text, start, end).map((block) =>
              el("div", { className: "block" }, ...marked(stored.text, block, passage)))))));
    const isChanged = citation.quote && plain(stored.text.slice(passage.start, passage.end)) !== plain(citation.quote);
    say(this.message, isChanged ? "The stored text has changed since this answer was given." : null);
    this.#goToPassage();
  }

  #goToPassage() {
    const mark = this.body.querySelector("mark");
    if (!mark) {
      this.body.scrollTop = 0;
      return;
    }
    const center = () => mark.scrollIntoView({ block: "center" });
    center();
    // Blocks come into view with an estimated height; once they are laid out, the passage has moved.
    requestAnimationFrame(() => requestAnimationFrame(center));
    if (this.dialog.contains(document.activeElement)) mark.focus({ preventScroll: true });
  }
}
