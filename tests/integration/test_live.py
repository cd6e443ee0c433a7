"""A running application while the embedding model is changed by another process, which here is another thread."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api import live
from api.cli import reindex
from api.live import until_replaced
from api.models import make_embedder, spec_of
from api.wiring import make_worker
from catalog import embeddings
from catalog.errors import ConfigurationError
from generation.answerer import AnswerRequest
from retrieval.indexes.base import Scope
from tests.builders import IDENTITY
from tests.e2e.conftest import wait_until
from tests.integration.conftest import Command, Footnote, running

NEW = "hashing@256/96"
TO_NEW = ("reindex", "--model", "hashing", "--dimensions", "96")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.02)
    monkeypatch.setattr(reindex, "POLL_S", 0.02)
    monkeypatch.setattr(reindex, "_ROLL_CALL_S", 0.5)


@pytest.fixture
def house(fresh: Footnote) -> str:
    """Return a store with a document."""
    store = fresh.store()
    fresh.add(store)
    return store


def refused(footnote: Footnote, store: str) -> Any:
    """Return the reply to a search, which must not be answered."""
    reply = footnote.client.post(f"/v1/vector_stores/{store}/search", json={"query": "boiler"})
    assert reply.status_code == 503, reply.text
    return reply


def test_the_first_search_behind_the_switch_is_answered(fresh: Footnote, house: str, command: Command) -> None:
    """The application has opened the model in advance: nothing is refused, and answers cite as before."""
    before = fresh.services.live.current
    assert command(*TO_NEW).status == 0
    assert "Brandt" in fresh.search(house, "who installed the boiler")[0]["content"][0]["text"]
    assert fresh.services.live.current is not before
    assert fresh.get("/readyz")["embedding_model"] == NEW == fresh.get(f"/v1/vector_stores/{house}")["embedding_model"]
    assert "Brandt Heating" in str(fresh.respond("Who installed the boiler in the cellar?", house)["output"])
    assert fresh.get(f"/v1/vector_stores/{fresh.store()}")["embedding_model"] == NEW


def test_an_answer_that_began_before_the_switch_is_finished(fresh: Footnote, house: str, command: Command) -> None:
    """What it was opened with searches with the new model by then, and reads the passages with the old one."""
    answerer = fresh.services.answerer
    assert command(*TO_NEW).status == 0
    wait_until(lambda: fresh.get("/readyz")["embedding_model"] == NEW, what="the switch", timeout_s=30)
    request = AnswerRequest(
        question="Who installed the boiler in the cellar?", scope=Scope(vector_store_ids=frozenset([house]))
    )
    assert "Brandt" in list(answerer.answer(request))[-1].text  # type: ignore[union-attr]


def test_who_was_not_asked_is_told_to_come_again(
    fresh: Footnote, house: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch without waiting costs the seconds in which the model is opened: 503, never an old answer."""
    gate = threading.Event()
    open_engine = fresh.services.live._open_engine

    def slow(*arguments: Any) -> Any:
        gate.wait()
        return open_engine(*arguments)

    monkeypatch.setattr(fresh.services.live, "_open_engine", slow)
    assert command(*TO_NEW, "--wait", "0").status == 0
    reply = refused(fresh, house)
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("2", "true")
    assert NEW in reply.json()["error"]["message"]
    gate.set()
    wait_until(lambda: fresh.get("/readyz")["embedding_model"] == NEW, what="the new model", timeout_s=30)
    assert "Brandt" in fresh.search(house, "boiler")[0]["content"][0]["text"]


def test_a_model_that_the_application_cannot_open_does_not_become_current(
    fresh: Footnote, house: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command says so and changes nothing."""

    def broken(*_: Any) -> Any:
        raise ConfigurationError("There is no such model here.")

    monkeypatch.setattr(fresh.services.live, "_open_engine", broken)
    result = command(*TO_NEW, "--wait", "1")
    assert result.status == 2
    assert "1 of 1 API processes did not open the model" in result.err
    assert "Brandt" in fresh.search(house, "boiler")[0]["content"][0]["text"]
    assert fresh.get("/readyz")["embedding_model"] == IDENTITY


def test_a_model_that_nobody_waits_for_is_closed(fresh: Footnote, command: Command) -> None:
    """As when the command was killed: its wish ends with the time that it was for."""
    database = fresh.services.catalog.database
    settings = fresh.settings.model_copy(update={"embedding_dimensions": 96})
    used = spec_of(fresh.settings, fresh.services.embedder)
    embeddings.begin(database, used, spec_of(settings, make_embedder(settings)))
    embeddings.announce(database, NEW, lifetime_s=60)
    wait_until(lambda: fresh.services.live._next is not None, what="the model to be opened", timeout_s=30)
    embeddings.announce(database, NEW, lifetime_s=0)
    wait_until(lambda: fresh.services.live._next is None, what="the model to be closed", timeout_s=30)


def test_a_worker_takes_the_new_model(fresh: Footnote, house: str, command: Command) -> None:
    """What it has in work when the model is switched goes back to the queue, and is published with the new one."""
    database, stop = fresh.services.catalog.database, threading.Event()
    with until_replaced(database, IDENTITY, stop) as ended:
        assert not ended.is_set()
        assert command(*TO_NEW).status == 0
        assert ended.wait(30)
    file = fresh.upload("The shed holds the mower.", "shed.txt")
    assert fresh.attach(house, file)["status"] == "in_progress"
    settings = fresh.settings.model_copy(update={"embedding_dimensions": 96})
    new = make_worker(settings, fresh.services.catalog, make_embedder(settings), name="another")

    def is_published() -> bool:
        new.run_one(stop)
        return bool(fresh.get(f"/v1/vector_stores/{house}/files/{file}")["status"] == "completed")

    wait_until(is_published, what="the file", timeout_s=30)
    assert "mower" in fresh.search(house, "mower")[0]["content"][0]["text"]


def test_a_stopped_worker_does_not_wait_for_the_next_look(fresh: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends it is set as soon as it is asked to stop."""
    monkeypatch.setattr(live, "POLL_S", 60.0)
    stop = threading.Event()
    with until_replaced(fresh.services.catalog.database, IDENTITY, stop) as ended:
        stop.set()
        assert ended.wait(30)


def test_a_start_takes_the_model_that_the_catalog_is_at(fresh: Footnote, house: str, command: Command) -> None:
    """Whatever the settings name; a model that is another one by now is refused with what to do."""
    assert command(*TO_NEW, "--wait", "0").status == 0
    with running(fresh.settings.home) as again:
        assert again.get("/readyz")["embedding_model"] == NEW
        assert "Brandt" in again.search(house, "boiler")[0]["content"][0]["text"]


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name == "model-opening"]
