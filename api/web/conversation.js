/** The question box and the answers of this visit, newest last. */

import { Answer } from "./answer.js";
import * as client from "./client.js";
import { announce, byId } from "./dom.js";

export class Conversation {
  /** `scope()` gives the collection to ask, null for all; `open(citation)` shows a passage; `asked()` hears of questions. */
  constructor({ scope, open, asked }) {
    this.asked = asked;
    this.scope = scope;
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
    this.#ask(text, this.scope());
  }

  async #ask(text, store) {
    if (this.abort) return;
    this.#setBusy(new AbortController());
    const answer = new Answer(text, { open: this.open, retry: () => this.#ask(text, store) });
    byId("welcome").hidden = true;
    this.log.append(answer.element);
    answer.element.scrollIntoView({ block: "start" });
    announce("Searching");
    await this.#follow(answer, text, store);
    this.#setBusy(null);
  }

  async #follow(answer, text, store) {
    const { signal } = this.abort;
    try {
      for await (const event of client.streamAnswer(text, store, signal)) answer.apply(event);
      if (!answer.isComplete) throw new Error("The answer broke off before its end.");
      answer.end();
      announce(answer.spoken);
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
