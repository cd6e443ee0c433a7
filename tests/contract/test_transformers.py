"""The generator with a model in this process keeps the seam's contract, in batches and one answer at a time."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from catalog.errors import ConfigurationError, InvalidRequest, ServiceUnavailable
from generation.backends.base import Finished, FinishReason, Generator, Message, Prompt, Sampling, TextDelta
from generation.backends.opener import open_generator
from generation.backends.transformers import TransformersGenerator
from generation.backends.transformers_options import TransformersOptions
from tests.builders import EMBEDDER
from tests.chat_models import CONTEXT, a_llama, a_mamba, a_tokenizer

GREEDY = Sampling(max_tokens=24)
QUESTIONS = [f"What is in box {number}? " + "Look well. " * number for number in range(12)]


def a_prompt(question: str) -> Prompt:
    messages = [Message(role="system", content="Be brief."), Message(role="user", content=question)]
    return Prompt(question=question, sources=(), messages=messages, template="a", version=1, sha256="0")


def opened(folder: Path, **overrides: Any) -> TransformersGenerator:
    fields: dict[str, Any] = {"model": str(folder), "device": "cpu", "dtype": "float32", "max_batch": 8}
    options = TransformersOptions(**fields | overrides)
    generator = open_generator("transformers", embedder=EMBEDDER, min_evidence=0, transformers=options)
    assert isinstance(generator, TransformersGenerator)
    return generator


def never() -> bool:
    return False


def text_of(generator: Generator, question: str, sampling: Sampling = GREEDY) -> str:
    pieces = generator.generate(a_prompt(question), sampling=sampling, cancelled=never)
    return "".join(piece.text for piece in pieces if isinstance(piece, TextDelta))


def plain_tokens(folder: Path, question: str, count: int = GREEDY.max_tokens) -> list[int]:
    """Return what the library's own `generate` continues the same prompt with: the oracle."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    messages = [{"role": m.role, "content": m.content} for m in a_prompt(question).messages]
    tokenizer = a_tokenizer()
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    written = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count)
    return [int(token) for token in written[0, ids.shape[1] :]]


def plain_text(folder: Path, question: str) -> str:
    return str(a_tokenizer().decode(plain_tokens(folder, question), skip_special_tokens=True)).rstrip("\ufffd")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="module")
def paged(llama: Path) -> Iterator[TransformersGenerator]:
    generator = opened(llama)
    yield generator
    generator.close()


@pytest.fixture(scope="module")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_mamba(tmp_path_factory.mktemp("models") / "tiny-mamba")


@pytest.fixture(scope="module")
def sequential(mamba: Path) -> Iterator[TransformersGenerator]:
    generator = opened(mamba, context_tokens=CONTEXT)
    yield generator
    generator.close()


