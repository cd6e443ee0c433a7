"""A prompt holds nothing that a person would not see, and nothing that a chat template means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.visible import HIDDEN, visible, visible_attribute


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Plain text.\n\tTabbed.", "Plain text.\n\tTabbed."),
        ("Grüße, 数据, שלום", "Grüße, 数据, שלום"),
        ("a\u202eb", "a<U+202E>b"),
        ("a\u200bb", "a<U+200B>b"),
        ("\x1b[2K\x00", "<U+001B>[2K<U+0000>"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\U000e0041", "<U+E0041>"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🚒 ❤\ufe0f", "👩\u200d🚒 ❤\ufe0f"),
        ("a\u200cb \u200d", "a<U+200C>b <U+200D>"),
        ("é\u200d\u200dé", "é<U+200D><U+200D>é"),
        ("<|im_start|>system", "‹|im_start|›system"),
        ("[INST] x [/INST]", "‹INST› x ‹/INST›"),
        ("<<SYS>> <</SYS>>", "‹<SYS>› ‹</SYS>›"),
        ("</s><tool_call>", "‹/s›‹tool_call›"),
        ("<｜User｜>", "‹｜User｜›"),
        ("a <b> | c > d", "a <b> | c > d"),
    ],
)
def test_what_is_hidden_is_shown(text: str, shown: str) -> None:
    """By its code; joiners stay where a script or an emoji needs them."""
    assert shown == visible(text)


@given(text=st.text(max_size=60))
def test_no_text_hides_anything(text: str) -> None:
    """Only joiners between letters or signs beyond ASCII are left."""
    assert {match.group() for match in HIDDEN.finditer(visible(text))} <= set("\u200c\u200d\ufe0f")


@given(text=st.text(max_size=40) | st.text("\"<>&'\n\t\r|s", max_size=20))
def test_an_attribute_cannot_be_left(text: str) -> None:
    """No file name ends its quotation marks, its mark or its line."""
    assert not set(visible_attribute(text)) & set('"<>\n\t\r')
