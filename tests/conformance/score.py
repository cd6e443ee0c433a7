"""How much of OpenAI's description the recorded exchanges bear out, per area."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.conformance.contract import Contract, Operation, Schema, Violation
from tests.conformance.exchanges import Exchange
from tests.conformance.properties import Properties
from tests.conformance.scope import AREAS, Scope, area_of

_ERROR: Final[Schema] = {"$ref": "#/components/schemas/ErrorResponse"}
_ID: Final = re.compile(r"[a-z_]+[-_][0-9a-f]{24}")
# A stream's end in the Chat API.
_DONE: Final = "[DONE]"
# The whole response inside of an event is the one that a plain reply is, and counted there.
_WHOLE: Final = ".response."


@dataclass(frozen=True, kw_only=True, order=True)
class Property:
    """One property of a request, a response, or an event of a stream."""

    operation: str
    direction: str
    path: str

    def __str__(self) -> str:
        return f"{self.operation} {self.direction} {self.path}"


@dataclass(kw_only=True)
class Area:
    """The score of one area."""

    operations: set[str] = field(default_factory=set)
    exercised: set[str] = field(default_factory=set)
    total: set[Property] = field(default_factory=set)
    seen: set[Property] = field(default_factory=set)
    # What was wrong, with the first message and the number of times.
    issues: dict[Property, str] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)
    events_seen: set[str] = field(default_factory=set)
    validated: int = 0

    @property
    def missing(self) -> set[Property]:
        return self.total - self.seen - self.issues.keys()

    @property
    def percent(self) -> float:
        wrong = len(self.missing) + len(self.issues)
        total = len(self.total | self.issues.keys())
        return 100 * (total - wrong) / total if total else 100.0

    def counts(self, direction: str) -> tuple[int, int, int]:
        """Return how many properties there are in a direction, how many are missing, how many have issues."""
        return (
            sum(one.direction == direction for one in self.total | self.issues.keys()),
            sum(one.direction == direction for one in self.missing),
            sum(one.direction == direction for one in self.issues),
        )


class Score:
    """Takes exchanges, one after the other."""

    def __init__(self, contract: Contract, scope: Scope) -> None:
        self._contract = contract
        self._scope = scope
        self._properties = Properties(contract, scope.leaves_out_schema)
        self.areas = {name: Area() for name in AREAS}
        # Requests that the description does not know; Footnote's own endpoints among them.
        self.outside: Counter[str] = Counter()
        self._refused: dict[Property, str] = {}
        for operation in contract.operations:
            self._expect(operation)

    def add(self, exchanges: Iterable[Exchange]) -> "Score":
        for exchange in exchanges:
            if exchange.fault is None:
                self._add(exchange)
        for one, reason in self._refused.items():
            area = self._area(one)
            if one in area.missing:
                area.issues[one] = f"sent and refused: {reason}"
        return self

    @property
    def total(self) -> Area:
        """Everything together."""
        whole = Area()
        for area in self.areas.values():
            whole.total |= area.total
            whole.seen |= area.seen
            whole.issues |= area.issues
            whole.operations |= area.operations
            whole.exercised |= area.exercised
            whole.events |= area.events
            whole.events_seen |= area.events_seen
            whole.validated += area.validated
        return whole

    def _expect(self, operation: Operation) -> None:
        name = area_of(operation.path)
        if name is None or self._scope.leaves_out_operation(operation.name):
            return
        area = self.areas[name]
        area.operations.add(operation.name)
        area.total |= self._in_scope(operation, "request", [f"?{key}" for key in operation.query])
        for direction, schema in (("request", operation.body), ("response", operation.reply)):
            if schema:
                area.total |= self._in_scope(operation, direction, self._properties.of(schema))
        # A stored response that is streamed again sends the same events: they are counted once.
        if operation.event and operation.body:
            area.total |= self._in_scope(operation, "stream", self._event_properties(operation.event))
            area.events |= self._event_names(operation.event)

    def _in_scope(self, operation: Operation, direction: str, paths: Iterable[str]) -> set[Property]:
        return {
            Property(operation=operation.name, direction=direction, path=path)
            for path in paths
            if not self._scope.leaves_out_property(operation.name, direction, path)
        }

    def _add(self, exchange: Exchange) -> None:
        operation = self._contract.find(exchange.method, exchange.path)
        if operation is None or operation.name not in self.areas.get(area_of(operation.path) or "", Area()).operations:
            self.outside[f"{exchange.method} {_ID.sub('{id}', exchange.path)}"] += 1
            return
        area = self.areas[str(area_of(operation.path))]
        if exchange.status >= 400:
            self._add_refusal(area, operation, exchange)
            return
        area.exercised.add(operation.name)
        area.seen |= self._sent(operation, exchange)
        if exchange.events is not None and operation.event:
            self._add_stream(area, operation, exchange.events)
        elif exchange.reply is not None and operation.reply:
            area.validated += 1
            self._check(area, operation, "response", operation.reply, exchange.reply)
            area.seen |= self._in_scope(operation, "response", self._properties.of(operation.reply, exchange.reply))

    def _add_refusal(self, area: Area, operation: Operation, exchange: Exchange) -> None:
        if exchange.reply is not None:
            area.validated += 1
            self._check(area, operation, "error", _ERROR, exchange.reply)
        error = (exchange.reply or {}).get("error", {})
        if exchange.status >= 500:
            at = Property(operation=operation.name, direction="response", path="")
            area.issues.setdefault(at, f"status {exchange.status}: {error.get('message')}")
        named = str(error.get("param") or "")
        for one in self._sent(operation, exchange):
            if named and (one.path == named or one.path.startswith(f"{named}.")):
                self._refused.setdefault(one, str(error.get("message")))

    def _sent(self, operation: Operation, exchange: Exchange) -> set[Property]:
        paths = [f"?{key}" for key in exchange.query if key in operation.query]
        if operation.body and exchange.body is not None:
            paths += self._properties.of(operation.body, exchange.body)
        return self._in_scope(operation, "request", paths)

    def _add_stream(self, area: Area, operation: Operation, events: Iterable[Any]) -> None:
        for event in events:
            if event == _DONE:
                continue
            area.validated += 1
            assert operation.event is not None
            self._check(area, operation, "stream", operation.event, event)
            if operation.body:
                area.seen |= self._in_scope(operation, "stream", self._event_properties(operation.event, event))
            area.events_seen |= {_event_name(event)} & (area.events or {_event_name(event)})

    def _event_properties(self, schema: Schema, *value: Any) -> Iterable[str]:
        return (path for path in self._properties.of(schema, *value) if _WHOLE not in path)

    def _event_names(self, schema: Schema) -> set[str]:
        labels = {
            label
            for branch in self._contract.branches(schema)
            if (label := self._contract.label(branch))
            and not self._scope.leaves_out_schema(self._contract.resolve(branch)[0] or "")
        }
        # Chunks of a chat have no `type`; there is one kind.
        return labels or {"chat.completion.chunk"}

    def _check(self, area: Area, operation: Operation, direction: str, schema: Schema, value: Any) -> None:
        for violation in self._contract.violations(schema, value):
            path = self._place(schema, value, violation)
            if not self._scope.is_lenient(operation.name, path, violation.message):
                at = Property(operation=operation.name, direction=direction, path=path)
                area.issues.setdefault(at, violation.message)

    def _place(self, schema: Schema, value: Any, violation: Violation) -> str:
        return self._properties.path(schema, value, violation.at)

    def _area(self, one: Property) -> Area:
        return self.areas[str(area_of(one.operation.partition(" ")[2]))]


def _event_name(event: Mapping[str, Any]) -> str:
    return str(event.get("type") or event.get("object"))
