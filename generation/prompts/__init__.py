"""Prompt templates, one versioned Jinja file each, and their rendering."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, cast

import jinja2

from catalog.errors import ConfigurationError
from generation.backends.base import NO_ANSWER, Message, Prompt, Source
from generation.visible import visible, visible_attribute

_FENCE: Final = "+++"


@dataclass(frozen=True, kw_only=True)
class PromptTemplate:
    """A template with its front matter. Rendering is deterministic: the same inputs give the same bytes."""

    name: str
    version: int
    purpose: str
    # Of the whole file, so that an edited template without a new version is told apart.
    sha256: str
    template: jinja2.Template

    def render(self, question: str, sources: Sequence[Source], *, nonce: str) -> Prompt:
        """`nonce`: fresh and unguessable for each request, so that no document can forge the marks around sources."""
        context = {
            "question": question,
            "nonce": nonce,
            "no_answer": NO_ANSWER,
            "sources": [
                {
                    "number": source.number,
                    "document": visible_attribute(source.passage.chunk.filename),
                    "page": source.passage.chunk.page,
                    "text": visible(source.text),
                }
                for source in sources
            ],
        }
        blocks = self.template.blocks
        messages = [
            Message(role=role, content="".join(blocks[role](self.template.new_context(context))).strip())
            for role in ("system", "user")
        ]
        return Prompt(
            question=question,
            sources=sources,
            messages=messages,
            template=self.name,
            version=self.version,
            sha256=self.sha256,
        )


def load_template(name: str) -> PromptTemplate:
    """Return the template `name`. Raises ConfigurationError for an unknown one or a broken front matter."""
    resource = files("generation.prompts").joinpath(f"{name}.md.j2")
    if not resource.is_file():
        raise ConfigurationError(f"There is no prompt {name!r}.")
    text = resource.read_text(encoding="utf-8")
    try:
        _, front_matter, body = text.split(_FENCE, 2)
        fields = tomllib.loads(front_matter)
    except ValueError as error:
        raise ConfigurationError(f"Prompt {name!r} does not begin with a front matter between +++ lines.") from error
    # No HTML is made here: the text goes to a language model as it is.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    return PromptTemplate(
        name=cast(str, fields["name"]),
        version=cast(int, fields["version"]),
        purpose=cast(str, fields["purpose"]),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        template=environment.from_string(body),
    )
