"""Index terms: one analysis for documents and questions, in every script."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.analysis import fold, index_terms, terms
from retrieval.stemming import stem


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
        ("PX-200/4 v2.1.0 c++", ["px-200/4", "px", "200", "4", "v2.1.0", "v2", "1", "0", "c++"]),
        ("日本語 हिन्दी", ["日本", "本語", "हिन्दी"]),
    ],
)
def test_forms_of_a_word_share_a_stem(text: str, stems: list[str]) -> None:
    """Rules of each script take endings off; short words, codes, versions and bigrams stay whole."""
    assert stems == index_terms(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("attemptCrack", ["attempt", "crack"]),
        ("HTTPServerError", ["http", "server", "error"]),
        ("parseJSONBody2", ["parse", "json", "body"]),
        ("FY2018 RS485 10km", ["fy", "2018", "rs", "485", "10", "km"]),
        ("get_userName", ["user", "name"]),
        ("３００ｍｍ", ["300", "mm"]),
        ("Größe2020", ["gröss", "2020"]),
        ("Plain words, NASA, 2020, PX-200 and v2", []),
        ("第3章ABC", []),
    ],
)
def test_words_that_are_joined_without_a_sign_are_found_by_their_parts(text: str, parts: list[str]) -> None:
    """Beside themselves; single letters and digits are no parts."""
    assert index_terms(text)[len(terms(text)) :] == [fold(part) for part in parts]


@given(st.text())
def test_every_term_has_one_stem(text: str) -> None:
    """None is lost, none becomes empty, and parts of words come after them."""
    found = index_terms(text)
    assert found[: len(terms(text))] == [stem(term) for term in terms(text)]
    assert all(found)


@given(st.text(), st.sets(st.sampled_from(["the", "of", "a", "1"])))
def test_what_is_left_out_is_no_term(text: str, without: set[str]) -> None:
    """The others stay, in order."""
    left = [stem(term) for term in terms(text) if term not in without]
    assert index_terms(text, without=without)[: len(left)] == left


def test_encoded_data_has_no_parts() -> None:
    """A word of more than 64 characters is nobody's name for anything."""
    assert index_terms("aB" * 32)[1:] == ["ba"] * 31
    assert index_terms("aB" * 33) == ["ab" * 33]
