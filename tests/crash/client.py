"""A client that gives up nothing: it repeats a step until the service has answered that it is done.

What no answer came for may have happened or not. The client finds out as any client can: by looking, or by asking for
the same again where that is idempotent.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

from tests.crash.script import (
    Attach,
    AttachBatch,
    CreateStore,
    DeleteFile,
    DeleteStore,
    Detach,
    Follow,
    Member,
    SetAttributes,
    Step,
    Upload,
)

_ANSWER_TIMEOUT_S: Final = 20.0
# The longest that a step may take, kills and restarts included.
_STEP_TIMEOUT_S: Final = 90.0
_PAUSE_S: Final = 0.02

# Makes the store equal to a folder, on the machine of the service.
FollowFolder = Callable[[Follow], None]


class Unanswered(Exception):
    """The connection broke, or nothing came in time: the request may have been carried out."""


class Client:
    """Carries out the steps of a script against any of several API processes."""

    def __init__(self, urls: Sequence[str], follow: FollowFolder, *, timeout_s: float = _ANSWER_TIMEOUT_S) -> None:
        self._http = httpx.Client(timeout=timeout_s)
        self._urls = itertools.cycle(urls)
        self._follow = follow
        # Ids by name.
        self.files: dict[str, str] = {}
        self.stores: dict[str, str] = {}
        # Requests by what became of them: "answered", "unanswered", "refused" (503 and 429), "not connected".
        self.counts: Counter[str] = Counter()

    def close(self) -> None:
        self._http.close()

    def perform(self, step: Step) -> None:
        """Carry out a step, and see through whichever process answers that it happened."""
        match step:
            case Upload():
                self._upload(step)
            case CreateStore():
                self._create_store(step)
            case Attach():
                self._attach(step.store, step.member)
            case AttachBatch():
                self._attach_batch(step)
            case SetAttributes():
                path = self._path(step.store, step.file)
                self.call("POST", path, json={"attributes": dict(step.attributes)})
                assert self.call("GET", path)["attributes"] == step.attributes
            case Detach():
                self._delete(self._path(step.store, step.file))
            case DeleteFile():
                self._delete(f"/v1/files/{self.files.pop(step.file)}")
            case DeleteStore():
                self._delete(f"/v1/vector_stores/{self.stores.pop(step.store)}")
            case Follow():
                self._follow(step)

    def call(self, method: str, path: str, *, absent: bool = False, **request: Any) -> dict[str, Any]:
        """Ask until there is an answer. `absent`: 404 is one too, and comes back as {}."""
        deadline = time.monotonic() + _STEP_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                reply = self.ask(method, path, **request)
            except Unanswered:
                # What is deleted already has been by the request that was not answered.
                absent = absent or method == "DELETE"
                continue
            if reply is None:
                continue
            if absent and reply.status_code == 404:
                return {}
            assert reply.status_code == 200, f"{method} {path}: {reply.status_code} {reply.text}"
            return dict(reply.json())
        raise AssertionError(f"{method} {path} was not answered within {_STEP_TIMEOUT_S:.0f} s: {dict(self.counts)}")

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        """Ask one process once. Return None when nothing was done: it is not there, or refused for the time being.

        Raises Unanswered. A status of 500 is a fault of the service in any case.
        """
        try:
            reply = self._http.request(method, next(self._urls) + path, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self.counts["not connected"] += 1
            time.sleep(_PAUSE_S)
            return None
        except httpx.TransportError as error:
            self.counts["unanswered"] += 1
            raise Unanswered(f"{method} {path}: {error!r}") from error
        assert reply.status_code != 500, f"{method} {path}: {reply.text}"
        if reply.status_code in {429, 503}:
            self.counts["refused"] += 1
            assert reply.json()["error"]["message"], reply.text
            time.sleep(_PAUSE_S)
            return None
        self.counts["answered"] += 1
        return reply

    def page(self, path: str) -> list[dict[str, Any]]:
        """Return every object of a list."""
        return list(self.call("GET", path)["data"])

    def remove_leftovers(self) -> None:
        """Delete what came of requests without an answer beside what this client uses: a second file or store."""
        for file in self.page("/v1/files?limit=10000"):
            if self.files.get(file["filename"], file["id"]) != file["id"]:
                self._delete(f"/v1/files/{file['id']}")
        for store in self.page("/v1/vector_stores?limit=100"):
            if self.stores.get(store["name"], store["id"]) != store["id"]:
                self._delete(f"/v1/vector_stores/{store['id']}")

    def remove_everything(self) -> None:
        """Leave an empty catalog for the next round."""
        for store in self.page("/v1/vector_stores?limit=100"):
            self._delete(f"/v1/vector_stores/{store['id']}")
        for file in self.page("/v1/files?limit=10000"):
            self.call("DELETE", f"/v1/files/{file['id']}", absent=True)  # A member may have gone with its archive.

    def _upload(self, step: Upload) -> None:
        form = {"files": {"file": (step.file, step.content)}, "data": {"purpose": "assistants"}}
        found = self._create("/v1/files", form, "/v1/files?limit=10000", lambda one: one["filename"] == step.file)
        self.files[step.file] = str(found["id"])
        assert self.call("GET", f"/v1/files/{found['id']}")["bytes"] == len(step.content)

    def _create_store(self, step: CreateStore) -> None:
        body = {"json": {"name": step.store, "file_ids": [self.files[file] for file in step.files]}}
        listing = "/v1/vector_stores?limit=100"
        found = self._create("/v1/vector_stores", body, listing, lambda one: one["name"] == step.store)
        self.stores[step.store] = str(found["id"])
        for file in step.files:
            assert self.call("GET", self._path(step.store, file))["id"] == self.files[file]

    def _create(
        self, path: str, request: dict[str, Any], listing: str, is_it: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Make an object once: after a request without an answer, look whether it is there before making another."""
        deadline = time.monotonic() + _STEP_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                reply = self.ask("POST", path, **request)
            except Unanswered:
                if found := next(filter(is_it, self.page(listing)), None):
                    return found
                continue
            if reply is not None:
                assert reply.status_code == 200, f"POST {path}: {reply.status_code} {reply.text}"
                return dict(reply.json())
        raise AssertionError(f"POST {path} was not answered within {_STEP_TIMEOUT_S:.0f} s: {dict(self.counts)}")

    def _attach(self, store: str, member: Member) -> None:
        self.call("POST", f"/v1/vector_stores/{self.stores[store]}/files", json=self._body(member))
        assert self.call("GET", self._path(store, member.file))["attributes"] == member.attributes

    def _attach_batch(self, step: AttachBatch) -> None:
        batches = f"/v1/vector_stores/{self.stores[step.store]}/file_batches"
        batch = self.call("POST", batches, json={"files": [self._body(member) for member in step.members]})
        assert batch["file_counts"]["total"] == len(step.members)
        if step.is_cancelled:
            self.call("POST", f"{batches}/{batch['id']}/cancel")
            assert self.call("GET", f"{batches}/{batch['id']}")["file_counts"]["in_progress"] == 0
            for member in step.members:
                self._attach(step.store, member)

    def _delete(self, path: str) -> None:
        self.call("DELETE", path)
        assert self.call("GET", path, absent=True) == {}, f"{path} was deleted and is there"

    def _path(self, store: str, file: str) -> str:
        return f"/v1/vector_stores/{self.stores[store]}/files/{self.files[file]}"

    def _body(self, member: Member) -> dict[str, Any]:
        return {
            "file_id": self.files[member.file],
            "attributes": dict(member.attributes),
            "chunking_strategy": dict(member.strategy),
        }
