"""What every generator promises. A back end inherits the class and says how it is opened."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from generation.backends.base import Finished, FinishReason, Generator, Prompt, Sampling, TextDelta
from generation.prompts import load_template
from tests.builders import a_passage, sources_of

PUMP = "The boiler is in the cellar. The red pump is checked every second spring. Nobody knows the violin."
ROOF = "The roof was covered with slate in the autumn of 2011, and has a guarantee of forty years."
QUESTION = "When is the red pump checked?"


def a_prompt(question: str = QUESTION, *texts: str) -> Prompt:
    passages = [a_passage(text, score=1 - n / 10, document_id=n) for n, text in enumerate(texts or (PUMP, ROOF))]
    return load_template("answer").render(question, sources_of(passages), nonce="n")


def never() -> bool:
    return False


def begin(
    generator: Generator, prompt: Prompt | None = None, *, cancelled: Callable[[], bool] = never, max_tokens: int = 64
) -> Iterator[TextDelta | Finished]:
    """Answer with the likeliest token each time."""
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0)
    return generator.generate(prompt or a_prompt(), sampling=sampling, cancelled=cancelled)


def write(generator: Generator, prompt: Prompt | None = None, *, max_tokens: int = 64) -> tuple[str, Finished]:
    """Return the text of a whole answer, and how it ended: last and once."""
    *pieces, last = begin(generator, prompt, max_tokens=max_tokens)
    assert isinstance(last, Finished)
    texts = [piece.text for piece in pieces if isinstance(piece, TextDelta)]
    assert len(texts) == len(pieces), "Finished came before the end"
    assert all(texts), "an empty piece says nothing"
    return "".join(texts), last


class GeneratorContract:
    """Inherit, and provide the fixture `opened`, best with the scope of the class."""

    # Of each answer: fewer for a model that is slow here.
    max_tokens = 64

    @pytest.fixture
    def opened(self) -> Generator:
        raise NotImplementedError

    def test_an_answer_is_text_and_then_its_end(self, opened: Generator) -> None:
        """Pieces of text, none of them empty, and last and once how it ended."""
        text, finished = write(opened, max_tokens=self.max_tokens)
        assert text.strip()
        assert finished.reason in {FinishReason.STOP, FinishReason.LENGTH}

    def test_usage_counts_what_was_read_and_written(self, opened: Generator) -> None:
        """Some tokens of each, no more written than allowed, and no more remembered than read."""
        _, finished = write(opened, max_tokens=self.max_tokens)
        usage = finished.usage
        assert 0 <= usage.cached_tokens <= usage.input_tokens
        assert usage.input_tokens >= 10
        assert 1 <= usage.output_tokens <= self.max_tokens

    def test_the_limit_of_tokens_is_kept(self, opened: Generator) -> None:
        """What would be longer ends with LENGTH."""
        text, finished = write(opened, max_tokens=2)
        assert finished.reason is FinishReason.LENGTH
        assert finished.usage.output_tokens <= 2
        assert len(text) < 40

    def test_who_is_gone_from_the_beginning_gets_nothing(self, opened: Generator) -> None:
        """The only event is the end."""
        (last,) = begin(opened, cancelled=lambda: True)
        assert isinstance(last, Finished)
        assert last.reason is FinishReason.CANCELLED

    def test_who_leaves_in_mid_answer_ends_it(self, opened: Generator) -> None:
        """Soon after `cancelled` is true nothing more comes but the end."""
        looks = itertools.count()
        *pieces, last = begin(opened, cancelled=lambda: next(looks) > 0)
        assert isinstance(last, Finished)
        assert len(pieces) <= 2

    def test_an_answer_may_be_left_without_a_word(self, opened: Generator) -> None:
        """The iterator is dropped in mid-answer, and the next answer is as any other."""
        expected = write(opened, max_tokens=self.max_tokens)[0]
        left = begin(opened, max_tokens=self.max_tokens)
        next(left)
        left.close()  # type: ignore[attr-defined]
        assert write(opened, max_tokens=self.max_tokens)[0] == expected

    def test_the_same_prompt_has_the_same_answer(self, opened: Generator) -> None:
        """With the likeliest token each time."""
        assert write(opened, max_tokens=self.max_tokens)[0] == write(opened, max_tokens=self.max_tokens)[0]

    def test_eight_threads_get_their_own_answers(self, opened: Generator) -> None:
        """Answers at the same time do not mix."""
        prompts = [a_prompt(QUESTION, PUMP.replace("red", colour)) for colour in ("red", "blue", "green", "grey")] * 2
        alone = [write(opened, prompt, max_tokens=self.max_tokens)[0] for prompt in prompts]
        with ThreadPoolExecutor(len(prompts)) as pool:
            assert list(pool.map(lambda prompt: write(opened, prompt, max_tokens=self.max_tokens)[0], prompts)) == alone

    def test_tokens_of_a_text_are_counted(self, opened: Generator) -> None:
        """None for no text, more for more, and far less than the budget for a sentence."""
        assert opened.count_tokens("") == 0
        one, two = opened.count_tokens(ROOF), opened.count_tokens(f"{ROOF}\n{PUMP}")
        assert 5 <= one < two
        assert two < opened.source_tokens

    def test_it_has_a_name(self, opened: Generator) -> None:
        """Traces tell by it who wrote an answer."""
        assert opened.name.strip()
