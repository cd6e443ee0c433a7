"""Two footnotes contradict each other when they give another number for the same thing."""

import pytest

from generation.citations import Citation
from generation.contradictions import contradict, contradictions, quantities
from tests.builders import a_passage, sources_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Meal allowance, full day away | EUR 34", "Meal allowance, full day away | EUR 42"),
        ("Claims are handed in within 60 days of the journey.", "Enter claims within 30 days of the journey."),
        ("The filter is changed every 500 h.", "The filter is changed every 750 h."),
        ("The room is kept at -18 °C.", "The room is kept at -20 °C."),
    ],
)
def test_other_numbers_of_the_same_thing_contradict(one: str, other: str) -> None:
    """Whichever stands first."""
    assert contradict(one, other)
    assert contradict(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Meal allowance, full day away | EUR 42", "Meal allowance, full day away: EUR 42"),
        ("Meal allowance, full day away | EUR 42", "Hotel, upper limit per night | EUR 145"),
        ("The filter is changed every 500 h.", "The filter is changed every 2 weeks."),
        ("The filter is changed.", "The filter is not changed."),
        ("Room 5 of the cellar", "Room 6 of the cellar"),
        ("The pump weighs 40 kg and lifts 7 m.", "The pump weighs 40 kg."),
        ("", ""),
    ],
)
def test_equal_or_unlike_quotes_do_not(one: str, other: str) -> None:
    """Another subject, another unit, or the same value."""
    assert not contradict(one, other)


def test_quantities_have_units() -> None:
    """In front of the number or behind it, singular and plural alike."""
    assert quantities("EUR 42, 30 days, 1 day, -18 °C, 1,5 km, 2025") == {
        "eur": {"42"},
        "day": {"30", "1"},
        "°c": {"-18"},
        "km": {"1.5"},
        "": {"2025"},
    }


def a_citation(number: int, quote: str, document: int) -> Citation:
    (source,) = sources_of([a_passage(quote, document_id=document)])
    return Citation(index=0, number=number, source=source, start=0, end=len(quote), quote=quote, page=None)


def test_pairs_of_footnotes_are_named_once() -> None:
    """By their numbers, ascending; of one document nothing contradicts."""
    old, new = "Meal allowance, full day: EUR 34", "Meal allowance, full day: EUR 42"
    citations = [a_citation(2, new, 2), a_citation(1, old, 1), a_citation(1, old, 1), a_citation(3, old, 2)]
    assert contradictions(citations) == [(1, 2)]
