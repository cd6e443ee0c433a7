"""What stands in front of queries and documents."""

import pytest

from retrieval.embedders.prefixes import Prefixes, WantedPrefixes, prefixes_of, revision_with


@pytest.mark.parametrize(
    ("prompts", "default_name", "expected"),
    [
        ({}, None, Prefixes()),
        ({"query": "", "document": ""}, None, Prefixes()),
        ({"query": "q: ", "document": "d: "}, None, Prefixes(query="q: ", document="d: ")),
        ({"query": "q: ", "document": "", "passage": "p: "}, None, Prefixes(query="q: ", document="p: ")),
        ({"query": "q: ", "corpus": "c: "}, None, Prefixes(query="q: ", document="c: ")),
        ({"search_query": "q: ", "search_document": "d: "}, None, Prefixes(query="q: ", document="d: ")),
        ({"retrieval.query": "q: ", "retrieval.passage": "p: "}, None, Prefixes(query="q: ", document="p: ")),
        ({"query": "q: "}, "query", Prefixes(query="q: ")),
        ({"query": "", "document": "", "all": "x: "}, "all", Prefixes(query="x: ", document="x: ")),
        ({"classification": "x: "}, None, Prefixes()),
        ({"classification": "x: "}, "unknown", Prefixes()),
    ],
)
def test_prefixes_are_found_under_the_names_in_use(
    prompts: dict[str, str], default_name: str | None, expected: Prefixes
) -> None:
    """The default prompt counts only for a model that names neither query nor document."""
    assert expected == prefixes_of(prompts, default_name)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (WantedPrefixes(), Prefixes(query="q: ", document="d: ")),
        (WantedPrefixes(query="ask: "), Prefixes(query="ask: ", document="d: ")),
        (WantedPrefixes(query="", document=""), Prefixes()),
    ],
)
def test_settings_win_over_the_model(wanted: WantedPrefixes, expected: Prefixes) -> None:
    """None leaves the model's own, and an empty text is none at all."""
    assert expected == wanted.over(Prefixes(query="q: ", document="d: "))


def test_other_prefixes_are_another_revision() -> None:
    """The model's own keep its revision; swapped ones are not the same as straight ones."""
    own = Prefixes(query="q", document="d")
    others = [Prefixes(query="d", document="q"), Prefixes(query="qd"), Prefixes(document="qd")]
    revisions = [revision_with("r", own=own, used=used) for used in (own, *others)]
    assert revisions[0] == "r"
    assert len(set(revisions)) == 4
