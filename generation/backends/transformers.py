"""The generator with a language model in this process, on a GPU or a CPU, through transformers."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import torch

from catalog.errors import ConfigurationError, InvalidRequest
from generation.backends.base import (
    DEFAULT_MAX_TOKENS,
    Finished,
    FinishReason,
    Message,
    Prompt,
    Sampling,
    TextDelta,
    Usage,
)
from generation.backends.chat import ChatFormat
from generation.backends.checkpoints import load
from generation.backends.decoding.base import Draw
from generation.backends.decoding.opener import open_decoder
from generation.backends.detokenizer import Detokenizer
from generation.backends.transformers_options import TransformersOptions

# Room for instructions, question and the headers of sources.
_INSTRUCTION_TOKENS: Final = 1024
# In a small context the answer and the instructions take at most a quarter each.
_QUARTER: Final = 4
# Logits divided by less overflow: below it the likeliest token is taken, which is the limit.
_COLDEST: Final = 1e-5
# Prompts with which the decoder is tried when it is opened.
_SAMPLES: Final = ("Name a colour.", "What is two and three? Answer with one word.")


class TransformersGenerator:
    """Any chat model that transformers loads. Greedy unless a temperature is asked for."""

    # How a model writes its calls is in no chat template: each family has a parser of its own in the servers.
    calls_tools = False

    def __init__(self, options: TransformersOptions) -> None:
        """Load the model. Raises ConfigurationError naming it and what to do."""
        if options.threads:
            torch.set_num_threads(options.threads)
        loaded = load(options.model, device=options.device, dtype=options.dtype, quantization=options.quantization)
        model, self._chat = loaded.model, ChatFormat(loaded.tokenizer, model=options.model)
        self._stops = list(dict.fromkeys([*self._chat.stops, *_ids(model.generation_config.eos_token_id)]))
        if not self._stops:
            raise ConfigurationError(f"The model {options.model!r} has no token that ends an answer.")
        context = context_of(model.config.get_text_config(), options.context_tokens)
        self._decoder = open_decoder(
            model,
            stops=self._stops,
            samples=[self._chat.encode([Message(role="user", content=text)]) for text in _SAMPLES],
            context_tokens=context,
            max_batch=options.max_batch,
            cache_tokens=options.cache_tokens,
        )
        self.name = f"transformers {loaded.name}"
        self.source_tokens = source_tokens(self._decoder.max_tokens, overhead=self._chat.overhead)
        self.description = (
            f"{loaded.name}, {str(model.dtype).removeprefix('torch.')} on {model.device}, context of "
            f"{self._decoder.max_tokens} tokens, {self._decoder.description}"
        )

    def count_tokens(self, text: str) -> int:
        return self._chat.count(text)

    def generate(
        self, prompt: Prompt, *, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        """As the seam says. Raises InvalidRequest when the prompt leaves no room for an answer."""
        ids = self._chat.encode(prompt.messages)
        room = self._decoder.max_tokens - len(ids)
        if room < 1:
            raise InvalidRequest(
                f"The question with its sources has {len(ids)} tokens; the model reads {self._decoder.max_tokens} with "
                "the answer. Ask a shorter question, or for fewer results."
            )
        temperature = sampling.temperature or 0.0
        draw = Draw(
            max_tokens=min(sampling.max_tokens, room),
            temperature=temperature if temperature > _COLDEST else 0.0,
            top_p=1.0 if sampling.top_p is None else sampling.top_p,
        )
        text = Detokenizer(self._chat.decode)
        written, cached, reason = 0, 0, FinishReason.CANCELLED
        with closing(self._decoder.decode(ids, draw, cancelled=cancelled)) as steps:
            for step in steps:
                written, cached = written + len(step.tokens), step.cached_tokens
                if step.tokens and step.tokens[-1] in self._stops:
                    reason = FinishReason.STOP
                elif written == draw.max_tokens:
                    reason = FinishReason.LENGTH
                if piece := text.feed([token for token in step.tokens if token not in self._stops]):
                    yield TextDelta(text=piece)
        if piece := text.finish():
            yield TextDelta(text=piece)
        usage = Usage(input_tokens=len(ids), output_tokens=written, cached_tokens=cached)
        yield Finished(reason=reason, usage=usage)

    def close(self) -> None:
        self._decoder.close()


def source_tokens(context: int, *, overhead: int) -> int:
    """Return the tokens of `context` that answer, instructions and the template's own `overhead` leave to sources."""
    answer = min(DEFAULT_MAX_TOKENS, context // _QUARTER)
    instructions = min(_INSTRUCTION_TOKENS, context // _QUARTER)
    return max(context - answer - instructions - overhead, 0)


def context_of(config: object, wanted: int | None) -> int:
    """Return the tokens that a model reads, or `wanted` of them. Raises ConfigurationError when it reads fewer."""
    own = getattr(config, "max_position_embeddings", None)
    if own is None and wanted is None:
        raise ConfigurationError(
            "The model's config does not say how long a text it reads (max_position_embeddings); set "
            "generator_context_tokens."
        )
    if own is not None and wanted is not None and wanted > own:
        raise ConfigurationError(f"generator_context_tokens={wanted} is more than the {own} that the model reads.")
    return int(wanted or own or 0)


def _ids(eos: int | list[int] | None) -> list[int]:
    """A config may name one end of text, several, or none."""
    return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)
