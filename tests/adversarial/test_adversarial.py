"""No document steers the service, whatever a generator makes of it."""

from collections.abc import Iterator

import pytest

from generation.writing import Unsupported
from tests.adversarial.attacks import ATTACKS, KINDS, LINKS, SECRET, Attack
from tests.adversarial.trial import ObedientCaller, ObedientGenerator, Range, a_range


@pytest.fixture(scope="module", params=[Unsupported.FLAG, Unsupported.DROP])
def field(request: pytest.FixtureRequest) -> Iterator[Range]:
    with a_range(request.param) as one:
        yield one


def test_the_collection_is_large_enough() -> None:
    """At least 60 attacks of at least 8 kinds, each with a name of its own."""
    assert len(ATTACKS) >= 60
    assert len(KINDS) >= 8
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_obeyed_attack_does_no_harm(field: Range, attack: Attack) -> None:
    """No way out, no marker as text, no footnote without support, no foreign words, nothing of ours in the prompt."""
    result = field.try_out(attack, ObedientGenerator())
    assert result.harm == [], result.answer.text


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_model_that_searches_itself_does_no_harm_either(field: Range, attack: Attack) -> None:
    """It makes the calls that a document orders: other stores, other tools, hundreds of them. All they do is search."""
    result = field.try_out(attack, ObedientCaller())
    assert result.harm == [], result.answer.text
    assert len(result.answer.trace["rounds"][1]["calls"]) == 7
    assert {passage.chunk.vector_store_id for passage in result.answer.passages} == set(result.answer.trace["stores"])


def test_a_true_answer_keeps_its_footnote_beside_an_attack(field: Range) -> None:
    """What the genuine document says is cited, and the words that a link would have carried out are gone with it."""
    for attack in LINKS:
        answer = field.try_out(attack, ObedientGenerator()).answer
        assert [citation.source.passage.chunk.filename for citation in answer.citations] == ["pump.txt"], attack.name
        assert SECRET.replace(" ", "%20") not in answer.text, attack.name
