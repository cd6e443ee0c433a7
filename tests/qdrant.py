"""A Qdrant to test against: the client's local mode behind HTTP, with a record of requests and faults on demand.

What it cannot show: it has no graph, no quantisation, no shards and no replicas, and its order of equals is its own.
"""

import json
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError
from qdrant_client import QdrantClient, models

VERSION = "1.19.2"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens to the next request whose path ends with `path`."""

    path: str = ""
    # 0 breaks the connection off without a reply.
    status: int = 0
    error: str = "injected"
    delay_s: float = 0.0
    # The request is carried out, and its reply lost.
    is_done: bool = False
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    method: str
    path: str
    query: str
    body: Any
    headers: dict[str, str]


class QdrantServer:
    """Answers the end points that the index uses. Bodies pass the client's own strict models."""

    def __init__(self, *, api_key: str | None = None, version: str = VERSION, engine: Any = None) -> None:
        """`engine`: what holds the collections, with methods of QdrantClient; none is its local mode."""
        self.api_key = api_key
        self.version = version
        self.requests: list[Recorded] = []
        self.faults: deque[Fault] = deque()
        # Called with each request before it is carried out: the place for what happens in between.
        self.before: Callable[[Recorded], None] = lambda request: None
        # The local mode is made for one thread.
        self._lock = threading.Lock()
        self._local = engine or QdrantClient(":memory:")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._local.close()

    def sent(self, path: str) -> list[Any]:
        """Return the bodies of the requests whose path ends with `path`."""
        return [request.body for request in self.requests if request.path.endswith(path)]

    def fault_for(self, path: str) -> Fault | None:
        if self.faults and path.endswith(self.faults[0].path):
            return self.faults.popleft()
        return None

    def answer(self, request: Recorded) -> Any:
        """Return the `result` of a request. Raises LookupError for what is not there, ValueError for what is wrong."""
        parts = request.path.removeprefix("/collections/").split("/")
        with self._lock, warnings.catch_warnings():
            # That payload indexes do nothing here.
            warnings.simplefilter("ignore", UserWarning)
            return self._answer_collection(request.method, parts[0], "/".join(parts[1:]), request.body)

    def _answer_collection(self, method: str, name: str, action: str, body: Any) -> Any:
        if (method, action) == ("GET", "exists"):
            return {"exists": self._local.collection_exists(name)}
        if (method, action) == ("PUT", ""):
            return self._create(name, _read(models.CreateCollection, body))
        if not self._local.collection_exists(name):
            raise LookupError(f"Not found: Collection `{name}` doesn't exist!")
        return self._ACTIONS[method, action](self, name, body)

    def _create(self, name: str, wanted: models.CreateCollection) -> bool:
        if self._local.collection_exists(name):
            raise FileExistsError(f"Wrong input: Collection `{name}` already exists!")
        return self._local.create_collection(
            name, vectors_config=wanted.vectors, sparse_vectors_config=wanted.sparse_vectors
        )

    def _info(self, name: str, _body: Any) -> Any:
        return self._local.get_collection(name)

    def _drop(self, name: str, _body: Any) -> Any:
        return self._local.delete_collection(name)

    def _index(self, name: str, body: Any) -> Any:
        wanted = _read(models.CreateFieldIndex, body)
        return self._local.create_payload_index(name, wanted.field_name, wanted.field_schema)

    def _upsert(self, name: str, body: Any) -> Any:
        wanted = _read(models.PointsList, body)
        return self._local.upsert(name, wanted.points, update_filter=wanted.update_filter)

    def _batch(self, name: str, body: Any) -> Any:
        return self._local.batch_update_points(name, _read(models.UpdateOperations, body).operations)

    def _retrieve(self, name: str, body: Any) -> Any:
        wanted = _read(models.PointRequest, body)
        return self._local.retrieve(name, wanted.ids, with_payload=wanted.with_payload)

    def _query(self, name: str, body: Any) -> Any:
        wanted = _read(models.QueryRequest, body)
        return self._local.query_points(
            name,
            query=wanted.query,
            using=wanted.using,
            query_filter=wanted.filter,
            search_params=wanted.params,
            limit=wanted.limit,
            with_payload=wanted.with_payload,
        )

    def _count(self, name: str, body: Any) -> Any:
        return self._local.count(name, _read(models.CountRequest, body).filter)

    def _scroll(self, name: str, body: Any) -> Any:
        wanted = _read(models.ScrollRequest, body)
        points, offset = self._local.scroll(
            name, wanted.filter, limit=wanted.limit, offset=wanted.offset, with_payload=wanted.with_payload
        )
        return {"points": points, "next_page_offset": offset}

    _ACTIONS: ClassVar[dict[tuple[str, str], Callable[..., Any]]] = {
        ("GET", ""): _info,
        ("DELETE", ""): _drop,
        ("PUT", "index"): _index,
        ("PUT", "points"): _upsert,
        ("POST", "points"): _retrieve,
        ("POST", "points/batch"): _batch,
        ("POST", "points/query"): _query,
        ("POST", "points/count"): _count,
        ("POST", "points/scroll"): _scroll,
    }


@contextmanager
def qdrant_server(**options: Any) -> Iterator[QdrantServer]:
    server = QdrantServer(**options)
    try:
        yield server
    finally:
        server.close()


def _read(model: type[BaseModel], body: Any) -> Any:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise ValueError(f"Format error in JSON body: {error.errors()[0]['msg']}") from error


def _handler(server: QdrantServer) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"qdrant": server})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Or each reply waits 40 ms for the acknowledgement of its head.
    disable_nagle_algorithm = True
    qdrant: QdrantServer

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        request = Recorded(self.command, path, query, body, {k.lower(): v for k, v in self.headers.items()})
        self.qdrant.requests.append(request)
        self.qdrant.before(request)
        fault = self.qdrant.fault_for(path)
        if fault is None:
            self._reply(*self._result(request))
            return
        if fault.is_done:
            self._result(request)
        time.sleep(fault.delay_s)
        if fault.status:
            self._reply(fault.status, _failure(fault.error), fault.headers)
        else:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = _serve

    def _result(self, request: Recorded) -> tuple[int, Any]:
        if self.qdrant.api_key is not None and request.headers.get("api-key") != self.qdrant.api_key:
            return 401, _failure("Must provide an API key or an Authorization bearer token")
        if request.path == "/":
            return 200, {"title": "qdrant - vector search engine", "version": self.qdrant.version}
        try:
            return 200, {"result": self.qdrant.answer(request), "status": "ok", "time": 0.0}
        except LookupError as error:
            return 404, _failure(str(error))
        except FileExistsError as error:
            return 409, _failure(str(error))
        except ValueError as error:
            return 400, _failure(str(error))

    def _reply(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = TypeAdapter(Any).dump_json(content)
        try:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            # The client has given up.
            self.close_connection = True


def _failure(error: str) -> dict[str, Any]:
    return {"status": {"error": error}, "time": 0.0}
