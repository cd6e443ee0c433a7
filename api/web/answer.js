/** One question with its answer: streamed text, footnote marks at the cited places, the notes below. */

import { counted, el, say } from "./dom.js";
import { Feedback } from "./feedback.js";
import { paragraphsOf, typeset } from "./typeset.js";

// What stands over an answer that is none.
const VERDICTS = {
  not_in_documents: "Not in these documents",
  unsupported: "Not supported by these documents",
};
const NO_SOURCE = "[no source]: nothing that this answer cites says this. Check it before you rely on it.";
const CUT = "The answer was cut off: it reached its length limit.";

let exchanges = 0;

/** The notes that citations call for: one per number, in order, each with its first citation. */
function notesOf(citations) {
  const notes = new Map();
  for (const citation of citations) if (!notes.has(citation.number)) notes.set(citation.number, citation);
  return [...notes.values()].sort((a, b) => a.number - b.number);
}

const citing = ({ number, filename, page }) =>
  `Open footnote ${number} in ${filename}${page ? `, page ${page}` : ""}`;

export class Answer {
  /** `open(citation)` shows a passage; `retry()` asks the same question again. */
  constructor(question, { open, retry }) {
    this.open = open;
    this.id = (exchanges += 1);
    this.text = "";
    this.citations = [];
    this.unsupported = []; // sentences without a source: {start, end} in code points of the text
    this.contradictions = []; // pairs of footnote numbers
    this.outcome = null;
    this.isCut = false;
    this.keptAs = null; // its id, where the server keeps it
    this.state = el("p", { className: "answer-state" }, "Searching…");
    this.verdict = el("p", { className: "verdict", hidden: true });
    this.body = el("div", { className: "answer-text" });
    this.cautions = el("ul", { className: "cautions", role: "list", "aria-label": "Cautions", hidden: true });
    this.notes = el("ol", { className: "notes", role: "list", "aria-label": "Footnotes", hidden: true });
    this.apparatus = el("div", { className: "apparatus", hidden: true }, this.cautions, this.notes);
    this.problem = el("p", { className: "message", hidden: true });
    this.again = el("button", { type: "button", className: "quiet", hidden: true, onclick: retry }, "Ask again");
    this.element = el("article", { className: "exchange", "aria-busy": "true" },
      el("h2", { className: "question", dir: "auto" }, question),
      el("div", { className: "answer" }, this.verdict, this.body, this.state, this.problem, this.again,
        this.apparatus));
  }

  /** Take in one event of the stream; what it does not know it lets pass. */
  apply(event) {
    switch (event.type) {
      case "response.file_search_call.completed":
        this.state.textContent = "Reading what was found…";
        break;
      case "response.output_text.delta":
        this.text += event.delta;
        this.unsupported.push(...(event.unsupported ?? []));
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
    say(this.state, isProblem ? null : reason ?? (this.isCut ? CUT : null));
    say(this.problem, isProblem ? reason : null);
    this.again.hidden = !reason;
    this.element.setAttribute("aria-busy", "false");
  }

  /** What a listener hears at the end. */
  get spoken() {
    const verdict = VERDICTS[this.outcome];
    const cut = this.isCut ? ` ${CUT}` : "";
    if (verdict) return `${verdict}. ${this.text}${cut}`;
    const notes = notesOf(this.citations).length;
    const doubts = [this.unsupported.length ? `${counted(this.unsupported.length, "sentence")} without a source.` : null,
      ...this.contradictions.map(([one, other]) => `Footnotes ${one} and ${other} seem to contradict each other.`)];
    return [this.text + cut, `${notes ? counted(notes, "footnote") : "No footnotes"}.`, ...doubts].filter(Boolean).join(" ");
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
    this.unsupported = response.unsupported ?? [];
    this.contradictions = response.contradictions ?? [];
    this.isCut = response.incomplete_details?.reason === "max_output_tokens";
    this.keptAs = response.store ? response.id : null;
    if (this.keptAs) this.element.querySelector(".answer").append(new Feedback(this.keptAs).element);
    this.element.dataset.outcome = this.outcome;
    say(this.verdict, VERDICTS[this.outcome]);
    if (this.outcome === "not_in_documents" && /^not in these documents\.?$/i.test(this.text.trim())) this.text = "";
  }

  #renderSoon() {
    this.frame ??= requestAnimationFrame(() => this.#render());
  }

  #render() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const paragraphs = paragraphsOf(this.text, this.citations, this.unsupported);
    paragraphs.forEach((paragraph, i) => {
      const { text, marks, unsupported } = paragraph;
      const key = JSON.stringify([text, unsupported, marks.map((mark) => [mark.at, mark.citation.number])]);
      const shown = this.body.children[i] ?? this.body.appendChild(el("p", { dir: "auto" }));
      if (shown.key === key) return; // left alone, so that a selection or the focus in it survives
      shown.key = key;
      shown.replaceChildren(...typeset(paragraph, (citation) => this.#mark(citation)));
    });
    while (this.body.children.length > paragraphs.length) this.body.lastChild.remove();
    if (this.text && !this.isComplete) this.state.textContent = "";
    this.#renderNotes();
    this.apparatus.hidden = this.cautions.hidden && this.notes.hidden;
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
    if (this.isComplete || this.notes.children.length !== notes.length) {
      this.notes.hidden = !notes.length;
      this.notes.replaceChildren(...notes.map((citation) => this.#note(citation)));
    }
    const cautions = this.contradictions.map((pair) => this.#dispute(...pair));
    if (this.unsupported.length) cautions.unshift(el("li", {}, NO_SOURCE));
    if (!this.isComplete && this.cautions.children.length === cautions.length) return;
    this.cautions.hidden = !cautions.length;
    this.cautions.replaceChildren(...cautions);
  }

  /** Two footnotes that contradict each other, each leading to its passage. */
  #dispute(one, other) {
    return el("li", {}, "Footnotes ", this.#lead(one), " and ", this.#lead(other),
      " seem to contradict each other: they give different numbers.");
  }

  #lead(number) {
    const citation = this.citations.find((each) => each.number === number);
    return el("button", {
      type: "button",
      className: "mark",
      onclick: () => this.open(citation),
      "aria-label": citing(citation),
    }, String(number));
  }

  #note(citation) {
    const { number, quote, filename, page } = citation;
    const source = el("button", { type: "button", className: "source", onclick: () => this.open(citation) },
      el("bdi", {}, filename), page ? `, p. ${page}` : "");
    source.setAttribute("aria-label", citing(citation));
    const id = `note-${this.id}-${number}`;
    return el("li", { className: "note", dataset: { number } },
      el("span", { className: "note-number", "aria-hidden": "true" }, String(number)),
      el("div", {}, el("q", { className: "note-quote", dir: "auto", id }, quote.replace(/\s+/g, " ").trim()), " ", source));
  }
}
