/** What a reader says of an answer: two buttons, and a form for what would be right. */

import * as client from "./client.js";
import { announce, el, say } from "./dom.js";

const QUESTION = "Is this answer right?";

let forms = 0;

export class Feedback {
  /** `response`: the id of an answer that the server keeps. */
  constructor(response) {
    this.response = response;
    const id = `feedback-${(forms += 1)}`;
    this.up = this.#button("👍", "Right", "up");
    this.down = this.#button("👎", "Wrong", "down");
    this.state = el("span", { className: "hint" });
    this.text = el("textarea", { id: `${id}-text`, rows: 2, dir: "auto", maxLength: 4000 });
    this.quote = el("textarea", { id: `${id}-quote`, rows: 2, dir: "auto", maxLength: 4000 });
    this.form = el("form", { className: "feedback-form", hidden: true, onsubmit: (event) => this.#submit(event) },
      el("label", { className: "label", htmlFor: this.text.id }, "Comment"), this.text,
      el("label", { className: "label", htmlFor: this.quote.id }, "Words of a document that answer it"), this.quote,
      el("button", { type: "submit", className: "quiet" }, "Send"));
    this.element = el("div", { className: "feedback", role: "group", "aria-label": QUESTION },
      el("div", { className: "feedback-row" },
        el("span", { className: "hint", "aria-hidden": "true" }, QUESTION), this.up, this.down, this.state),
      this.form);
  }

  #button(sign, name, rating) {
    return el("button", {
      type: "button",
      className: "thumb",
      title: name,
      onclick: () => this.#rate(rating),
      "aria-label": name,
      "aria-pressed": "false",
    }, el("span", { "aria-hidden": "true" }, sign));
  }

  /** The rating goes out at once; what else there is to say can follow, and replaces it. */
  async #rate(rating) {
    this.rating = rating;
    if (await this.#send("Thank you.")) this.form.hidden = false;
  }

  async #submit(event) {
    event.preventDefault();
    if (!(await this.#send("Thank you. It was sent."))) return;
    this.form.hidden = true;
    (this.rating === "up" ? this.up : this.down).focus();
  }

  async #send(thanks) {
    const body = { rating: this.rating, text: this.text.value || null, expected_quote: this.quote.value || null };
    let problem = null;
    try {
      await client.giveFeedback(this.response, body);
      this.up.setAttribute("aria-pressed", String(this.rating === "up"));
      this.down.setAttribute("aria-pressed", String(this.rating === "down"));
    } catch (error) {
      problem = error.message;
    }
    say(this.state, problem ?? thanks);
    announce(problem ?? thanks);
    return !problem;
  }
}
