"""A reader who looks at the stores all the time, and must never see half a document or two generations of one."""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from tests.crash.client import Client
from tests.crash.documents import is_whole
from tests.crash.script import is_followed

_INTERVAL_S: Final = 0.25


@contextmanager
def reading(urls: Sequence[str]) -> Iterator[Counter[str]]:
    """Read until the block ends. Yield the counts of what was read; raise at the end what was wrong."""
    reader = _Reader(urls)
    thread = threading.Thread(target=reader.run, name="reader")
    thread.start()
    try:
        yield reader.counts
    finally:
        reader.stop.set()
        thread.join()
    if reader.fault:
        raise reader.fault


class _Reader:
    def __init__(self, urls: Sequence[str]) -> None:
        self._client = Client(urls, follow=lambda _: None)
        self._dice = random.Random(0)
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.fault: Exception | None = None

    def run(self) -> None:
        try:
            while not self.stop.wait(_INTERVAL_S):
                for store in self._some("/v1/vector_stores"):
                    self._search(store)
                    for file in self._some(f"/v1/vector_stores/{store['id']}/files?filter=completed"):
                        self._read(store, file)
        except Exception as fault:  # noqa: BLE001 - it is raised by `reading`, in the test's own thread
            self.fault = fault
        finally:
            self._client.close()

    def _some(self, path: str) -> list[dict[str, Any]]:
        found = self._client.call("GET", path, absent=True).get("data", [])
        return self._dice.sample(found, min(2, len(found)))

    def _search(self, store: dict[str, Any]) -> None:
        """No two generations of a followed file are found together. Archives may well hold files of one name."""
        body = {"query": "generation1 generation2 generation3", "max_num_results": 50}
        found = self._client.call("POST", f"/v1/vector_stores/{store['id']}/search", absent=True, json=body)
        file_ids = defaultdict(set)
        for hit in found.get("data", []):
            if is_followed(hit["filename"]):
                file_ids[hit["filename"]].add(hit["file_id"])
        assert all(len(ids) == 1 for ids in file_ids.values()), f"two generations at once: {dict(file_ids)}"
        self.counts["searches meanwhile"] += 1

    def _read(self, store: dict[str, Any], file: dict[str, Any]) -> None:
        """All chunks are there, each is the text at its place, and the text is whole and of one generation."""
        path = f"/v1/vector_stores/{store['id']}/files/{file['id']}"
        chunks = self._client.call("GET", f"{path}/content", absent=True).get("data")
        text = self._client.call("GET", f"{path}/text", absent=True).get("text")
        if chunks is None or text is None:
            return  # Deleted meanwhile.
        assert len(chunks) == file["coverage"]["chunks"], f"{file}: {len(chunks)} chunks"
        assert [chunk["text"] for chunk in chunks] == [text[chunk["start"] : chunk["end"]] for chunk in chunks]
        assert is_whole(text), f"{file}: {text[:100]!r} … {text[-100:]!r}"
        self.counts["documents read meanwhile"] += 1
