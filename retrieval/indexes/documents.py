"""The documents of an index as columns, so that a filter is decided for all of them at once."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from catalog.feed import IndexedDocument
from retrieval.filters import Comparison, Filter, Value
from retrieval.indexes.base import Scope

# One flag for each slot.
Mask = NDArray[np.bool_]

_Scalar = TypeVar("_Scalar", bound=np.generic)

_NO_STORE: Final = -1
# Operators that name the values which satisfy them, or which do not.
_BY_VALUE: Final = {"eq": True, "in": True, "ne": False, "nin": False}
# A column is rebuilt when it knows more values than twice the documents, and these.
_SPARE_VALUES: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What the table holds of one document."""

    document_id: int
    vector_store_id: str
    attributes: Mapping[str, Any]
    chunks: int


class DocumentTable:
    """Every document has a slot: a small number that is used again when the document is gone.

    Masks are as long as `capacity`; a slot without a document is never admitted.
    """

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self._free: list[int] = []
        self._entries: list[Entry | None] = []
        self._stores: dict[str, int] = {}
        self._store_codes = np.empty(0, dtype=np.int32)
        self._document_ids = np.empty(0, dtype=np.int64)
        self._columns: dict[str, _Column] = {}
        self._chunks = 0

    @property
    def capacity(self) -> int:
        return len(self._store_codes)

    @property
    def chunks(self) -> int:
        """Chunks of all documents."""
        return self._chunks

    def __contains__(self, document_id: int) -> bool:
        return document_id in self._slots

    def known_ids(self) -> set[int]:
        return set(self._slots)

    def entries(self) -> list[tuple[int, Entry]]:
        """Return every document with its slot."""
        return [(slot, entry) for slot, entry in enumerate(self._entries) if entry is not None]

    def add(self, document: IndexedDocument) -> int:
        """Take a document up that is not known; return its slot."""
        return self.put(
            Entry(
                document_id=document.document_id,
                vector_store_id=document.vector_store_id,
                attributes=document.attributes,
                chunks=len(document.chunk_ids),
            )
        )

    def put(self, entry: Entry) -> int:
        if not self._free:
            self._grow()
        slot = self._free.pop()
        self._slots[entry.document_id] = slot
        self._store_codes[slot] = self._stores.setdefault(entry.vector_store_id, len(self._stores))
        self._document_ids[slot] = entry.document_id
        self._chunks += entry.chunks
        self._write(slot, entry)
        return slot

    def change(self, document_id: int, attributes: Mapping[str, Any]) -> None:
        """Give a known document other attributes."""
        slot = self._slots[document_id]
        entry = self._entries[slot]
        if entry is not None and entry.attributes != attributes:
            self._clear(slot, entry)
            self._write(slot, replace(entry, attributes=attributes))

    def remove(self, document_id: int) -> tuple[int, str]:
        """Forget a known document; return its slot and its store. The slot is free only after `release`."""
        slot = self._slots.pop(document_id)
        entry = self._entries[slot]
        assert entry is not None
        self._clear(slot, entry)
        self._entries[slot] = None
        self._store_codes[slot] = _NO_STORE
        self._chunks -= entry.chunks
        return slot, entry.vector_store_id

    def release(self, slots: Iterable[int]) -> None:
        """Allow new documents in these slots: no row refers to them any more."""
        self._free += slots

    def document_ids(self, admitted: Mask) -> NDArray[np.int64]:
        return self._document_ids[admitted]

    def admitted(self, scope: Scope) -> Mask:
        """Return which slots hold a document in `scope`."""
        codes = [self._stores[store] for store in scope.vector_store_ids if store in self._stores]
        in_store = np.isin(self._store_codes, codes) if len(codes) != 1 else self._store_codes == codes[0]
        return in_store if scope.filter is None or not codes else in_store & self._decide(scope.filter)

    def _decide(self, condition: Filter) -> Mask:
        if isinstance(condition, Comparison):
            return self._columns.get(condition.key, _Column(self.capacity)).decide(condition)
        masks = [self._decide(part) for part in condition.parts]
        decided: Mask = (np.logical_and if condition.operator == "and" else np.logical_or).reduce(masks)
        return decided

    def _grow(self) -> None:
        old, new = self.capacity, max(64, 2 * self.capacity)
        self._store_codes = _extended(self._store_codes, new, _NO_STORE)
        self._document_ids = _extended(self._document_ids, new, 0)
        for column in self._columns.values():
            column.grow(new)
        self._entries += [None] * (new - old)
        self._free += range(new - 1, old - 1, -1)

    def _write(self, slot: int, entry: Entry) -> None:
        self._entries[slot] = entry
        for key, value in entry.attributes.items():
            if value is None:
                continue
            column = self._columns.setdefault(key, _Column(self.capacity))
            column.write(slot, value)
            if column.distinct > 2 * len(self._slots) + _SPARE_VALUES:
                self._columns[key] = self._rebuilt(key)

    def _clear(self, slot: int, entry: Entry) -> None:
        for key in entry.attributes.keys() & self._columns.keys():
            self._columns[key].clear(slot)

    def _rebuilt(self, key: str) -> "_Column":
        """A column without the values that no document has any more."""
        column = _Column(self.capacity)
        for slot, entry in self.entries():
            if entry.attributes.get(key) is not None:
                column.write(slot, entry.attributes[key])
        return column


class _Column:
    """One attribute of all documents, dictionary-encoded: a code per slot, 0 where it is missing.

    Strings, booleans and numbers are different kinds, as in `filters`; 1 and 1.0 are one value.
    """

    def __init__(self, capacity: int) -> None:
        self._codes = np.zeros(capacity, dtype=np.int32)
        self._values: list[Value | None] = [None]
        self._code_of: dict[tuple[type, Value], int] = {}

    @property
    def distinct(self) -> int:
        return len(self._code_of)

    def grow(self, capacity: int) -> None:
        self._codes = _extended(self._codes, capacity, 0)

    def write(self, slot: int, value: Value) -> None:
        code = self._code_of.setdefault((_kind(value), value), len(self._values))
        if code == len(self._values):
            self._values.append(value)
        self._codes[slot] = code

    def clear(self, slot: int) -> None:
        self._codes[slot] = 0

    def decide(self, comparison: Comparison) -> Mask:
        """Return which slots satisfy the comparison. A comparison with given values costs nothing for the others."""
        operator, value = comparison.operator, comparison.value
        if operator in _BY_VALUE:
            table = np.full(len(self._values), not _BY_VALUE[operator])
            for wanted in value if isinstance(value, tuple) else (value,):
                code = self._code_of.get((_kind(wanted), wanted))
                if code is not None:
                    table[code] = _BY_VALUE[operator]
        else:
            table = np.fromiter(map(_condition(comparison), self._values), np.bool_, len(self._values))
        return table[self._codes]


def _condition(comparison: Comparison) -> Callable[[Value | None], bool]:
    key = comparison.key
    return lambda value: value is not None and comparison.matches({key: value})


def _kind(value: Value) -> type:
    return type(value) if isinstance(value, bool | str) else float


def _extended(values: NDArray[_Scalar], length: int, fill: int) -> NDArray[_Scalar]:
    extended = np.full(length, fill, dtype=values.dtype)
    extended[: len(values)] = values
    return extended
