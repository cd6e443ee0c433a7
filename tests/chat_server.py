"""A server of OpenAI's chat API for tests: it answers rightly, or stalls, drops, lies and floods as it is told."""

import json
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "org/model-x"
ANSWER = "The red pump is checked every second spring. [1]"


class Exchange:
    """One request, and the means to answer it."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], server: "ChatServer") -> None:
        self._handler, self._server = handler, server
        self.body = body

    def head(self, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> None:
        """Begin a reply of unknown length."""
        self._handler.send_response(status)
        self._handler.send_header("content-type", content_type)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.send_header("transfer-encoding", "chunked")
        self._handler.end_headers()

    def send(self, content: bytes) -> None:
        if content:
            self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
            self._handler.wfile.flush()

    def event(self, value: Any) -> None:
        self.send(f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode())

    def delta(self, text: str, *, finish: str | None = None, **fields: Any) -> None:
        delta = {"content": text, **fields} if text or fields else {}
        self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def calls(self, *arguments: str, name: str = "file_search", text: str = "") -> None:
        """Call a tool once for each arguments, these in pieces, as OpenAI does."""
        self.head()
        self.delta(text, role="assistant")
        for index, whole in enumerate(arguments):
            first = {"index": index, "id": f"call_{index}x", "type": "function"}
            self.delta("", tool_calls=[first | {"function": {"name": name, "arguments": ""}}])
            for place in range(0, len(whole), 8):
                piece = {"index": index, "function": {"arguments": whole[place : place + 8]}}
                self.delta("", tool_calls=[piece])
        self.delta("", finish="tool_calls")
        self.event({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20}})
        self.event("[DONE]")
        self.end()

    def end(self) -> None:
        self._handler.wfile.write(b"0\r\n\r\n")

    def drop(self) -> None:
        """Close the connection in the midst of a reply."""
        self._handler.close_connection = True
        self._handler.connection.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Say nothing until the client hangs up, or the test is over."""
        connection = self._handler.connection
        while not self._server.is_closing.wait(0.01):
            if select.select([connection], [], [], 0)[0] and not connection.recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError("the client hung up")

    def words(self, text: str, **how: Any) -> None:
        """Answer rightly, a word for each token, with the limit that the request has."""
        limit = self.body.get("max_tokens") or self.body["max_completion_tokens"]
        parts = [word if n == 0 else f" {word}" for n, word in enumerate(text.split(" "))]
        self.head()
        self.delta("", role="assistant")
        for part in parts[:limit]:
            time.sleep(how.get("pause_s", 0))
            self.delta(part)
        self.delta("", finish=how.get("finish", "stop") if len(parts) <= limit else "length")
        usage = {
            "prompt_tokens": sum(len((message["content"] or "").split()) for message in self.body["messages"]),
            "completion_tokens": min(len(parts), limit),
            "prompt_tokens_details": {"cached_tokens": 3},
        } | how.get("usage", {})
        if self.body.get("stream_options", {}).get("include_usage"):
            self.event({"choices": [], "usage": usage})
        self.event("[DONE]")
        self.end()


Deed = Callable[[Exchange], None]


def says(text: str, **how: Any) -> Deed:
    return lambda exchange: exchange.words(text, **how)


def cites(text: str, **how: Any) -> Deed:
    """Answer rightly; `[name.md]` in the text becomes the number that the prompt gives to that document's source."""

    def deed(exchange: Exchange) -> None:
        prompt = exchange.body["messages"][-1]["content"]
        numbers = {name: number for number, name in re.findall(r'number="(\d+)" document="([^"]+)"', prompt)}
        exchange.words(re.sub(r"\[([^\]]+\.\w+)\]", lambda match: f"[{numbers[match[1]]}]", text), **how)

    return deed


def calls(*arguments: Any, **how: Any) -> Deed:
    """Call a tool once for each arguments: its JSON, or what is to be written as JSON."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in arguments]
    return lambda exchange: exchange.calls(*texts, **how)


def fails(status: int, message: str = "no", **headers: str) -> Deed:
    def deed(exchange: Exchange) -> None:
        exchange.head(status, "application/json", **headers)
        exchange.send(json.dumps({"error": {"message": message}}).encode())
        exchange.end()

    return deed


def sends(*parts: bytes, content_type: str = "text/event-stream") -> Deed:
    """Send these bytes as they are, and end in order."""

    def deed(exchange: Exchange) -> None:
        exchange.head(content_type=content_type)
        for part in parts:
            exchange.send(part)
        exchange.end()

    return deed


def stalls(exchange: Exchange) -> None:
    """Take the request and never answer."""
    exchange.stall()


def stalls_after(*texts: str) -> Deed:
    def deed(exchange: Exchange) -> None:
        exchange.head()
        for text in texts:
            exchange.delta(text)
        exchange.stall()

    return deed


def drops_after(*texts: str) -> Deed:
    """Break the connection behind these pieces; without any, before the reply."""

    def deed(exchange: Exchange) -> None:
        if texts:
            exchange.head()
        for text in texts:
            exchange.delta(text)
        exchange.drop()

    return deed


def floods(text: str = "word ") -> Deed:
    """Write on and on, whatever the request allows."""

    def deed(exchange: Exchange) -> None:
        exchange.head()
        while True:
            exchange.delta(text)

    return deed


def comments(exchange: Exchange) -> None:
    """Keep the connection open with comments, and never say a word."""
    exchange.head()
    while True:
        exchange.send(b": working\n\n")
        time.sleep(0.01)


@dataclass
class ChatServer:
    """It does its deeds one after the other, and answers ANSWER when there is none left."""

    deeds: list[Deed] = field(default_factory=list)
    # What it answers without a deed.
    usual: Deed = field(default_factory=lambda: says(ANSWER))
    # How `POST /tokenize` counts: one for each word, or not at all.
    counts: bool = False
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    # Set when a client closed its connection before the reply was complete.
    hung_up: threading.Event = field(default_factory=threading.Event)
    is_closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self.is_closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, exchange: Exchange, key: str | None) -> None:
        with self._lock:
            self.bodies.append(exchange.body)
            self.keys.append(key)
            self.times.append(time.monotonic())
            deed = self.deeds.pop(0) if self.deeds else self.usual
        deed(exchange)

    def _count(self, exchange: Exchange) -> None:
        text = exchange.body.get("prompt")
        if not self.counts or text is None:
            fails(404, "Not Found")(exchange)
            return
        self.counted.append(text)
        exchange.head(content_type="application/json")
        exchange.send(json.dumps({"count": len(text.split()), "max_model_len": 4096, "tokens": []}).encode())
        exchange.end()

    def _list(self, exchange: Exchange) -> None:
        exchange.head(content_type="application/json")
        exchange.send(json.dumps({"object": "list", "data": [{"id": MODEL, "max_model_len": 8192}]}).encode())
        exchange.end()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._list(Exchange(self, {}, server))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                exchange = Exchange(self, body, server)
                if self.path == "/tokenize":
                    server._count(exchange)
                else:
                    server._answer(exchange, self.headers["authorization"])

            def log_message(self, *_: Any) -> None:
                """Tests read what was asked, not lines on stderr."""

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    server.hung_up.set()

        return Handler
