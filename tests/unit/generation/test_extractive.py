"""The extractive generator quotes the sentences that answer, and refuses when there are none."""

import pytest

from catalog.errors import ConfigurationError
from generation.backends.base import NO_ANSWER, Finished, FinishReason, Prompt, Sampling, TextDelta
from generation.backends.extractive import ExtractiveGenerator, choose_quotes, sentences_of
from generation.backends.opener import open_generator
from generation.prompts import load_template
from retrieval.embedders.hashing import HashingEmbedder
from tests.builders import a_passage, sources_of

PUMP = "The boiler is in the cellar. The red pump is checked every second spring. Nobody knows the violin."


def a_prompt(question: str, *texts: str) -> Prompt:
    passages = [a_passage(text, score=1 - n / 10, document_id=n) for n, text in enumerate(texts)]
    return load_template("answer").render(question, sources_of(passages), nonce="n")


def write(
    generator: ExtractiveGenerator, prompt: Prompt, *, max_tokens: int = 100, cancelled: bool = False
) -> tuple[str, Finished]:
    *pieces, last = generator.generate(prompt, sampling=Sampling(max_tokens=max_tokens), cancelled=lambda: cancelled)
    assert isinstance(last, Finished)
    assert all(isinstance(piece, TextDelta) for piece in pieces)
    return "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)), last


@pytest.fixture
def generator(embedder: HashingEmbedder) -> ExtractiveGenerator:
    return ExtractiveGenerator(embedder)


def test_the_answering_sentence_is_quoted_with_its_source(generator: ExtractiveGenerator) -> None:
    """The text is the sentence word for word, marked with the number of its source."""
    text, finished = write(generator, a_prompt("When is the red pump checked?", "Other matters are here.", PUMP))
    assert text == "The red pump is checked every second spring. [2]"
    assert (finished.reason, finished.usage.output_tokens) == (FinishReason.STOP, 8)
    assert finished.usage.input_tokens == 6 + 4 + 18


@pytest.mark.parametrize("texts", [[], [""], ["Totally different matters, far away."], ["| --- | --- |"]])
def test_without_an_answer_it_refuses(generator: ExtractiveGenerator, texts: list[str]) -> None:
    """No source, or none with evidence: the sign for "no answer" and nothing else."""
    text, finished = write(generator, a_prompt("Who installed a quantum telescope?", *texts))
    assert (text, finished.reason, finished.usage.output_tokens) == (NO_ANSWER, FinishReason.STOP, 0)


def test_the_bar_for_an_answer_can_be_moved(embedder: HashingEmbedder) -> None:
    """With no evidence asked for it quotes the best there is; with more than there can be it never answers."""
    prompt = a_prompt("red pump", PUMP)
    assert write(ExtractiveGenerator(embedder, min_evidence=0.0), prompt)[0] != NO_ANSWER
    assert write(ExtractiveGenerator(embedder, min_evidence=1.1), prompt)[0] == NO_ANSWER


@pytest.mark.parametrize("question", ["When is the red pump checked?", "Who installed a quantum telescope?"])
def test_evidence_says_what_a_threshold_would_have_done(embedder: HashingEmbedder, question: str) -> None:
    """It is the same with any threshold, and the threshold decides nothing but whether it is answered."""
    prompt = a_prompt(question, "Other matters are here.", PUMP)
    free, finished = write(ExtractiveGenerator(embedder, min_evidence=0.0), prompt)
    assert finished.evidence is not None
    for threshold in (finished.evidence - 1e-6, finished.evidence, finished.evidence + 1e-6):
        text, same = write(ExtractiveGenerator(embedder, min_evidence=threshold), prompt)
        assert same.evidence == finished.evidence
        assert text == (free if finished.evidence >= threshold else NO_ANSWER)


def test_without_a_source_there_is_no_evidence(generator: ExtractiveGenerator) -> None:
    """Nothing to quote is the least sure of all."""
    assert write(generator, a_prompt("When is the red pump checked?"))[1].evidence == 0.0


