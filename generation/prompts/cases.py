"""Test cases of prompts: what is put into one, and what has to come out of it."""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import jinja2

from catalog.documents import StoredChunk
from catalog.errors import ConfigurationError
from generation.backends.base import NO_ANSWER, Message, Source, Tool, ToolCall
from generation.prompts.registry import PromptRegistry
from generation.prompts.template import PromptTask, PromptTemplate
from generation.rounds import Conversation, Result, Round
from generation.search_tool import NAME, echoed
from generation.turns import Turn
from retrieval.passages import Passage

# In place of a request's; no case and no prompt holds it.
NONCE: Final = "c0de5afe12345678"
# What is left of template code that was not run.
_JINJA: Final = re.compile(r"\{\{|\}\}|\{%|%\}")
# Tasks whose prompts answer questions from sources.
_ANSWERING: Final = frozenset({PromptTask.ANSWER, PromptTask.SEARCH})
_CITED: Final = re.compile(r"\[(\d{1,4})\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One test of a prompt: inputs by name, and what is required of the messages and of a model's reply."""

    name: str
    # Of an answer: question, sources as tables with document, text, page, section and date, turns, earlier.
    # Of another task: the variables of that task.
    inputs: dict[str, Any]
    # Each has to stand in the messages.
    contains: Sequence[str] = ()
    # By the generator's own count, all messages together.
    max_tokens: int | None = None
    # Each has to stand in a language model's reply, whatever its case.
    reply_contains: Sequence[str] = ()
    # A language model has to say that the sources do not answer.
    is_refused: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A prompt with a case's inputs."""

    messages: Sequence[Message]
    sources: Sequence[Source] = field(default_factory=list)
    # What the messages have calls of.
    tools: Sequence[Tool] = ()

    @property
    def text(self) -> str:
        return "\n".join(message.content for message in self.messages)


def load_cases(registry: PromptRegistry, template: PromptTemplate) -> list[Case]:
    """Return what a prompt has to pass. Raises ConfigurationError for a file that is no list of cases."""
    return [case for name, text in registry.case_files(template).items() for case in _parse(name, text)]


def open_prompt(
    registry: PromptRegistry,
    name: str,
    *,
    task: PromptTask = PromptTask.ANSWER,
    count_tokens: Callable[[str], int],
) -> PromptTemplate:
    """Return a prompt that is fit for use. Raises ConfigurationError when a case fails or it is for another task."""
    template = registry.load(name)
    if template.task is not task:
        raise ConfigurationError(f"Prompt {name!r} is for the task {template.task!r}, and one for {task!r} is needed.")
    for case in load_cases(registry, template):
        for problem in problems(template, case, count_tokens=count_tokens):
            raise ConfigurationError(
                f"Prompt {name!r} fails its case {case.name!r}: {problem} `footnote prompts test {name}` shows all."
            )
    return template


def render(template: PromptTemplate, case: Case) -> Rendered:
    """Return the messages of a case. Raises jinja2.TemplateError for a mistake in the prompt."""
    if template.task not in _ANSWERING:
        return Rendered(messages=template.messages(nonce=NONCE, **case.inputs))
    inputs = dict(case.inputs)
    sources = [_source(number, values) for number, values in enumerate(inputs.pop("sources", ()), start=1)]
    turns = [Turn(**values) for values in inputs.pop("turns", ())]
    question = inputs.pop("question")
    if template.task is PromptTask.SEARCH:
        conversation = Conversation(template=template, question=question, turns=turns, nonce=NONCE, **inputs)
        prompt = conversation.prompt([_searched(question, len(sources))], sources, may_call=False)
    else:
        prompt = template.render(question, sources, nonce=NONCE, turns=turns, **inputs)
    return Rendered(messages=prompt.messages, sources=sources, tools=prompt.tools)


def _searched(question: str, count: int) -> Round:
    """Return the round of a model that searched for the question, and has to write now."""
    call = echoed(ToolCall(call_id="", name=NAME, arguments=""), [question], number=1)
    return Round(text="", calls=[call], results=[Result(sources=range(1, count + 1), left=0)])


def problems(template: PromptTemplate, case: Case, *, count_tokens: Callable[[str], int]) -> Iterator[str]:
    """Yield what is wrong with the messages of a case, as sentences; nothing needs a model here."""
    try:
        rendered = render(template, case)
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        yield f"it cannot be rendered: {type(error).__name__}: {error}."
        return
    text = rendered.text
    if found := _JINJA.search(_without(text, case.inputs)):
        yield f"{found.group()!r} is left of the template's code."
    for message in rendered.messages:
        if not message.content and not message.calls:
            yield f"the message of role {message.role!r} is empty."
    wanted = [case.inputs["question"]] if "question" in case.inputs else []
    wanted += [NO_ANSWER] if template.task in _ANSWERING else []
    for words in [*wanted, *case.contains]:
        if words not in text:
            yield f"{words!r} is missing."
    yield from _unmarked(text, [str(source.number) for source in rendered.sources], [s.text for s in rendered.sources])
    if "text" in case.inputs:
        yield from _unmarked(text, [""], [case.inputs["text"]])
    tokens = sum(count_tokens(message.content) for message in rendered.messages)
    if case.max_tokens is not None and tokens > case.max_tokens:
        yield f"it takes {tokens} tokens, and at most {case.max_tokens} are allowed."


def reply_problems(template: PromptTemplate, case: Case, reply: str) -> Iterator[str]:
    """Yield what is wrong with a language model's reply to a case, as sentences."""
    if template.answer_mark is not None:
        _, mark, reply = reply.partition(template.answer_mark)
        if not mark:
            yield f"the reply does not hold {template.answer_mark!r}, behind which the answer stands."
            return
    reply = reply.strip()
    if not reply:
        yield "the reply is empty."
    for words in case.reply_contains:
        if words.casefold() not in reply.casefold():
            yield f"the reply does not hold {words!r}."
    if template.task not in _ANSWERING:
        return
    if (reply == NO_ANSWER) is not case.is_refused:
        yield f"the reply {'is' if reply == NO_ANSWER else 'is not'} {NO_ANSWER}."
    count = len(case.inputs.get("sources", ()))
    cited = [int(number) for number in _CITED.findall(reply)]
    if not case.is_refused and not any(1 <= number <= count for number in cited):
        yield "the reply cites no source."


def _unmarked(text: str, numbers: Sequence[str], passages: Sequence[str]) -> Iterator[str]:
    """Yield what is missing around passages: a mark with the code on either side, and the number in front."""
    position = 0
    for number, passage in zip(numbers, passages, strict=True):
        start = text.find(passage, position)
        # The opening mark is the last thing in front that carries the code, the closing mark the first thing behind.
        opening = text.rfind(NONCE, position, max(start, position))
        closing = text.find(NONCE, start + len(passage))
        if start < 0:
            yield f"the passage {passage[:40]!r} is missing."
            continue
        if opening < 0 or closing < 0:
            yield f"the passage {passage[:40]!r} does not stand between marks with the code."
            continue
        if number and not re.search(rf"\b{number}\b", text[opening + len(NONCE) : start]):
            yield f"the mark in front of the passage {passage[:40]!r} does not give its number {number}."
        position = closing + len(NONCE)


def _without(text: str, inputs: object) -> str:
    """Return the text without the strings that were put into it: these may hold braces of their own."""
    match inputs:
        case str() if inputs:
            return text.replace(inputs, "")
        case dict():
            return _without(text, list(inputs.values()))
        case list():
            for each in inputs:
                text = _without(text, each)
    return text


def _source(number: int, values: dict[str, Any]) -> Source:
    text = values["text"]
    chunk = StoredChunk(
        chunk_id=number,
        document_id=number,
        vector_store_id="",
        file_id="",
        filename=values["document"],
        title=None,
        attributes={"date": values["date"]} if "date" in values else {},
        created_at=0.0,
        ordinal=0,
        start=0,
        end=len(text),
        text=text,
        context=values.get("section", ""),
        page=values.get("page"),
        box=None,
        page_spans=(),
    )
    return Source(number=number, passage=Passage(chunk=chunk, score=1.0, dense=None, lexical=None))


def _parse(name: str, text: str) -> list[Case]:
    try:
        cases = tomllib.loads(text)["case"]
        return [Case(**case) for case in cases]
    except (ValueError, KeyError, TypeError) as error:
        known = ", ".join(each.name for each in fields(Case))
        raise ConfigurationError(
            f"{name!r} does not hold [[case]] tables with {known}; name and inputs are needed: {error}"
        ) from error
