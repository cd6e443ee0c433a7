"""Turns to answer."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from api.turns import Turns


async def taken(turns: Turns, pieces: Iterator[str]) -> list[str]:
    return [piece async for piece in turns.stream(pieces)]


def test_every_piece_arrives_in_its_order() -> None:
    """Also of a stream that has none, and of one that has one."""

    async def read() -> None:
        turns = Turns(1)
        for pieces in ([], ["a"], [str(number) for number in range(1000)]):
            assert await taken(turns, iter(pieces)) == pieces

    asyncio.run(read())


def test_no_more_are_written_at_once_than_there_are_turns() -> None:
    """The first pieces come at once; whoever asks first is answered first."""
    running, most, order = 0, 0, []
    lock = threading.Lock()

    def answer(name: int) -> Iterator[str]:
        nonlocal running, most
        yield "begun"
        with lock:
            running += 1
            most = max(most, running)
            order.append(name)
        yield "written"
        with lock:
            running -= 1

    async def read() -> None:
        turns = Turns(2)
        assert await asyncio.gather(*(taken(turns, answer(name)) for name in range(20))) == [["begun", "written"]] * 20
        assert await asyncio.gather(*(turns.run(lambda: 5) for _ in range(5))) == [5] * 5

    asyncio.run(read())
    assert 0 < most <= 2
    assert sorted(order) == list(range(20))


def test_a_reader_that_does_not_read_holds_no_turn() -> None:
    """Its answer is written and kept for it; the next one is not kept waiting."""

    async def read() -> None:
        turns = Turns(1)
        slow = turns.stream(iter(["a", "b", "c"]))
        assert await anext(slow) == "a"
        assert await anext(slow) == "b"
        assert await taken(turns, iter(["x", "y"])) == ["x", "y"]
        assert [piece async for piece in slow] == ["c"]

    asyncio.run(read())


def test_a_reader_that_goes_away_in_line_gives_up_its_place() -> None:
    """What it asked for is not written at all."""
    holds, let_go, written = threading.Event(), threading.Event(), []

    def holding() -> Iterator[str]:
        yield "begun"
        holds.set()
        let_go.wait(10)

    def wanted() -> Iterator[str]:
        yield "begun"
        written.append("written")

    async def read() -> None:
        turns = Turns(1)
        first = asyncio.create_task(taken(turns, holding()))
        assert await asyncio.to_thread(holds.wait, 10)
        waiting = turns.stream(wanted())
        await anext(waiting)
        leaving = asyncio.create_task(anext(waiting))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        let_go.set()
        assert await first == ["begun"]
        assert await taken(turns, iter(["a", "b"])) == ["a", "b"]

    asyncio.run(read())
    assert written == []


def test_an_error_reaches_the_reader() -> None:
    """What broke off behind the first piece, and what did before it."""

    def breaks(*, first: bool) -> Iterator[str]:
        if first:
            yield "a"
        raise ValueError("broken")

    async def read(*, first: bool) -> None:
        with pytest.raises(ValueError, match="broken"):
            await taken(Turns(1), breaks(first=first))

    asyncio.run(read(first=True))
    asyncio.run(read(first=False))