def test_it_ends_at_the_limit_of_tokens(generator: ExtractiveGenerator) -> None:
    """A sentence that does not fit is not begun."""
    text, finished = write(generator, a_prompt("When is the red pump checked?", PUMP), max_tokens=3)
    assert (text, finished.reason) == ("", FinishReason.LENGTH)


def test_it_ends_when_it_is_cancelled(generator: ExtractiveGenerator) -> None:
    """Who is gone gets nothing more."""
    text, finished = write(generator, a_prompt("When is the red pump checked?", PUMP), cancelled=True)
    assert (text, finished.reason) == ("", FinishReason.CANCELLED)


def test_equal_sentences_are_quoted_once(generator: ExtractiveGenerator) -> None:
    """Sources that say the same are one quote; at most three are made, none far below the best."""
    same = generator.candidates("red pump", a_prompt("red pump", *["The red pump is here."] * 3).sources)
    assert len(same) == 3
    assert [quote.source.number for quote in choose_quotes(same)] == [1]
    many = [f"The red pump {n} is here." for n in range(6)]
    quotes = choose_quotes(generator.candidates("red pump", a_prompt("red pump", *many).sources))
    assert 1 <= len(quotes) <= 3
    assert all(quote.evidence >= 0.9 * quotes[0].evidence for quote in quotes)


def test_a_quote_that_contradicts_the_best_is_quoted_too(generator: ExtractiveGenerator) -> None:
    """Two sources with other numbers for the same thing are both seen, though one fits less well."""
    prompt = a_prompt(
        "meal allowance full day",
        "| Meal allowance | Rate |\n| --- | --- |\n| Meal allowance, full day away | EUR 42 |",
        "The meal allowance for a full day of travel was raised to EUR 34 in spring.",
    )
    quotes = choose_quotes(generator.candidates(prompt.question, prompt.sources))
    assert {quote.source.number for quote in quotes} == {1, 2}


def test_what_reads_like_a_marker_is_not_quoted(generator: ExtractiveGenerator) -> None:
    """The only number behind a sentence is that of its source."""
    text, _ = write(generator, a_prompt("When is the red pump checked?", "The red pump is checked[7] in spring.[2]"))
    assert text == "The red pump is checked in spring. [1]"


def test_a_sentence_over_two_lines_is_quoted_as_one(generator: ExtractiveGenerator) -> None:
    """Line ends of a PDF are blanks in an answer."""
    text, _ = write(generator, a_prompt("When is the red pump checked?", "The red pump\nis checked in spring."))
    assert text == "The red pump is checked in spring. [1]"


def test_every_quote_stands_in_its_source(generator: ExtractiveGenerator) -> None:
    """Candidates are ranges of their sources, and none reaches over two paragraphs or into another source."""
    prompt = a_prompt(
        "red pump", f"{PUMP}\n\nA second paragraph follows here.", "| Pump | Size |\n| --- | --- |\n| red | 7 |"
    )
    candidates = generator.candidates("red pump", prompt.sources)
    assert candidates
    for candidate in candidates:
        quote = candidate.source.text[candidate.start : candidate.end]
        assert quote.strip() == quote != ""
        assert "\n\n" not in quote
        assert candidate.text
        assert candidate.text in " ".join(quote.split())


def test_a_table_row_is_quoted_alone_and_read_with_its_columns(generator: ExtractiveGenerator) -> None:
    """The header row says what the cells mean; it is no quote itself, nor is the rule below it."""
    (source,) = a_prompt("?", "| Pump | Size |\n| --- | --- |\n| red | 7 mm |\n| blue | 9 mm |").sources
    assert [row.meaning for row in sentences_of(source)] == ["Pump: red; Size: 7 mm", "Pump: blue; Size: 9 mm"]


def test_generators_are_opened_by_name(embedder: HashingEmbedder) -> None:
    """An unknown name is a wrong setting, and the message has the known ones."""
    assert open_generator("extractive", embedder=embedder, min_evidence=0.5).name == "extractive"
    with pytest.raises(ConfigurationError, match=r"'nonsense'.*extractive"):
        open_generator("nonsense", embedder=embedder, min_evidence=0.5)
