/** An answer's text as paragraphs: footnotes behind the words that they are for, sentences without a source named so. */

import { utf16Offsets } from "./codepoints.js";
import { el } from "./dom.js";

// What stays on one line with a mark: the word before it (of scripts without spaces one character), the stop after it.
const WORD_BEFORE = /[^\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]{1,24}$|.$/u;
const STOP_AFTER = /^[.,;:!?)\]”’»…]+/;

/**
 * The paragraphs of a text with the marks of its citations, and its ranges `{start, end}` that have no source; `at`
 * of a mark and `[start, end]` of a range count UTF-16 units of their paragraph.
 */
export function paragraphsOf(text, citations, unsupported) {
  const paragraphs = [...text.matchAll(/[^\n]+(?:\n[^\n]+)*/g)].map((match) => ({
    start: match.index,
    text: match[0],
    marks: [],
    unsupported: [],
  }));
  const points = [...citations.map(({ index }) => index), ...unsupported.flatMap(({ start, end }) => [start, end])];
  const offsets = utf16Offsets(text, points);
  citations.forEach((citation, i) => addMark(paragraphs, offsets[i], citation));
  for (let i = citations.length; i < offsets.length; i += 2) addRange(paragraphs, offsets[i], offsets[i + 1]);
  for (const { marks } of paragraphs) marks.sort((a, b) => a.at - b.at || a.citation.number - b.citation.number);
  return paragraphs;
}

function addMark(paragraphs, offset, citation) {
  const owner = paragraphs.findLast((paragraph) => paragraph.start < offset) ?? paragraphs[0];
  if (!owner) return;
  const at = Math.max(0, Math.min(offset - owner.start, owner.text.length));
  const isThere = owner.marks.some((mark) => mark.at === at && mark.citation.number === citation.number);
  if (!isThere) owner.marks.push({ at, citation });
}

/** Ranges come in order; one that follows on another in its paragraph continues it. */
function addRange(paragraphs, from, to) {
  for (const { start: first, text, unsupported } of paragraphs) {
    const start = Math.max(0, from - first);
    const end = Math.min(text.length, to - first);
    if (start >= end || !text.slice(start, end).trim()) continue;
    const before = unsupported.at(-1);
    if (before && !text.slice(before[1], start).trim()) before[1] = end;
    else unsupported.push([start, end]);
  }
}

/** The nodes of a paragraph; `mark(citation)` makes the element of a footnote's number. */
export function typeset({ text, marks, unsupported }, mark) {
  const nodes = [];
  const left = [...marks];
  let position = 0;
  const set = (end) => {
    const count = left.findIndex(({ at }) => at > end);
    const words = wordsOf(text, position, end, left.splice(0, count < 0 ? left.length : count), mark);
    position = end;
    return words;
  };
  for (const [start, end] of unsupported) {
    nodes.push(...set(start), el("span", { className: "unsupported" }, ...set(end)));
    nodes.push(el("sup", { className: "no-source" }, " [no source]"));
  }
  return [...nodes, ...set(text.length)];
}

/** The nodes of `[start, end)`, each mark tied to the word that it follows. */
function wordsOf(text, start, end, marks, mark) {
  const nodes = [];
  let position = start;
  for (let i = 0; i < marks.length;) {
    const { at } = marks[i];
    const before = text.slice(position, at);
    const word = WORD_BEFORE.exec(before)?.[0] ?? "";
    const stop = STOP_AFTER.exec(text.slice(at, end))?.[0] ?? "";
    const tie = el("span", { className: "tie" }, word);
    for (; marks[i]?.at === at; i += 1) tie.append(mark(marks[i].citation));
    const reach = marks[i] ? Math.min(at + stop.length, marks[i].at) : at + stop.length;
    tie.append(text.slice(at, reach));
    nodes.push(before.slice(0, before.length - word.length), tie);
    position = reach;
  }
  return [...nodes, text.slice(position, end)];
}
