/** The question box and the answers of this visit, newest last. */

import { Answer } from "./answer.js";
import * as client from "./client.js";
import { announce, byId } from "./dom.js";

export class Conversation {
  /**
   * `scope()` gives the collection to ask, null for all; `open(citation)` shows a passage; `asked()` hears of
   * questions; `remark()` resolves to why an answer may not be in the documents yet, null without a reason.
   */
  constructor({ scope, open, asked, remark }) {
    this.asked = asked;
    this.scope = scope;
    this.remark = remark;
    this.last = null; // the answer that a question to the same collection may follow up on
    this.open = open;
    this.abort = null;
    this.log = byId("conversation");
    this.question = byId("question");
    this.send = byId("send");
    this.stop = byId("stop");
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.question.addEventListener("keydown", (event) => {
      // While an input method composes, Enter picks a candidate (keyCode 229 in Safari).
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    });
    this.stop.addEventListener("click", () => {
      this.abort?.abort();
      this.question.focus();
    });
  }

  #submit() {
    const text = this.question.value.trim();
    if (!text || this.abort) return;
    this.question.value = "";
    this.asked();
    const store = this.scope();
    this.#ask({ text, store, previous: this.last?.store === store ? this.last.id : null });
  }

  async #ask(question) {
    if (this.abort) return;
    this.#setBusy(new AbortController());
    const answer = new Answer(question.text, { open: this.open, retry: () => this.#ask(question) });
    byId("welcome").hidden = true;
    this.log.append(answer.element);
    answer.element.scrollIntoView({ block: "start" });
    announce("Searching");
    await this.#follow(answer, question);
    this.#setBusy(null);
  }

  async #follow(answer, { text, store, previous }) {
    const { signal } = this.abort;
    try {
      for await (const event of client.streamAnswer(text, { store, previous, signal })) answer.apply(event);
      if (!answer.isComplete) throw new Error("The answer broke off before its end.");
      if (answer.keptAs) this.last = { store, id: answer.keptAs };
      const remark = answer.outcome === "not_in_documents" ? await this.remark() : null;
      answer.end(remark);
      announce([answer.spoken, remark].filter(Boolean).join(" "));
    } catch (error) {
      if (signal.aborted) answer.end("Stopped.");
      else answer.end(error.message, { isProblem: true });
      announce(signal.aborted ? "Stopped" : error.message);
    }
  }

  #setBusy(abort) {
    this.abort = abort;
    const hadFocus = document.activeElement === this.stop;
    this.send.hidden = Boolean(abort);
    this.stop.hidden = !abort;
    if (hadFocus) this.question.focus();
  }
}
