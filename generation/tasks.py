"""What a language model does with a document besides answering: summary, extraction, classification, translation.

The text stands in the prompt between marks with a fresh code, so that it cannot give orders. Each raises
InvalidRequest without a language model, and ServiceUnavailable when a reply is not what was asked for.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jsonschema
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from catalog.errors import InvalidRequest, ServiceUnavailable
from generation.backends.base import FinishReason, Generator
from generation.completion import complete, require_language_model
from generation.prompts import PromptRegistry, PromptTask
from generation.prompts.cases import open_prompt
from retrieval.sentences import split_sentences

_SUMMARY_TOKENS: Final = 400
_SENTENCES_OF_PART: Final = 5
_SENTENCES_OF_WHOLE: Final = 8
_EXTRACTION_TOKENS: Final = 1024
_LABEL_TOKENS: Final = 40
# A model that did not fit the schema is told why, and asked again.
_TRIES: Final = 2
# A translation may be so many times as many tokens as its original.
_TRANSLATION_GROWTH: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentTasks:
    """The tasks, by one generator and the prompts of a registry."""

    generator: Generator
    prompts: PromptRegistry
    # The name of the prompt that they are done by; without one that of the task: `summary`, `extraction` and so on.
    prompt: str | None = None

    def __post_init__(self) -> None:
        require_language_model(self.generator, "Work on documents")

    def summarize(self, text: str) -> str:
        """Return a summary of at most eight sentences.

        Map and reduce: of a text that the generator cannot read at once, the parts are summarised, and then the
        summaries, until one is left.
        """
        parts, is_merge = self._split(text), False
        while True:
            is_whole = len(parts) == 1
            summaries = [
                self._reply(
                    PromptTask.SUMMARY,
                    max_tokens=_SUMMARY_TOKENS,
                    text=part,
                    is_merge=is_merge,
                    is_whole=is_whole,
                    max_sentences=_SENTENCES_OF_WHOLE if is_whole else _SENTENCES_OF_PART,
                )
                for part in parts
            ]
            if is_whole:
                return summaries[0]
            merged = self._split("\n\n".join(summaries))
            if len(merged) >= len(parts):
                raise ServiceUnavailable(
                    f"The summaries of {len(parts)} parts are no shorter than what they were made of; "
                    "the language model does not keep to a length."
                )
            parts, is_merge = merged, True

    def extract(self, text: str, schema: Mapping[str, Any]) -> Any:
        """Return a JSON value that fits a JSON schema. Raises InvalidRequest for a schema that is none."""
        validate = _validation(schema)
        self._check_length(text)
        problem = ""
        for _ in range(_TRIES):
            reply = self._reply(
                PromptTask.EXTRACTION,
                max_tokens=_EXTRACTION_TOKENS,
                text=text,
                schema=json.dumps(schema, ensure_ascii=False),
                problem=problem,
            )
            try:
                value = json.loads(_without_fence(reply))
            except ValueError as error:
                problem = f"it is no JSON: {error}"
                continue
            problem = validate(value)
            if not problem:
                return value
        raise ServiceUnavailable(f"The language model's reply does not fit the schema, {_TRIES} times: {problem}")

    def classify(self, text: str, labels: Sequence[str]) -> str:
        """Return the label that fits best; a text that is too long is judged by its beginning."""
        if len(set(labels)) < 2:
            raise InvalidRequest(f"A classification needs two labels or more, and there are {list(labels)!r}.")
        beginning = self._split(text)[0]
        reply = self._reply(PromptTask.CLASSIFICATION, max_tokens=_LABEL_TOKENS, text=beginning, labels=list(labels))
        folded = {_bare(label): label for label in labels}
        if (label := folded.get(_bare(reply))) is None:
            raise ServiceUnavailable(f"The language model replied {reply!r}, which is none of the labels.")
        return label

    def translate(self, text: str, language: str) -> Iterator[str]:
        """Yield the translation part by part; `language` in words, as "German"."""
        # Prompt and reply share the model's window.
        budget = self.generator.source_tokens // (1 + _TRANSLATION_GROWTH)
        for part in split_text(text, budget=budget, count_tokens=self.generator.count_tokens):
            limit = _TRANSLATION_GROWTH * self.generator.count_tokens(part) + _LABEL_TOKENS
            yield self._reply(PromptTask.TRANSLATION, max_tokens=limit, text=part, language=language)

    def _split(self, text: str) -> list[str]:
        return split_text(text, budget=self.generator.source_tokens, count_tokens=self.generator.count_tokens)

    def _check_length(self, text: str) -> None:
        tokens, most = self.generator.count_tokens(text), self.generator.source_tokens
        if tokens > most:
            raise InvalidRequest(f"The text has {tokens} tokens, and the language model reads at most {most} at once.")

    def _reply(self, task: PromptTask, *, max_tokens: int, **values: Any) -> str:
        name = self.prompt or task.value
        template = open_prompt(self.prompts, name, task=task, count_tokens=self.generator.count_tokens)
        nonce = secrets.token_hex(8)
        reply = complete(self.generator, template, max_tokens=max_tokens, nonce=nonce, **values)
        if reply.reason is not FinishReason.STOP or not reply.text:
            marked = f", does not hold {template.answer_mark!r}," if template.answer_mark else ""
            raise ServiceUnavailable(
                f"The language model's reply for the task {task.value!r} is empty{marked} or was cut at {max_tokens} "
                "tokens."
            )
        return reply.text


def split_text(text: str, *, budget: int, count_tokens: Callable[[str], int]) -> list[str]:
    """Return the text in parts of at most `budget` tokens, cut behind sentences, and inside of longer ones.

    Raises InvalidRequest for a text without words.
    """
    spans = [
        piece for span in split_sentences(text) for piece in _pieces(text, span, budget=budget, count=count_tokens)
    ]
    if not spans:
        raise InvalidRequest("There is no text to work on.")
    parts: list[str] = []
    start, used = spans[0][0], 0
    end = start
    for first, last in spans:
        tokens = count_tokens(text[first:last])
        if used and used + tokens > budget:
            parts.append(text[start:end])
            start, used = first, 0
        end, used = last, used + tokens
    return [*parts, text[start:end]]


def _pieces(text: str, span: tuple[int, int], *, budget: int, count: Callable[[str], int]) -> Iterator[tuple[int, int]]:
    """Yield a sentence, or the halves of one that is too long, and theirs; a single character is never cut."""
    start, end = span
    if end - start < 2 or count(text[start:end]) <= budget:
        yield span
        return
    middle = (start + end) // 2
    for half in ((start, middle), (middle, end)):
        yield from _pieces(text, half, budget=budget, count=count)


def _bare(label: str) -> str:
    return label.strip(" .\"'`*-").casefold()


def _validation(schema: Mapping[str, Any]) -> Callable[[Any], str]:
    """Return what says what is wrong with a value, "" for nothing. A schema cannot make this fetch another one."""
    try:
        kind: type[Validator] = validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidRequest(f"This is no JSON schema: {error.message}") from error
    validator = kind(schema, registry=Registry())

    def validate(value: Any) -> str:
        try:
            error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        except Unresolvable as unknown:
            raise InvalidRequest(f"The schema refers to {unknown.ref!r}, which it does not hold.") from unknown
        return "" if error is None else f"{error.json_path}: {error.message}"

    return validate


def _without_fence(reply: str) -> str:
    """Return what stands in a Markdown code block, where the reply is one."""
    lines = reply.strip().splitlines()
    is_fenced = len(lines) > 2 and lines[0].startswith("```") and lines[-1].startswith("```")
    return "\n".join(lines[1:-1]) if is_fenced else reply
