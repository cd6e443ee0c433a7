"""One request and its reply, as the recorder writes them down."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Exchange:
    # Name of the client program.
    client: str
    method: str
    # Below `/v1`.
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    # JSON, or the fields of a form with the size in the place of a file; none was sent.
    body: Any = None
    status: int
    # JSON; none for other types.
    reply: Any = None
    # Of a stream, in order; data that is no JSON stays text.
    events: tuple[Any, ...] | None = None
    # Which fault was injected: the reply is not the server's then.
    fault: str | None = None

    def as_line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def read(path: Path) -> Iterator[Exchange]:
    with path.open() as file:
        for line in file:
            yield Exchange(**json.loads(line))


def parse_events(stream: bytes) -> tuple[Any, ...]:
    """Return the data of each event of a `text/event-stream`."""
    blocks = stream.decode().replace("\r\n", "\n").split("\n\n")
    found = ("\n".join(_data(block)) for block in blocks)
    return tuple(_json_or_text(data) for data in found if data)


def _data(block: str) -> Iterator[str]:
    for line in block.split("\n"):
        if line.startswith("data:"):
            yield line.removeprefix("data:").removeprefix(" ")


def _json_or_text(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data
