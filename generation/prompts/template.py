"""A prompt: one versioned Jinja file with a front matter, and its rendering into messages."""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, cast

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from catalog.errors import ConfigurationError
from generation.backends.base import NO_ANSWER, Message, Prompt, Source, Tool
from generation.packing import heading
from generation.turns import Turn
from generation.visible import visible

_FENCE: Final = "+++"
_ROLES: Final = ("system", "user", "assistant")
# The block that answers a call.
_TOOL: Final = "tool"


class PromptTask(StrEnum):
    """What a prompt is for. It decides which variables the file may use: docs/prompts.md."""

    ANSWER = "answer"
    # The same, by a model that searches itself: a block `tool` answers its calls.
    SEARCH = "search"
    # A question that follows up on earlier ones, made to stand alone.
    REWRITE = "rewrite"
    # The oldest turns of a long conversation, in a few sentences.
    COMPACTION = "compaction"
    # What to search for next, for a question of several parts.
    DECOMPOSITION = "decomposition"
    SUMMARY = "summary"
    EXTRACTION = "extraction"
    CLASSIFICATION = "classification"
    TRANSLATION = "translation"


@dataclass(frozen=True, kw_only=True)
class PromptTemplate:
    """A template with its front matter. Rendering is deterministic: the same inputs give the same bytes."""

    name: str
    version: int
    purpose: str
    task: PromptTask
    # How it goes about its task: zero-shot, few-shot, reasoning.
    variant: str
    # Of a generator's text only what stands behind this is the answer; None: all of it.
    answer_mark: str | None
    # Of the whole file, so that an edited template without a new version is told apart.
    sha256: str
    # The whole file.
    text: str
    template: jinja2.Template

    def render(
        self, question: str, sources: Sequence[Source], *, nonce: str, turns: Sequence[Turn] = (), earlier: str = ""
    ) -> Prompt:
        """Return the prompt for an answer.

        `nonce`: fresh and unguessable for each request, so that no document can forge the marks around sources.
        `turns`: what was said before, oldest first; `earlier`: what stands for still older ones.
        """
        messages = self.messages(
            question=question,
            nonce=nonce,
            no_answer=NO_ANSWER,
            turns=turns,
            earlier=earlier,
            sources=[_fields(source) for source in sources],
        )
        return self.prompt(messages, question=question, sources=sources)

    def messages(self, **values: Any) -> list[Message]:
        """Return the blocks as messages, in the order of the file. Raises jinja2.TemplateError.

        What is hidden in a value is shown, and what a chat template means is put into other signs: whoever wrote it.
        """
        context = self.template.new_context({name: _shown(value) for name, value in values.items()})
        return [
            Message(role=_role(name), content="".join(render(context)).strip())
            for name, render in self.template.blocks.items()
            if name != _TOOL
        ]

    def tool_result(self, sources: Sequence[Source], *, nonce: str, **values: Any) -> str:
        """Return what a call of a tool is answered with, of a prompt for the task `search`."""
        values |= {"sources": [_fields(source) for source in sources], "nonce": nonce}
        context = self.template.new_context({name: _shown(value) for name, value in values.items()})
        return "".join(self.template.blocks[_TOOL](context)).strip()

    def prompt(
        self,
        messages: Sequence[Message],
        *,
        question: str = "",
        sources: Sequence[Source] = (),
        tools: Sequence[Tool] = (),
        may_call: bool = False,
    ) -> Prompt:
        return Prompt(
            question=question,
            sources=sources,
            messages=messages,
            tools=tools,
            may_call=may_call,
            template=self.name,
            version=self.version,
            sha256=self.sha256,
        )


def _fields(source: Source) -> dict[str, Any]:
    return {"number": source.number, **heading(source.passage.chunk), "text": source.text}


def _shown(value: Any) -> Any:
    match value:
        case str():
            return visible(value)
        case Turn():
            return {"question": visible(value.question), "answer": visible(value.answer)}
        case Mapping():
            return {name: _shown(one) for name, one in value.items()}
        case list() | tuple():
            return [_shown(one) for one in value]
    return value


def parse_template(name: str, text: str) -> PromptTemplate:
    """Return the template that is written in a file. Raises ConfigurationError that says what is wrong with it."""
    try:
        _, front_matter, body = text.split(_FENCE, 2)
        fields = tomllib.loads(front_matter)
    except ValueError as error:
        raise ConfigurationError(f"Prompt {name!r} does not begin with a front matter between +++ lines.") from error
    # No HTML is made here: the text goes to a language model as it is. A file may be anybody's: it gets values, and no
    # way to Python behind them.
    environment = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    try:
        template = environment.from_string(body)
    except jinja2.TemplateSyntaxError as error:
        line = error.lineno + front_matter.count("\n")
        raise ConfigurationError(f"Prompt {name!r}, line {line}: {error.message}") from error
    known = _front_matter(name, fields)
    _check_blocks(name, known["task"], template)
    return PromptTemplate(**known, sha256=hashlib.sha256(text.encode()).hexdigest(), text=text, template=template)


def _front_matter(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    kinds = {"name": str, "version": int, "purpose": str, "task": str, "variant": str, "answer_mark": str}
    known: dict[str, Any] = {"variant": "zero-shot", "answer_mark": None} | fields
    for key, kind in kinds.items():
        if key != "answer_mark" and not isinstance(known.get(key), kind):
            raise ConfigurationError(f"Prompt {name!r} needs {key!r} in its front matter, a {kind.__name__}.")
    if unknown := sorted(known.keys() - kinds.keys()):
        raise ConfigurationError(f"Prompt {name!r} has {unknown[0]!r} in its front matter; use {', '.join(kinds)}.")
    if known["name"] != name:
        raise ConfigurationError(f"Prompt {name!r} calls itself {known['name']!r}; its file has to be called so too.")
    if known["task"] not in set(PromptTask):
        raise ConfigurationError(f"Prompt {name!r} has task {known['task']!r}; use one of {', '.join(PromptTask)}.")
    if known["answer_mark"] is not None and not (isinstance(known["answer_mark"], str) and known["answer_mark"]):
        raise ConfigurationError(f"Prompt {name!r} has answer_mark {known['answer_mark']!r}; it has to be some text.")
    return known | {"task": PromptTask(known["task"])}


def _check_blocks(name: str, task: PromptTask, template: jinja2.Template) -> None:
    names = [block for block in template.blocks if block != _TOOL]
    if (_TOOL in template.blocks) is not (task is PromptTask.SEARCH):
        raise ConfigurationError(
            f"Prompt {name!r} is for the task {task.value!r}; a block {_TOOL!r}, which answers a model's calls, is of "
            f"the task {PromptTask.SEARCH.value!r} alone, and that one needs it."
        )
    for block in names:
        if block.split("_", 1)[0] not in _ROLES:
            raise ConfigurationError(
                f"Prompt {name!r} has a block {block!r}; blocks are messages, called system, user or assistant, "
                "and of examples user_1, assistant_1 and so on."
            )
    if not names or _role(names[-1]) != "user":
        raise ConfigurationError(f"Prompt {name!r} has to end with a block 'user', which the model replies to.")


def _role(block: str) -> Literal["system", "user", "assistant"]:
    return cast(Literal["system", "user", "assistant"], block.split("_", 1)[0])
