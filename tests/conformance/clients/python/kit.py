"""What the steps share: one way to call the synchronous and the asynchronous client, and documents to ask about."""

import inspect
import io
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HANDBOOK = (
    "# Handbook\n\n## Leave\n\nEvery employee has thirty days of paid leave in a year. "
    "Leave that was not taken expires on 31 March of the next year.\n\n"
    "## Travel\n\nA hotel may cost at most 140 euros a night, breakfast included. "
    "Taxis are paid for when no train runs after ten in the evening.\n\n"
    "## Gate\n\nThe gate of the depot is open from six in the morning until ten at night on working days, "
    "and from eight in the morning until noon on Saturdays.\n"
)
QUESTION = "How much may a hotel cost a night?"
FAULT = "x-conformance-fault"

Step = Callable[["Kit"], Awaitable[None]]
STEPS: list[Step] = []


def step(function: Step) -> Step:
    """Enter a step; its docstring says what it shows. Steps run in the order of their modules."""
    STEPS.append(function)
    return function


class Kit:
    """A client, and which of its methods were called."""

    def __init__(self, client: Any, *, run: str, manual: Path) -> None:
        self.client = client
        # Tells the objects of this run from those of others on the same server.
        self.run = run
        self.manual = manual
        self.called: set[str] = set()
        self._store = ""
        self._handbook = ""
        self._faults = 0

    async def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method by its dotted name and return its result, awaited where it is awaitable."""
        method: Any = self.client
        for part in name.split("."):
            method = getattr(method, part)
        self.called.add(_method_name(name))
        return await done(method(*args, **kwargs))

    def fault(self, kind: str, times: int = 1) -> dict[str, str]:
        """Return the header that lets the next `times` requests that carry it fail."""
        self._faults += 1
        return {FAULT: f"{self.run}-{self._faults} {kind} {times}"}

    async def handbook(self) -> str:
        """Return the id of the file that every answer is looked for in."""
        if not self._handbook:
            self._handbook = (
                await self.call("files.create", file=("handbook.md", HANDBOOK.encode()), purpose="assistants")
            ).id
        return self._handbook

    async def store(self) -> str:
        """Return the id of a store that holds the handbook, with attributes of every type."""
        if not self._store:
            store = await self.call("vector_stores.create", name=f"handbook {self.run}")
            entry = await self.call(
                "vector_stores.files.create_and_poll",
                await self.handbook(),
                vector_store_id=store.id,
                attributes={"year": 2025, "valid": True, "team": "people"},
            )
            assert entry.status == "completed", entry
            self._store = store.id
        return self._store

    async def file_search(self, **options: Any) -> list[dict[str, Any]]:
        """Return the tool that searches the handbook."""
        return [{"type": "file_search", "vector_store_ids": [await self.store()], **options}]

    async def ask(self, question: str = QUESTION, **options: Any) -> Any:
        """Return a response, of the handbook unless `tools` says otherwise."""
        tools = options.pop("tools", None) or await self.file_search()
        return await self.call("responses.create", model="footnote", input=question, tools=tools, **options)

    async def upload(self, name: str, text: str) -> str:
        """Return the id of a new file."""
        file = await self.call("files.create", file=(name, text.encode()), purpose="assistants")
        return str(file.id)

    async def until(self, look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
        """Return the first result of `look` for which `wanted` holds."""
        deadline = time.monotonic() + 60
        while not wanted(found := await look()):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found


async def done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def each(pages: Any) -> AsyncIterator[Any]:
    """Iterate over a page, its following pages, or a stream."""
    if hasattr(pages, "__aiter__"):
        async for one in pages:
            yield one
    else:
        for one in pages:
            yield one


async def listed(pages: Any) -> list[Any]:
    return [one async for one in each(pages)]


@asynccontextmanager
async def opened(manager: Any) -> AsyncIterator[Any]:
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value


@asynccontextmanager
async def raises(kind: type[Exception]) -> AsyncIterator[list[Any]]:
    """Catch the one error that has to come; it is in the list afterwards."""
    caught: list[Any] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


def named(text: str, name: str) -> io.BytesIO:
    """Return a file of this name in memory."""
    file = io.BytesIO(text.encode())
    file.name = name
    return file


def where(error: BaseException) -> str:
    """Return the line of a step at which it failed."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).stem.startswith("steps_")
    ]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""


def _method_name(name: str) -> str:
    """Return the method; of a call by way of a wrapper the resource's wrapper: `files.with_raw_response`."""
    parts = name.split(".")
    wrappers = [part for part in parts if part in {"with_raw_response", "with_streaming_response"}]
    return ".".join(parts[: parts.index(wrappers[0]) + 1]) if wrappers else name
