/** One question with its answer: streamed text, footnote marks at the cited places, the notes below. */

import { utf16Offsets } from "./codepoints.js";
import { counted, el, say } from "./dom.js";
import { Feedback } from "./feedback.js";

// What stays on one line with a mark: the word before it (of scripts without spaces one character), the stop after it.
const WORD_BEFORE = /[^\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]{1,24}$|.$/u;
const STOP_AFTER = /^[.,;:!?)\]”’»…]+/;

let exchanges = 0;

/** The notes that citations call for: one per number, in order, each with its first citation. */
function notesOf(citations) {
  const notes = new Map();
  for (const citation of citations) if (!notes.has(citation.number)) notes.set(citation.number, citation);
  return [...notes.values()].sort((a, b) => a.number - b.number);
}

/** The paragraphs of a text with their marks; a mark's `at` counts UTF-16 units of its paragraph. */
function paragraphsOf(text, citations) {
  const paragraphs = [...text.matchAll(/[^\n]+(?:\n[^\n]+)*/g)].map((match) => ({
    start: match.index,
    text: match[0],
    marks: [],
  }));
  const offsets = utf16Offsets(text, citations.map((citation) => citation.index));
  citations.forEach((citation, i) => {
    const owner = paragraphs.findLast((paragraph) => paragraph.start < offsets[i]) ?? paragraphs[0];
    if (!owner) return;
    const at = Math.max(0, Math.min(offsets[i] - owner.start, owner.text.length));
    const isThere = owner.marks.some((mark) => mark.at === at && mark.citation.number === citation.number);
    if (!isThere) owner.marks.push({ at, citation });
  });
  for (const { marks } of paragraphs) marks.sort((a, b) => a.at - b.at || a.citation.number - b.citation.number);
  return paragraphs;
}

export class Answer {
  /** `open(citation)` shows a passage; `retry()` asks the same question again. */
  constructor(question, { open, retry }) {
    this.open = open;
    this.id = (exchanges += 1);
    this.text = "";
    this.citations = [];
    this.outcome = null;
    this.state = el("p", { className: "answer-state" }, "Searching…");
    this.verdict = el("p", { className: "verdict", hidden: true }, "Not in these documents");
    this.body = el("div", { className: "answer-text" });
    this.notes = el("ol", { className: "notes", role: "list", "aria-label": "Footnotes", hidden: true });
    this.problem = el("p", { className: "message", hidden: true });
    this.again = el("button", { type: "button", className: "quiet", hidden: true, onclick: retry }, "Ask again");
    this.element = el("article", { className: "exchange", "aria-busy": "true" },
      el("h2", { className: "question", dir: "auto" }, question),
      el("div", { className: "answer" }, this.verdict, this.body, this.state, this.problem, this.again, this.notes));
  }

  /** Take in one event of the stream; what it does not know it lets pass. */
  apply(event) {
    switch (event.type) {
      case "response.file_search_call.completed":
        this.state.textContent = "Reading what was found…";
        break;
      case "response.output_text.delta":
        this.text += event.delta;
        this.#renderSoon();
        break;
      case "response.output_text.annotation.added":
        this.#cite(event.annotation);
        this.#renderSoon();
        break;
      case "response.completed":
      case "response.incomplete":
        this.#complete(event.response);
        break;
      case "response.failed":
        throw new Error(event.response?.error?.message || "The server could not answer.");
      case "error":
        throw new Error(event.message || event.error?.message || "The server could not answer.");
    }
  }

  get isComplete() {
    return this.outcome !== null;
  }

  /** The answer came to its end; without `reason` as it should. */
  end(reason = null, { isProblem = false } = {}) {
    this.#render();
    say(this.state, isProblem ? null : reason);
    say(this.problem, isProblem ? reason : null);
    this.again.hidden = !reason;
    this.element.setAttribute("aria-busy", "false");
  }

  /** What a listener hears at the end. */
  get spoken() {
    if (this.outcome === "not_in_documents") return `Not in these documents. ${this.text}`;
    const notes = notesOf(this.citations).length;
    return `${this.text} ${notes ? counted(notes, "footnote") : "No footnotes"}.`;
  }