class TransformersContract:
    @pytest.fixture
    def generator(self) -> TransformersGenerator:
        raise NotImplementedError

    @pytest.fixture
    def folder(self) -> Path:
        raise NotImplementedError

    def test_finished_comes_last_and_once(self, generator: TransformersGenerator) -> None:
        """Text first, then one Finished with the tokens of the whole prompt and of the answer."""
        *deltas, end = generator.generate(a_prompt("Red?"), sampling=GREEDY, cancelled=never)
        assert all(isinstance(delta, TextDelta) and delta.text for delta in deltas)
        assert isinstance(end, Finished)
        assert (FinishReason.LENGTH, GREEDY.max_tokens) == (end.reason, end.usage.output_tokens)
        rendered = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nRed?<|im_end|>\n<|im_start|>assistant\n"
        assert end.usage.input_tokens == generator.count_tokens(rendered)

    def test_the_text_is_that_of_a_plain_generation(self, generator: TransformersGenerator, folder: Path) -> None:
        """Without a temperature the likeliest token is taken, as the library's `generate` does."""
        for question in QUESTIONS[:3]:
            assert text_of(generator, question) == plain_text(folder, question)

    def test_many_at_once_say_what_each_says_alone(self, generator: TransformersGenerator) -> None:
        """Answers that share the device do not see one another."""
        alone = [text_of(generator, question) for question in QUESTIONS]
        with ThreadPoolExecutor(len(QUESTIONS)) as threads:
            together = list(threads.map(lambda question: text_of(generator, question), QUESTIONS))
        assert together == alone

    def test_it_ends_soon_after_it_is_cancelled(self, generator: TransformersGenerator) -> None:
        """The rest is not written, and the next question is answered."""
        gone = threading.Event()
        pieces = generator.generate(a_prompt("Red?"), sampling=Sampling(max_tokens=400), cancelled=gone.is_set)
        next(pieces)
        gone.set()
        *_, end = pieces
        assert isinstance(end, Finished)
        assert end.reason is FinishReason.CANCELLED
        assert 0 < end.usage.output_tokens < 400
        assert text_of(generator, "Green?")

    def test_nothing_is_written_for_who_is_gone_already(self, generator: TransformersGenerator) -> None:
        """A request that was cancelled in the queue costs no tokens."""
        (end,) = generator.generate(a_prompt("Red?"), sampling=GREEDY, cancelled=lambda: True)
        assert isinstance(end, Finished)
        assert (end.reason, end.usage.output_tokens) == (FinishReason.CANCELLED, 0)

    def test_a_reader_that_stops_reading_makes_room(self, generator: TransformersGenerator) -> None:
        """Closing the iterator in the middle of an answer ends the generation."""
        pieces = generator.generate(a_prompt("Red?"), sampling=Sampling(max_tokens=400), cancelled=never)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined] # A generator of Python, which the seam calls an iterator.
        assert text_of(generator, "Green?")

    def test_a_stop_token_ends_the_answer(self, folder: Path, tmp_path: Path, generator: TransformersGenerator) -> None:
        """The model's config names it; it is not part of the text."""
        tokens = plain_tokens(folder, "Red?")
        stop = next(token for token in tokens[3:] if token not in tokens[:3])
        shutil.copytree(folder, tmp_path / "stops")
        config = tmp_path / "stops" / "generation_config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token_id": stop}))
        stopping = opened(tmp_path / "stops", context_tokens=CONTEXT)
        try:
            *deltas, end = stopping.generate(a_prompt("Red?"), sampling=GREEDY, cancelled=never)
        finally:
            stopping.close()
        assert isinstance(end, Finished)
        assert (FinishReason.STOP, tokens.index(stop) + 1) == (end.reason, end.usage.output_tokens)
        written = a_tokenizer().decode(tokens[: tokens.index(stop)], skip_special_tokens=True)
        assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == written.rstrip("\ufffd")

    def test_a_prompt_without_room_for_an_answer_is_refused(self, generator: TransformersGenerator) -> None:
        """The error says how many tokens it has and how many fit."""
        with pytest.raises(InvalidRequest, match=f"{CONTEXT}"):
            text_of(generator, "long " * CONTEXT)

    def test_the_context_bounds_the_answer(self, generator: TransformersGenerator) -> None:
        """A prompt that leaves less room than was asked for gets a shorter answer."""
        prompt = a_prompt("x" * (CONTEXT - 100))
        *_, end = generator.generate(prompt, sampling=Sampling(max_tokens=400), cancelled=never)
        assert isinstance(end, Finished)
        assert end.reason is FinishReason.LENGTH
        assert end.usage.input_tokens + end.usage.output_tokens == CONTEXT

    def test_a_temperature_draws(self, generator: TransformersGenerator) -> None:
        """Drawn answers differ; temperature 0 or next to it and a tiny share of the probability take the likeliest."""
        drawn = {text_of(generator, "Red?", Sampling(max_tokens=24, temperature=2.0)) for _ in range(4)}
        assert len(drawn) > 1
        for sampling in (
            Sampling(max_tokens=24, temperature=0.0),
            Sampling(max_tokens=24, temperature=1.0, top_p=1e-6),
            Sampling(max_tokens=24, temperature=1e-44),
        ):
            assert text_of(generator, "Red?", sampling) == text_of(generator, "Red?")

    def test_a_failure_of_the_model_is_told_and_survived(self, generator: TransformersGenerator) -> None:
        """Whoever waits gets ServiceUnavailable, and the next question its answer."""
        before = text_of(generator, "Red?")
        broken = _break_once(generator._decoder._model)  # type: ignore[attr-defined] # Both ways have one.
        with pytest.raises(ServiceUnavailable, match="broken on purpose"):
            text_of(generator, "Red?")
        broken.remove()
        assert text_of(generator, "Red?") == before

    def test_a_closed_generator_refuses(self, folder: Path, generator: TransformersGenerator) -> None:
        """A question that comes while the service ends gets an error, not silence."""
        closed = opened(folder, context_tokens=CONTEXT)
        closed.close()
        with pytest.raises(ServiceUnavailable):
            text_of(closed, "Red?")
        assert text_of(generator, "Red?")

    def test_sources_leave_room(self, generator: TransformersGenerator) -> None:
        """Half of a small context is for sources, but for what the chat template takes."""
        assert CONTEXT // 4 < generator.source_tokens < CONTEXT // 2


