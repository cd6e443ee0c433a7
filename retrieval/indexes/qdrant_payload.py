"""What Qdrant keeps beside the vectors of a chunk, and filters over it that decide as `retrieval.filters` does.

Qdrant compares numbers as floats and orders no strings. So each attribute value becomes a sort key of our own: a string
whose code points order as the values do, equal exactly for values that are equal. Equality is a look-up of `key=value`
in an indexed list of keywords; an order is decided on the sort key, cut into integers that a float holds exactly.
"""

from collections.abc import Sequence
from typing import Any, Final

from qdrant_client import models

from catalog.feed import IndexedDocument
from retrieval.filters import Comparison, Compound, Filter, Value

# Payload fields.
STORE: Final = "store"
DOCUMENT: Final = "document"
# The change that the point shows the state of.
SEQ: Final = "seq"
# The change that made the point visible. A point without it has not been announced and no search sees it.
SINCE: Final = "since"
ATTRIBUTES: Final = "attributes"
# Per attribute, the levels that decide an order.
ORDER: Final = "order"

# UTF-8 bytes of a sort key in one level: 257 ** 6 is below 2 ** 53.
_LEVEL_BYTES: Final = 6
_HEX: Final = "0123456789abcdef"
_COMPLEMENT: Final = str.maketrans(_HEX, _HEX[::-1])
# Above the exponent of any float, and of any integer that Python reads from JSON (4300 digits).
_EXPONENT_OFFSET: Final = 1 << 15


def document_payload(document: IndexedDocument, seq: int) -> dict[str, Any]:
    """Return the payload of each chunk of `document` as of change `seq`, without SINCE."""
    return {
        STORE: document.vector_store_id,
        DOCUMENT: document.document_id,
        SEQ: seq,
        ATTRIBUTES: [_token(key, value) for key, value in document.attributes.items()],
        ORDER: {
            _order_name(key, value): {f"l{n}": level for n, level in enumerate(_levels(value))}
            for key, value in document.attributes.items()
            if not isinstance(value, bool)
        },
    }


def translated(condition: Filter) -> models.Filter:
    """Return a filter of Qdrant that admits a point exactly where `condition` matches its attributes."""
    if isinstance(condition, Compound):
        parts: list[models.Condition] = [translated(part) for part in condition.parts]
        return models.Filter(must=parts) if condition.operator == "and" else models.Filter(should=parts)
    if condition.operator in ("eq", "ne", "in", "nin"):
        return _translated_equality(condition)
    return _translated_order(condition)


def _translated_equality(condition: Comparison) -> models.Filter:
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    tokens = [_token(condition.key, value) for value in values]
    held: list[models.Condition] = [models.FieldCondition(key=ATTRIBUTES, match=models.MatchAny(any=tokens))]
    return models.Filter(must=held) if condition.operator in ("eq", "in") else models.Filter(must_not=held)


def _translated_order(condition: Comparison) -> models.Filter:
    value = condition.value
    assert not isinstance(value, tuple), "the parser gives lists to `in` and `nin` alone"
    levels = _levels(value)
    fields = [f"{ORDER}.{_order_name(condition.key, value)}.l{n}" for n in range(len(levels) + 1)]
    ways = _above(fields, levels) if condition.operator in ("gt", "lte") else _below(fields, levels)
    if condition.operator in ("gt", "lt"):
        return models.Filter(should=ways)
    # Not above is below or equal, where there is a value of this type at all.
    return models.Filter(must=[_between(fields[0], gte=0)], must_not=ways)


def _above(fields: Sequence[str], levels: Sequence[int]) -> list[models.Condition]:
    """Any of these holds for a key that comes after the one with these levels, and for no other."""
    return [
        models.Filter(must=[*_equal(fields, levels[:n]), _between(fields[n], gt=level)])
        for n, level in enumerate((*levels, 0))
    ]


def _below(fields: Sequence[str], levels: Sequence[int]) -> list[models.Condition]:
    ways: list[models.Condition] = []
    for n, level in enumerate(levels):
        # A key that ended before this level comes first.
        ended = models.IsEmptyCondition(is_empty=models.PayloadField(key=fields[n]))
        lower: list[models.Condition] = [_between(fields[n], lt=level), *([ended] if n else [])]
        ways.append(models.Filter(must=_equal(fields, levels[:n]), should=lower))
    return ways


def _equal(fields: Sequence[str], levels: Sequence[int]) -> list[models.Condition]:
    return [_between(field, gte=level, lte=level) for field, level in zip(fields, levels, strict=False)]


def _between(field: str, **bounds: float) -> models.FieldCondition:
    return models.FieldCondition(key=field, range=models.Range(**bounds))


def _token(key: str, value: Value) -> str:
    return f"{key}={_sort_key(value)}"


def _order_name(key: str, value: Value) -> str:
    """Return a name without characters that mean something in Qdrant's paths; numbers and strings never meet."""
    return f"{'s' if isinstance(value, str) else 'n'}{key.encode().hex()}"


def _levels(value: Value) -> list[int]:
    """Cut a sort key into integers that order as it does, the first one counting most; at least one.

    UTF-8 orders as code points do. Each byte is a digit from 1 to 256 in base 257, and 0 is the end of the key.
    """
    key = _sort_key(value).encode()
    return [_level(key[start : start + _LEVEL_BYTES]) for start in range(0, max(1, len(key)), _LEVEL_BYTES)]


def _level(part: bytes) -> int:
    number = 0
    for n in range(_LEVEL_BYTES):
        number = number * 257 + (part[n] + 1 if n < len(part) else 0)
    return number


def _sort_key(value: Value) -> str:
    if isinstance(value, str):
        return f"s{value}"
    if isinstance(value, bool):
        return f"b{int(value)}"
    return f"n{_number_key(value)}"


def _number_key(number: int | float) -> str:
    """Return sign, exponent and binary digits of `number` in hexadecimal; those of negative numbers are complemented.

    Exact for every integer and every finite float; an integer and the float of its value have one key.
    """
    if number == 0:
        return "1"
    numerator, denominator = abs(number).as_integer_ratio()
    # The denominator is a power of two: the number is 0.DIGITS in base two, times 2 ** exponent.
    exponent = numerator.bit_length() - denominator.bit_length() + 1
    digits = numerator.bit_length()
    padded = numerator << (-digits % 4)
    text = f"{exponent + _EXPONENT_OFFSET:04x}{padded:x}".rstrip("0")
    # Complemented, the zeros that were cut off are the highest digit, for ever: `g` stands for them.
    return f"1{text}" if number > 0 else f"0{text.translate(_COMPLEMENT)}g"