  #cite(annotation) {
    if (annotation?.type !== "file_citation") return;
    this.citations.push({ ...annotation, number: annotation.number ?? this.citations.length + 1 });
  }

  /** The finished response is the whole truth: what streamed before gives way to it. */
  #complete(response) {
    const parts = (response.output ?? []).filter((item) => item.type === "message").flatMap((item) => item.content);
    const final = parts.find((part) => part.type === "output_text");
    const refusal = parts.find((part) => part.type === "refusal");
    if (final) {
      this.text = final.text;
      this.citations = [];
      for (const annotation of final.annotations ?? []) this.#cite(annotation);
    } else if (refusal) this.text = refusal.refusal;
    this.outcome = response.outcome ?? "answered";
    if (response.store) this.#askForFeedback(response.id);
    const isAbsent = this.outcome === "not_in_documents";
    this.element.dataset.outcome = this.outcome;
    this.verdict.hidden = !isAbsent;
    if (isAbsent && /^not in these documents\.?$/i.test(this.text.trim())) this.text = "";
  }

  #askForFeedback(response) {
    this.element.querySelector(".answer").append(new Feedback(response).element);
  }

  #renderSoon() {
    this.frame ??= requestAnimationFrame(() => this.#render());
  }

  #render() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const paragraphs = paragraphsOf(this.text, this.citations);
    paragraphs.forEach((paragraph, i) => {
      const key = `${paragraph.text}\n${paragraph.marks.map((mark) => [mark.at, mark.citation.number])}`;
      const shown = this.body.children[i] ?? this.body.appendChild(el("p", { dir: "auto" }));
      if (shown.key === key) return; // left alone, so that a selection or the focus in it survives
      shown.key = key;
      shown.replaceChildren(...this.#set(paragraph));
    });
    while (this.body.children.length > paragraphs.length) this.body.lastChild.remove();
    if (this.text && !this.isComplete) this.state.textContent = "";
    this.#renderNotes();
  }

  /** The nodes of a paragraph, each mark tied to the word that it follows. */
  #set({ text, marks }) {
    const nodes = [];
    let position = 0;
    for (let i = 0; i < marks.length;) {
      const { at } = marks[i];
      const before = text.slice(position, at);
      const word = WORD_BEFORE.exec(before)?.[0] ?? "";
      const stop = STOP_AFTER.exec(text.slice(at))?.[0] ?? "";
      const tie = el("span", { className: "tie" }, word);
      for (; marks[i]?.at === at; i += 1) tie.append(this.#mark(marks[i].citation));
      const reach = marks[i] ? Math.min(at + stop.length, marks[i].at) : at + stop.length;
      tie.append(text.slice(at, reach));
      nodes.push(before.slice(0, before.length - word.length), tie);
      position = reach;
    }
    return [...nodes, text.slice(position)];
  }

  #mark(citation) {
    const light = (isLit) => () => {
      const note = [...this.notes.children].find((each) => each.dataset.number === String(citation.number));
      note?.classList.toggle("lit", isLit);
    };
    const button = el("button", {
      type: "button",
      className: "mark",
      onclick: () => this.open(citation),
      onpointerenter: light(true),
      onpointerleave: light(false),
      onfocus: light(true),
      onblur: light(false),
      "aria-label": `Footnote ${citation.number}`,
      "aria-describedby": `note-${this.id}-${citation.number}`,
    }, String(citation.number));
    return el("sup", {}, button);
  }

  #renderNotes() {
    const notes = notesOf(this.citations);
    if (this.notes.children.length === notes.length && !this.isComplete) return;
    this.notes.hidden = !notes.length;
    this.notes.replaceChildren(...notes.map((citation) => this.#note(citation)));
  }

  #note(citation) {
    const { number, quote, filename, page } = citation;
    const source = el("button", { type: "button", className: "source", onclick: () => this.open(citation) },
      el("bdi", {}, filename), page ? `, p. ${page}` : "");
    source.setAttribute("aria-label", `Open footnote ${number} in ${filename}${page ? `, page ${page}` : ""}`);
    const id = `note-${this.id}-${number}`;
    return el("li", { className: "note", dataset: { number } },
      el("span", { className: "note-number", "aria-hidden": "true" }, String(number)),
      el("div", {}, el("q", { className: "note-quote", dir: "auto", id }, quote.replace(/\s+/g, " ").trim()), " ", source));
  }
}
