"""Text comes from tokens piece by piece, in whole characters."""

from hypothesis import given
from hypothesis import strategies as st

from generation.backends.detokenizer import Detokenizer
from tests.chat_models import a_tokenizer

BACKEND = a_tokenizer().backend_tokenizer
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), max_size=30)


def a_detokenizer() -> Detokenizer:
    return Detokenizer(lambda tokens: str(BACKEND.decode(list(tokens), skip_special_tokens=True)))


@given(text=TEXTS, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_pieces_join_to_the_text(text: str, sizes: list[int]) -> None:
    """However the tokens are handed over, the pieces are whole characters and join to the text."""
    tokens = BACKEND.encode(text, add_special_tokens=False).ids
    detokenizer, pieces = a_detokenizer(), []
    while tokens:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(detokenizer.feed(tokens[:size]))
        tokens = tokens[size:]
    pieces.append(detokenizer.finish())
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_comes_with_its_last_token() -> None:
    """Nothing while it is unfinished, all of it then."""
    detokenizer = a_detokenizer()
    tokens = BACKEND.encode("é🙂", add_special_tokens=False).ids
    assert [detokenizer.feed([token]) for token in tokens] == ["", "é", "", "", "", "🙂"]


def test_an_unfinished_character_at_the_end_is_dropped() -> None:
    """An answer that is cut in the middle of a character ends before it."""
    detokenizer = a_detokenizer()
    tokens = BACKEND.encode("ok 🙂", add_special_tokens=False).ids
    assert detokenizer.feed(tokens[:-1]) == ""
    assert detokenizer.finish() == "ok "


def test_words_keep_the_space_that_only_their_neighbour_shows() -> None:
    """Some tokenizers decode a space only between words: the second word's piece has it."""
    detokenizer = Detokenizer(lambda tokens: " ".join("abc"[token] for token in tokens))
    assert [detokenizer.feed([token]) for token in (0, 1, 2)] == ["a", " b", " c"]
