"""Characters that nobody sees, and the form in which a language model is shown them. Pure."""

import re
from typing import Final

# Control characters but tab and line end; soft hyphens, fillers, joiners and variation selectors, which have no glyph;
# marks, embeddings, overrides and isolates of writing direction; Unicode's tag characters and supplementary variation
# selectors, which spell any text without a trace.
HIDDEN_CHARACTERS: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
HIDDEN: Final = re.compile(f"[{HIDDEN_CHARACTERS}]")
_LINE_ENDS: Final = re.compile(r"\r\n?")
# Joiners that Persian, Indic scripts and emoji need: shown only where they join no letters or signs beyond ASCII.
_JOINERS: Final = frozenset("\u200c\u200d\ufe0f")
# Those of ChatML, Llama, Mistral, Gemma, DeepSeek, Phi and Qwen, and of models that reason or call tools.
_CHAT_TOKEN: Final = re.compile(
    r"<(?P<angled>[|｜][^<>|｜\n]{1,40}[|｜]|</?SYS>|/?(?:s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|think|tools|"
    r"tool_call|tool_response|function_calls?))>"
    r"|\[(?P<square>/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS))\]",
    re.IGNORECASE,
)
# What could end the quotation marks of a mark's attribute, the mark itself or its line.
_IN_ATTRIBUTES: Final = re.compile(r'["<>&\t\n\r]')


def visible(text: str) -> str:
    """Return `text` as a language model may read it: nothing hidden in it, and nothing that a chat template means.

    Each hidden character becomes its code, `<U+202E>`: what a person cannot see when they check a source must not speak
    to the model. Joiners within words of scripts that need them, and within emoji, stay. Tokens of chat templates get
    other brackets, as `‹|im_start|›`: a tokenizer that knows them would take the text behind them for a new message.
    """
    text = _CHAT_TOKEN.sub(lambda match: f"‹{match['angled'] or match['square']}›", text)
    if text.isascii() and text.isprintable():
        return text
    return HIDDEN.sub(_shown, _LINE_ENDS.sub("\n", text))


def visible_attribute(text: str) -> str:
    """Return `text` for a place between quotation marks, in one line: quotes and angle brackets are codes too."""
    return _IN_ATTRIBUTES.sub(lambda match: f"&#{ord(match.group())};", visible(text))


def _shown(match: re.Match[str]) -> str:
    character = match.group()
    if character in _JOINERS:
        before = match.string[match.start() - 1 : match.start()]
        after = match.string[match.end() : match.end() + 1]
        is_last = character == "\ufe0f"
        if before and not before.isascii() and not HIDDEN.match(before) and (is_last or _joins(after)):
            return character
    return f"<U+{ord(character):04X}>"


def _joins(character: str) -> bool:
    return bool(character) and not character.isascii() and not HIDDEN.match(character)