class TestInBatches(TransformersContract):
    @pytest.fixture
    def generator(self, paged: TransformersGenerator) -> TransformersGenerator:
        return paged

    @pytest.fixture
    def folder(self, llama: Path) -> Path:
        return llama

    def test_it_says_how_answers_share_the_device(self, paged: TransformersGenerator) -> None:
        """`footnote doctor` shows model, number format, device, context and the way of batching."""
        for part in ("tiny-llama", "float32", "cpu", f"{CONTEXT} tokens", "continuous batching of up to 8 answers"):
            assert part in paged.description

    def test_a_prompt_that_begins_alike_is_not_read_again(self, paged: TransformersGenerator) -> None:
        """Whole pages of an earlier prompt are taken from memory, and Usage says how many tokens that were."""
        question = "the same beginning " * 8
        text_of(paged, question + "one")
        *_, end = paged.generate(a_prompt(question + "two"), sampling=GREEDY, cancelled=never)
        assert isinstance(end, Finished)
        assert len(question) <= end.usage.cached_tokens < end.usage.input_tokens

    def test_pages_are_free_when_an_answer_ends(self, paged: TransformersGenerator) -> None:
        """Whether it was finished, cancelled or left by its reader."""
        gone = threading.Event()
        text_of(paged, "Finished?")
        pieces = paged.generate(a_prompt("Cancelled?"), sampling=Sampling(max_tokens=400), cancelled=gone.is_set)
        next(pieces)
        gone.set()
        list(pieces)
        pieces = paged.generate(a_prompt("Left?"), sampling=Sampling(max_tokens=400), cancelled=never)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined] # A generator of Python, which the seam calls an iterator.
        processor = paged._decoder._manager.batch_processor  # type: ignore[attr-defined] # Of the paged way.
        assert _becomes_true(lambda: not processor.scheduler.has_pending_requests())
        assert all(not allocator.block_table for allocator in processor.cache.cache_allocators.values())

    def test_more_answers_than_fit_into_memory_are_all_written(self, llama: Path) -> None:
        """With pages for two contexts and twelve long answers, those without room wait, or are read anew."""
        crowded = opened(llama, cache_tokens=2 * CONTEXT)
        try:
            alone = [text_of(crowded, question, Sampling(max_tokens=200)) for question in QUESTIONS]
            with ThreadPoolExecutor(len(QUESTIONS)) as threads:
                ask: Callable[[str], str] = lambda question: text_of(crowded, question, Sampling(max_tokens=200))  # noqa: E731
                assert list(threads.map(ask, QUESTIONS)) == alone
        finally:
            crowded.close()

    def test_memory_that_is_not_there_is_told_at_the_start(self, llama: Path) -> None:
        """The error names the settings that ask for less."""
        with pytest.raises(ConfigurationError, match="generator_cache_tokens"):
            opened(llama, cache_tokens=10**12)


class TestOneAtATime(TransformersContract):
    @pytest.fixture
    def generator(self, sequential: TransformersGenerator) -> TransformersGenerator:
        return sequential

    @pytest.fixture
    def folder(self, mamba: Path) -> Path:
        return mamba

    def test_it_says_why(self, sequential: TransformersGenerator) -> None:
        """A model that cannot be batched says so, and what the library said."""
        assert "one answer at a time, because the library cannot batch it" in sequential.description

    def test_who_waits_for_a_turn_may_leave(self, sequential: TransformersGenerator) -> None:
        """A question behind a long answer is cancelled before its turn comes."""
        first = sequential.generate(a_prompt("Red?"), sampling=Sampling(max_tokens=400), cancelled=never)
        next(first)
        (end,) = sequential.generate(a_prompt("Green?"), sampling=GREEDY, cancelled=lambda: True)
        assert isinstance(end, Finished)
        assert end.reason is FinishReason.CANCELLED
        first.close()  # type: ignore[attr-defined] # A generator of Python, which the seam calls an iterator.


def test_a_batch_that_mixes_its_answers_is_not_used(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial at the start finds it out, and answers are written one at a time."""
    from generation.backends.decoding import attention

    monkeypatch.setattr(attention, "attend", lambda query, *_: query.transpose(1, 2))
    generator = opened(llama)
    try:
        assert "because it writes other tokens in a batch than alone" in generator.description
        assert text_of(generator, "Red?") == plain_text(llama, "Red?")
    finally:
        generator.close()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model": "nothing-there"}, "generator_model="),
        ({"quantization": "bitsandbytes-4bit"}, "bitsandbytes"),
        ({"context_tokens": 10 * CONTEXT}, f"more than the {CONTEXT}"),
        ({"device": "nonsense"}, "nonsense"),
    ],
)
def test_what_cannot_be_loaded_is_told(llama: Path, overrides: dict[str, Any], message: str, tmp_path: Path) -> None:
    """ConfigurationError names the thing and the way out."""
    if "model" in overrides:
        overrides = {"model": str(tmp_path / overrides["model"])}
    with pytest.raises(ConfigurationError, match=message):
        opened(llama, **overrides)


def test_a_model_has_to_be_named() -> None:
    """generator=transformers alone says which setting is missing."""
    with pytest.raises(ConfigurationError, match="generator_model"):
        open_generator("transformers", embedder=EMBEDDER, min_evidence=0)


def _break_once(model: Any) -> Any:
    """Let the next step of the model fail; return what ends that."""
    is_broken = iter([True])

    def fail(*_: Any) -> None:
        if next(is_broken, False):
            raise RuntimeError("broken on purpose")

    return model.register_forward_pre_hook(fail)


def _becomes_true(condition: Callable[[], bool], *, attempts: int = 200) -> bool:
    pause = threading.Event()
    return any(condition() or pause.wait(0.05) for _ in range(attempts))
