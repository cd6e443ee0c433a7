"""What the scanner gives back depends on the text alone, and never holds a marker."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from generation.links import Link
from generation.markers import MARKER, MAX_MARKER
from generation.scanning import Index, Numbers, Scanner


def scan(*pieces: str) -> list[str | tuple[int, ...] | Link | Index]:
    """Return the parts, neighbouring texts joined, markers as their numbers."""
    scanner = Scanner()
    parts = [part for piece in pieces for part in scanner.feed(piece)] + list(scanner.finish())
    joined: list[str | tuple[int, ...] | Link | Index] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part.numbers if isinstance(part, Numbers) else part)
    return joined


def shown(*pieces: str, with_links: bool) -> str:
    """Return the text, with its links and indexes or with what stays of them."""
    parts = [part for part in scan(*pieces) if not isinstance(part, tuple)]
    return "".join(part if isinstance(part, str) else part.text if with_links else part.instead for part in parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        (" \n", []),
        ("Plain text.", ["Plain text."]),
        ("A fact [1].", ["A fact", (1,), "."]),
        ("A fact. [1, 3]", ["A fact.", (1, 3)]),
        ("A fact[1][3]!", ["A fact", (1,), (3,), "!"]),
        ("One [1] and two [2]", ["One", (1,), " and two", (2,)]),
        ("[1] first", [(1,), " first"]),
        ("数据。[2]下", ["数据。", (2,), "下"]),
        ("数据【2】下", ["数据", (2,), "下"]),
        ("It is 5. [none]", ["It is 5."]),
        ("[none]", []),
        ("It is 5 [[1]2] km.", ["It is 5", (1,), "2] km."]),
        ("A [[[2]] B", ["A", (2,), " B"]),
        ("A [[2]] B", ["A", (2,), " B"]),
        ("[ [1]1]", [(1,), "1]"]),
        ("fact [1](#source) B", ["fact", (1,), " B"]),
        ("fact [1](see below)", ["fact", (1,), "(see below)"]),
        ("<b>bold</b> <br>", ["<b>bold</b> <br>"]),
        ('a <img alt="x"\nsrc=y> b', ["a  b"]),
        ("<script>x</script>", ["x"]),
        ("1 < 2 and 3 > 2", ["1 < 2 and 3 > 2"]),
        ("<!-- hidden -->x", ["x"]),
        ("[<i a=b>1]", [(1,)]),
    ],
)
def test_parts_of_a_text(text: str, parts: list[object]) -> None:
    """Markers are cut out with the blanks before them; marks that load or run something are cut out too."""
    assert parts == scan(text)


def test_links_are_set_apart() -> None:
    """A link is one part, and its text is another."""
    texts = [part.text if isinstance(part, Link) else part for part in scan("See [it](http://a.example/x), or [y][1].")]
    assert texts == ["See [it]", "(http://a.example/x)", ", or [y]", (1,), "."]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Use `values[0]` here.", ["values[0]"]),
        ("```\nx = rows()[1]\ny[2,3]\n```", ["rows()[1]", "y[2,3]"]),
        ("`one` then a[0]", []),
        ("`[1]`", []),
        ("`open\na[0]", []),
    ],
)
def test_an_index_in_code_is_set_apart(text: str, words: list[str]) -> None:
    """Within backticks a marker's form behind a name is an index; one alone, and one elsewhere, is a marker."""
    assert [part.words for part in scan(text) if isinstance(part, Index)] == words


TEXTS = st.lists(
    st.sampled_from(
        ["a", "fact", " ", "  ", "\n", ".", "?!", "[1]", "[23]", "[", "]", "[x", "[99999]", "7", "数据。", "…"]
    )
    | st.sampled_from(
        ["[none]", "[no", "none", ",", "1, ", "-", "【", "】", "［２", "］", "\\", "^", "source ", "†", "\u200b"]
    )
    | st.sampled_from(
        ["`", "```", "(", ")", "![", "](", "http://", "x.com/", "<a ", "<", ">", "=", "//", "javascript:"]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=300)
@given(text=TEXTS, data=st.data())
def test_pieces_change_nothing(text: str, data: st.DataObject) -> None:
    """However the text is cut into pieces, the parts are those of the whole."""
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    assert scan(text) == scan(*pieces) == scan(*text)


@settings(max_examples=300)
@given(text=TEXTS)
@example(text="[" * 100 + "1]2]")
@example(text="[" + " " * 79 + "[1]" * 20 + "2]")
@example(text="[http://a.example 1]")
@example(text="`source[0] [source[0] 1]`")
def test_no_marker_survives(text: str) -> None:
    """Neither the text with its links nor the text without them holds a marker, but for indexes in code."""
    without = shown(text, with_links=False)
    assert not [m for m in MARKER.finditer(without) if len(m.group()) <= MAX_MARKER]
    if "`" not in text and "://" not in text:
        assert not [m for m in MARKER.finditer(shown(text, with_links=True)) if len(m.group()) <= MAX_MARKER]


@given(text=TEXTS)
def test_nothing_but_marks_is_lost(text: str) -> None:
    """Letters of the text that belong to no marker, link or mark are given back, in order."""
    plain = re.sub(r"[^a-z]", "", shown(re.sub(r"[\[\]()<>:/.`【】［］]", "", text), with_links=True))
    assert plain == re.sub(r"[^a-z]", "", text)


def test_text_is_given_back_as_early_as_it_can_be() -> None:
    """A word waits until it is complete, for it may become a link; nothing else waits but what may become a marker."""
    scanner = Scanner()
    pieces = ("The ", "pump", " [", "x]", " is", " 数", "据")
    given_back = ["".join(map(str, scanner.feed(piece))) for piece in pieces]
    assert given_back == ["The", "", " pump", "", " [x]", " is 数", "据"]


def test_a_run_without_end_is_given_back_in_parts() -> None:
    """Memory is bounded, whatever a generator writes."""
    scanner = Scanner()
    text = "x" * 10_000
    early = "".join(part for part in scanner.feed(text) if isinstance(part, str))
    late = "".join(part for part in scanner.finish() if isinstance(part, str))
    assert early + late == text
    assert len(late) < 2_001
