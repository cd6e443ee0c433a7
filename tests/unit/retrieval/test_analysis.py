"""Index terms: one analysis for documents and questions, in every script."""

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.analysis import UNSPACED, fold, index_terms, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t", []),
        ("Hello, World!", ["hello", "world"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("Café cafe\u0301 CAFE", ["cafe", "cafe", "cafe"]),
        ("ΑΘΉΝΑ Ёлка", ["αθηνα", "елка"]),
        ("ﬁnal ２０２４ ½", ["final", "2024", "1", "2"]),
        ("PX-200/4", ["px-200/4", "px", "200", "4"]),
        ("v2.1.0", ["v2.1.0", "v2", "1", "0"]),
        ("a_b", ["a_b", "a", "b"]),
        ("c++ C# f", ["c++", "c#", "f"]),
        ("don't", ["don't", "don", "t"]),
        ("End. Next-", ["end", "next"]),
        ("user@example.org", ["user", "example.org", "example", "org"]),
        ("日本語", ["日本", "本語"]),
        ("日", ["日"]),
        ("数据ABC数据", ["数据", "abc", "数据"]),
        ("カタカナ", ["カタ", "タカ", "カナ"]),
        ("ภาษา", ["ภา", "าษ", "ษา"]),
        ("한국어 문서", ["한국어", "문서"]),
        ("א ב", ["א", "ב"]),
        ("הַכְּתִיב", ["הכתיב"]),
        ("كِتَابٌ كتـاب أحمد مدرسة", ["كتاب", "كتاب", "احمد", "مدرسه"]),
        ("می‌روم کتاب", ["ميروم", "كتاب"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("தமிழ்", ["தமிழ்"]),
        ("Donau\u00addampf", ["donaudampf"]),
    ],
)
def test_text_becomes_terms(text: str, expected: list[str]) -> None:
    """Folded words, part numbers whole and in parts, bigrams where a script has no blanks."""
    assert expected == terms(text)


@given(st.text())
def test_folding_twice_equals_folding_once(text: str) -> None:
    """A folded text is in its final form."""
    assert fold(text) == fold(fold(text))


@given(st.text())
def test_terms_are_made_of_folded_text(text: str) -> None:
    """Folding before changes nothing, and no term is empty or holds a blank."""
    found = terms(text)
    assert found == terms(fold(text))
    assert all(term and not any(c.isspace() for c in term) for term in found)


@given(st.text(alphabet=st.characters(categories=["Lu", "Ll"], max_codepoint=0x24F), min_size=1))
def test_case_does_not_count(text: str) -> None:
    """Whoever writes in capitals finds the same."""
    assert terms(text.lower().upper()) == terms(text.lower().upper().lower())


@given(st.lists(st.text(min_size=1), min_size=1))
def test_lines_are_analysed_apart(lines: list[str]) -> None:
    """No term reaches over a line end."""
    assert [term for line in lines for term in terms(line)] == terms("\n".join(lines))


def test_signs_between_unspaced_letters_are_no_part_of_a_term() -> None:
    """A question without them finds the same."""
    assert terms("マイクロ・ソフト") == ["マイ", "イク", "クロ", "ソフ", "フト"]
    assert terms("၁။") == ["၁"]


def test_a_mark_is_part_of_its_word_in_every_script() -> None:
    """Wherever in Unicode it stands; a script without spaces has bigrams instead of words."""
    marks = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M"]
    spaced = [mark for mark in marks if not re.match(f"[{UNSPACED}]", mark)]
    assert len(spaced) > 2000
    assert [mark for mark in spaced if len(terms(f"k{mark}k")) != 1] == []


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("houses house", ["house", "house"]),
        ("policies policy", ["policy", "policy"]),
        ("status glass bus gas", ["status", "glass", "bus", "gas"]),
        ("Maschinen Maschine", ["maschin", "maschin"]),
        ("столицы столица столицей", ["столиц", "столиц", "столиц"]),
        ("деревянный деревянная", ["деревян", "деревян"]),
        ("الكتاب والكتاب كتابها", ["كتاب", "كتاب", "كتاب"]),
        ("ال و", ["ال", "و"]),
        ("PX-200/4 v2.1.0 RS485 c++", ["px-200/4", "px", "200", "4", "v2.1.0", "v2", "1", "0", "rs485", "c++"]),
        ("日本語 हिन्दी", ["日本", "本語", "हिन्दी"]),
    ],
)
def test_forms_of_a_word_share_a_stem(text: str, stems: list[str]) -> None:
    """Rules of each script take endings off; short words, codes, versions and bigrams stay whole."""
    assert stems == index_terms(text)


@given(st.text())
def test_every_term_has_one_stem(text: str) -> None:
    """None is lost, and none becomes empty."""
    assert len(terms(text)) == len(index_terms(text))
    assert all(index_terms(text))
