"""Follow-up questions: what they ask for when nobody has read the conversation."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from generation.backends.base import FinishReason, Generator
from generation.completion import complete
from generation.evidence import content_terms
from generation.prompts import PromptTemplate
from generation.turns import Turn, fit_turns
from retrieval.analysis import fold, terms

# A question with at most so many content words says too little alone.
_FEW_TERMS: Final = 1
# Earlier questions that one may follow up on, through each other.
_MAX_CHAIN: Final = 3
# So many at most in front of a word that points back to an earlier question, and not to its own.
_MAX_TERMS_BEFORE: Final = 2
_WORD: Final = re.compile(r"\w+")
# How a question begins that carries on, in the languages of pointers.txt and in Japanese.
_OPENING: Final = re.compile(
    r"\s*(?:(?:and|or|but|what about|how about|und|oder|aber|dann|was ist mit|et|mais|y|pero|ma|en|maar|mas)\b"
    r"|では|じゃあ|それ|その|そこ|また)",
    re.IGNORECASE,
)
# Japanese has no blanks between its words.
_UNSPACED_POINTER: Final = re.compile("それ|その|そこ|そちら")
# A question is seldom longer. A rewriting that is, has become something else.
_MAX_QUESTION_CHARS: Final = 400
_MAX_QUESTION_TOKENS: Final = 160
_MAX_NOTE_TOKENS: Final = 240
# Share of a rewriting's words that the conversation has to hold.
_MIN_SAID: Final = 0.5
_QUESTION_MARKS: Final = ("?", "？", "؟")
# Share of the room for sources that earlier turns may take.
_TURNS_SHARE: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A question as it is searched and answered."""

    # What the generator is asked.
    question: str
    # What is searched for: the question as it was asked and, where it differs, standing alone.
    queries: Sequence[str]
    # Earlier turns that the prompt holds, oldest first.
    turns: Sequence[Turn] = ()
    # A note that the prompt holds of older ones, "" without; and these.
    earlier: str = ""
    noted: Sequence[Turn] = ()
    # How many still older ones are not in the prompt at all.
    dropped: int = 0
    # A language model has read the conversation; and has made the question stand alone.
    is_by_model: bool = False
    is_rewritten: bool = False

    @property
    def read(self) -> Sequence[Turn]:
        """The turns whose words are in the prompt, one way or another."""
        return [*self.noted, *self.turns]

    def trace(self) -> dict[str, Any]:
        """Return what the record of the answer says of the conversation, as JSON values."""
        return {
            "question": self.question,
            "turns": [{"question": turn.question, "answer": turn.answer} for turn in self.turns],
            "earlier": self.earlier,
            "noted": len(self.noted),
            "dropped": self.dropped,
            "rewritten": self.is_rewritten,
        }


class Rewriter:
    """Makes questions stand alone by a language model, and brings a conversation into its budget."""

    def __init__(self, generator: Generator, *, rewrite: PromptTemplate, compaction: PromptTemplate) -> None:
        self._generator = generator
        self._rewrite = rewrite
        self._compaction = compaction

    def ask(
        self, question: str, turns: Sequence[Turn], *, rewrites: bool = True, cancelled: Callable[[], bool]
    ) -> Asked:
        """Return the question rewritten; by the rule where the reply is no question. Raises what the generator raises.

        `turns`: at least one. `rewrites`: false where the model that answers searches too, which reads the turns.
        """
        budget = self._generator.source_tokens // _TURNS_SHARE
        fitting = fit_turns(turns, budget=budget, count_tokens=self._generator.count_tokens)
        # The newest of those that found no place, as many as can be read at once.
        older = fit_turns(fitting.dropped, budget=budget, count_tokens=self._generator.count_tokens)
        rewritten = self._rewritten(question, fitting.kept, cancelled) if rewrites else None
        alone = rewritten or stand_alone(question, turns)
        return Asked(
            question=rewritten or question,
            queries=list(dict.fromkeys([question, alone])),
            turns=fitting.kept,
            earlier=self._note(older.kept, cancelled),
            noted=older.kept,
            dropped=len(older.dropped),
            is_by_model=True,
            is_rewritten=rewritten is not None,
        )

    def _rewritten(self, question: str, turns: Sequence[Turn], cancelled: Callable[[], bool]) -> str | None:
        """Return one line of a sensible length that is about what was talked of, or None."""
        reply = complete(
            self._generator,
            self._rewrite,
            max_tokens=_MAX_QUESTION_TOKENS,
            cancelled=cancelled,
            question=question,
            turns=turns,
        )
        longest = max(_MAX_QUESTION_CHARS, 2 * len(question))
        is_one_line = "\n" not in reply.text and 0 < len(reply.text) <= longest
        is_sound = is_one_line and reply.reason is FinishReason.STOP and _is_about(reply.text, question, turns)
        # Small models answer where they should ask.
        is_asked = reply.text.endswith(_QUESTION_MARKS) or not question.rstrip().endswith(_QUESTION_MARKS)
        return reply.text if is_sound and is_asked else None

    def _note(self, turns: Sequence[Turn], cancelled: Callable[[], bool]) -> str:
        if not turns:
            return ""
        return complete(
            self._generator, self._compaction, max_tokens=_MAX_NOTE_TOKENS, cancelled=cancelled, turns=turns
        ).text


def _is_about(rewritten: str, question: str, turns: Sequence[Turn]) -> bool:
    """Whether most of the words were said before: a model that answers or makes things up brings its own."""
    said = {term for turn in turns for term in [*terms(turn.question), *terms(turn.answer)]}
    wanted = content_terms(rewritten)
    return len(said.union(terms(question)).intersection(wanted)) >= _MIN_SAID * len(wanted)


def by_rule(question: str, turns: Sequence[Turn]) -> Asked:
    """Return the question as it is asked without a language model."""
    alone = stand_alone(question, turns)
    return Asked(question=alone, queries=list(dict.fromkeys([question, alone])))


def stand_alone(question: str, turns: Sequence[Turn]) -> str:
    """Return a follow-up behind the questions that it follows up on, a line each; any other question as it is."""
    chain = [question]
    for turn in reversed(turns[-_MAX_CHAIN:]):
        if not is_follow_up(chain[0]):
            break
        chain.insert(0, turn.question)
    return "\n".join(chain)


def is_follow_up(question: str) -> bool:
    """Whether a question says too little alone ("For a week?"), carries on ("And in summer?"), or points back.

    A pointer ("What does it cost?") counts where so little stands in front of it that it cannot point to that.
    """
    if len(content_terms(question, or_all=False)) <= _FEW_TERMS or _OPENING.match(question):
        return True
    pointer = _pointer(question)
    return pointer is not None and len(content_terms(question[:pointer], or_all=False)) <= _MAX_TERMS_BEFORE


def _pointer(question: str) -> int | None:
    """Return where the first word begins that stands for something named before."""
    words = (match.start() for match in _WORD.finditer(question) if fold(match.group()) in pointers())
    unspaced = _UNSPACED_POINTER.search(question)
    return min([*words, *([unspaced.start()] if unspaced else [])], default=None)


@cache
def pointers() -> frozenset[str]:
    """Words that stand for something named before, folded, of the languages in pointers.txt."""
    text = files("generation").joinpath("pointers.txt").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in fold(line).split())
