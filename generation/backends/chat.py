"""A conversation as the tokens that a model was trained on."""

import re
from collections.abc import Sequence
from typing import Any

import jinja2

from catalog.errors import ConfigurationError
from generation.backends.base import Message


class ChatFormat:
    """A tokenizer with its chat template. Thread-safe."""

    def __init__(self, tokenizer: Any, *, model: str) -> None:
        """`tokenizer`: of transformers. Raises ConfigurationError without a chat template or a fast tokenizer."""
        if not tokenizer.chat_template:
            raise ConfigurationError(
                f"The model {model!r} has no chat template: it was not trained to answer. Set generator_model to a "
                "chat or instruct model."
            )
        if not getattr(tokenizer, "is_fast", False):
            raise ConfigurationError(
                f"The tokenizer of {model!r} is a {type(tokenizer).__name__}, which cannot be shared by threads. Save "
                "the model with its tokenizer.json."
            )
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._special = re.compile("|".join(map(re.escape, sorted(specials, key=len, reverse=True))) or r"(?!)")
        self._special_ids = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._takes_system = self._renders([Message(role="system", content="a"), Message(role="user", content="b")])

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens up to where the assistant's answer begins."""
        return self._ids(messages, is_answer_next=True)

    def count(self, text: str) -> int:
        return len(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._backend.decode(list(tokens), skip_special_tokens=True))

    @property
    def overhead(self) -> int:
        """Tokens around a system and a user message."""
        return len(self.encode([Message(role="system", content=""), Message(role="user", content="")]))

    @property
    def stops(self) -> list[int]:
        """The special token that the template puts behind an answer, and the tokenizer's own end of text."""
        question, answer = Message(role="user", content="a"), Message(role="assistant", content="b")
        before = self.encode([question])
        whole = self._ids([question, answer], is_answer_next=False)
        behind = whole[len(before) :] if whole[: len(before)] == before else []
        ends = [token for token in behind if token in self._special_ids][:1]
        end = self._tokenizer.eos_token_id
        return list(dict.fromkeys([*ends, *([] if end is None else [int(end)])]))

    def _ids(self, messages: Sequence[Message], *, is_answer_next: bool) -> list[int]:
        parts = [{"role": message.role, "content": self._inert(message.content)} for message in messages]
        if not self._takes_system:
            parts = _without_system(parts)
        text = self._tokenizer.apply_chat_template(parts, tokenize=False, add_generation_prompt=is_answer_next)
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def _inert(self, text: str) -> str:
        """Break the names of special tokens, so that no document can end its message and begin another."""
        return self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def _renders(self, messages: Sequence[Message]) -> bool:
        """Some templates refuse a system message."""
        parts = [{"role": message.role, "content": message.content} for message in messages]
        try:
            self._tokenizer.apply_chat_template(parts, tokenize=False)
        except jinja2.TemplateError:
            return False
        return True


def _without_system(parts: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Put what the system says in front of the first other message."""
    system = "\n\n".join(part["content"] for part in parts if part["role"] == "system")
    others = [part for part in parts if part["role"] != "system"]
    if system and others:
        others[0] = others[0] | {"content": f"{system}\n\n{others[0]['content']}"}
    return others
