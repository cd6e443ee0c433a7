"""Random requests for what a caller does not see are answered exactly as requests for what does not exist."""

import itertools
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.integration.callers import Header, make_key, mint
from tests.integration.conftest import Footnote, running
from tests.integration.requests_of import Call, Requests, UnknownKind, operations

ROUNDS: Final = int(os.environ.get("FOOTNOTE_TEST_TENANT_ROUNDS", "720"))
SEED: Final = int(os.environ.get("FOOTNOTE_TEST_TENANT_SEED", "20251121"))
# Stands in the hidden documents, conversations and answers, and nowhere else.
SECRET: Final = "xylophone-4711"
ITEM: Final = {"type": "message", "role": "user", "content": f"Where is the {SECRET}?"}
# What differs between two equal requests: fresh ids, times, and padding.
_FRESH: Final = re.compile(
    r"(?:file-|vs_|vsfb_|resp_|msg_|fs_|conv_|upload_|part_|chatcmpl-|token_)[0-9a-f]{24}(?![0-9a-f])"
    r'|"token":"[^"]*"|"obfuscation":"[^"]*"|"seconds":\{[^}]*\}|"seconds_left":[0-9.]+'
    r'|"(?:\w+_at|created)":[0-9]+'
)


@dataclass(kw_only=True)
class World:
    """Objects by kind."""

    ids: dict[str, list[str]] = field(default_factory=dict)

    def all(self) -> set[str]:
        return {one for ids in self.ids.values() for one in ids}


@dataclass(frozen=True, kw_only=True)
class Stranger:
    name: str
    header: Header
    own: World
    hidden: World


def send(footnote: Footnote, header: Header, method: str, path: str, **options: Any) -> Any:
    return footnote.client.request(method, path, headers=header, **options)


def upload(footnote: Footnote, header: Header, text: str) -> str:
    form = {"files": {"file": ("a.txt", text.encode())}, "data": {"purpose": "assistants"}}
    return str(send(footnote, header, "POST", "/v1/files", **form).json()["id"])


def fill(footnote: Footnote, header: Header, text: str, attributes: Any = None, store: str | None = None) -> World:
    """Make one object of each kind that this caller can make."""

    def post(path: str, body: Any) -> dict[str, Any]:
        reply = send(footnote, header, "POST", path, json=body)
        assert reply.status_code == 200, (path, reply.text)
        return dict(reply.json())

    world = World()
    file = upload(footnote, header, text)
    store = store or post("/v1/vector_stores", {"name": "made"})["id"]
    body = {"files": [{"file_id": file, "attributes": attributes}]}
    batch = post(f"/v1/vector_stores/{store}/file_batches", body)["id"]
    footnote.work()
    world.ids |= {"file": [file], "store": [store], "batch": [batch]}
    return world


def with_answers(footnote: Footnote, header: Header, world: World) -> World:
    """Add a response, a conversation and an item of it."""

    def post(path: str, body: Any) -> dict[str, Any]:
        reply = send(footnote, header, "POST", path, json=body)
        assert reply.status_code == 200, (path, reply.text)
        return dict(reply.json())

    conversation = post("/v1/conversations", {})["id"]
    item = post(f"/v1/conversations/{conversation}/items", {"items": [ITEM]})["data"][0]["id"]
    response = post("/v1/responses", {"input": "Where is the boiler?"})["id"]
    background = post("/v1/responses", {"input": "Where is the boiler?", "background": True})["id"]
    world.ids |= {"conversation": [conversation], "item": [item], "response": [response, background]}
    return world


def with_upload(footnote: Footnote, header: Header, world: World) -> World:
    body = {"bytes": 3, "filename": "a.txt", "mime_type": "text/plain", "purpose": "assistants"}
    made = send(footnote, header, "POST", "/v1/uploads", json=body).json()["id"]
    part = send(footnote, header, "POST", f"/v1/uploads/{made}/parts", files={"data": ("p", b"abc")}).json()["id"]
    world.ids |= {"upload": [made], "part": [part]}
    return world


def strangers_of(footnote: Footnote) -> tuple[Header, World, list[Stranger]]:
    """Return the owner of everything hidden, what that is, and callers that see nothing or a part of it."""
    _, owner = make_key(footnote, "proj_theirs")
    secret = f"The boiler stands beside the {SECRET} in the cellar."
    hidden = with_upload(
        footnote, owner, with_answers(footnote, owner, fill(footnote, owner, secret, {"department": "legal"}))
    )
    _, other = make_key(footnote, "proj_ours")
    ours = with_upload(footnote, other, with_answers(footnote, other, fill(footnote, other, "The boiler is ours.")))

    open_store = send(footnote, owner, "POST", "/v1/vector_stores", json={"name": "open"}).json()["id"]
    _, limited = make_key(footnote, "proj_theirs", store_ids=[open_store])
    shown = fill(footnote, limited, "The boiler of the open store.", store=open_store)
    visitor = mint(footnote, owner, vector_store_ids=[open_store])
    # Sees the store with the secret, and in it the sales department alone.
    sales = {"type": "eq", "key": "department", "value": "sales"}
    of_sales = fill(footnote, owner, "The boiler of the sales.", {"department": "sales"}, hidden.ids["store"][0])
    narrow = mint(footnote, owner, filters=sales, vector_store_ids=hidden.ids["store"])
    within = World(ids={kind: ids for kind, ids in hidden.ids.items() if kind not in {"store", "batch"}})
    elsewhere = World(ids={kind: ids + of_sales.ids.get(kind, []) for kind, ids in hidden.ids.items()})

    def copy(world: World) -> World:
        return World(ids=dict(world.ids))

    return (
        owner,
        elsewhere,
        [
            Stranger(name="another project", header=other, own=ours, hidden=elsewhere),
            Stranger(
                name="a key for another store",
                header=limited,
                own=with_answers(footnote, limited, copy(shown)),
                hidden=elsewhere,
            ),
            Stranger(
                name="a visitor of another store",
                header=visitor,
                own=with_answers(footnote, visitor, copy(shown)),
                hidden=elsewhere,
            ),
            Stranger(
                name="a visitor of another department",
                header=narrow,
                own=with_answers(footnote, narrow, copy(of_sales)),
                hidden=within,
            ),
        ],
    )


def missing(known: str) -> str:
    """Return an id that does not exist: the same but for its last digit."""
    return known[:-1] + ("0" if known[-1] != "0" else "1")


def answer(footnote: Footnote, stranger: Stranger, call: Call) -> tuple[int, str]:
    form = {"files": {"file": ("a.txt", b"x"), "data": ("p", b"x")}, "data": {"purpose": "assistants"}}
    body: dict[str, Any] = form if call.form else {"json": call.json} if call.json is not None else {}
    reply = send(footnote, stranger.header, call.method, call.path, params=call.query, **body)
    return reply.status_code, reply.text


def renamed(call: Call, names: dict[str, str]) -> Call:
    text = json.dumps([call.path, call.query, call.json])
    for known, other in names.items():
        text = text.replace(known, other)
    path, query, body = json.loads(text)
    return Call(method=call.method, template=call.template, path=path, query=query, json=body, form=call.form)


def compared(text: str) -> str:
    return _FRESH.sub("…", text)


class Rounds:
    """Sends requests twice, with hidden ids and with ids that do not exist, and counts what it saw."""

    def __init__(self, footnote: Footnote, requests: Requests, strangers: list[Stranger]) -> None:
        self._footnote = footnote
        self._requests = requests
        self._strangers = strangers
        self.seen: Counter[str] = Counter()
        self.endpoints: set[tuple[str, str]] = set()

    def run(self, number: int) -> None:
        """Send one request, and its twin: every stranger in turn tries every endpoint in turn."""
        random = self._requests.random
        turn, endpoint = divmod(number, len(self._requests))
        stranger = self._strangers[turn % len(self._strangers)]
        used: dict[str, str] = {}
        picked = itertools.count()
        # One hidden id among own ones, the last of them in the body; or any number.
        only = random.randrange(self._requests.places(endpoint) or 1) if random.random() < 0.7 else None

        def pick(kind: str | None) -> str:
            is_hidden = random.random() < 0.6 if only is None else next(picked) == only
            world = stranger.hidden if is_hidden else stranger.own
            known = world.ids.get(kind or random.choice(sorted(world.ids))) or stranger.own.ids.get(kind or "", [])
            chosen = random.choice(known) if known else f"{kind}_none"
            if chosen in stranger.hidden.all():
                used[chosen] = missing(chosen)
            return chosen

        call = self._requests.draw(endpoint, pick)
        if not used and call.method == "DELETE":
            return  # Its own objects are needed again.
        status, text = answer(self._footnote, stranger, call)
        self.endpoints.add((call.method, call.template))
        self.seen["requests"] += 1
        self.seen[f"status {status}"] += 1
        told = f"{stranger.name}: {call.method} {call.path} {call.query} {call.json} -> {status} {text}"
        assert status < 500, told
        assert SECRET not in text or ITEM["content"] in json.dumps(call.json) or self._is_own(stranger, text), told
        foreign = {one for one in stranger.hidden.all() if one in text} - set(used)
        assert foreign == set(), told
        if used:
            self._compare(stranger, call, used, status, text, told)

    def _compare(self, stranger: Stranger, call: Call, used: dict[str, str], status: int, text: str, told: str) -> None:
        absent_status, absent = answer(self._footnote, stranger, renamed(call, used))
        for known, other in used.items():
            absent = absent.replace(other, known)
        same = text == absent if status >= 400 else compared(text) == compared(absent)
        assert (status, same) == (absent_status, True), f"{told}\nbut of a missing one: {absent_status} {absent}"
        self.seen["compared"] += 1
        self.seen[f"compared, {stranger.name}"] += 1
        self.seen["requests"] += 1

    def _is_own(self, stranger: Stranger, text: str) -> bool:
        """A stranger's own conversation holds the question with the word, and none of the documents' words."""
        return "stands beside" not in text and any(one in text for one in stranger.own.all())


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Yield an application with everything that a project can hold, and callers that must not see it."""
    with running(tmp_path_factory.mktemp("tenants")) as footnote:
        yield footnote, *strangers_of(footnote)


def test_what_a_caller_does_not_see_does_not_exist(tenants: Any) -> None:
    """Status and body are equal but for the id, no answer names a hidden object, and its owner has it unchanged."""
    footnote, owner, hidden, strangers = tenants
    before = snapshot(footnote, owner, hidden)
    requests = Requests(footnote.client.app.openapi(), SEED)
    rounds = Rounds(footnote, requests, strangers)
    for number in range(ROUNDS):
        rounds.run(number)
    print(f"{ROUNDS} rounds, seed {SEED}: {dict(sorted(rounds.seen.items()))}")  # noqa: T201 - The figures, with -s.
    assert rounds.seen["compared"] > ROUNDS / 3
    assert rounds.endpoints == requests.endpoints
    assert snapshot(footnote, owner, hidden) == before


def test_lists_hold_nothing_hidden(tenants: Any) -> None:
    """Every list that a stranger can ask for, page by page."""
    footnote, _, _, strangers = tenants
    listed = 0
    for stranger in strangers:
        paths = ["/v1/files", "/v1/vector_stores"]
        paths += [f"/v1/vector_stores/{one}/files" for one in stranger.own.ids["store"]]
        paths += [f"/v1/conversations/{one}/items" for one in stranger.own.ids["conversation"]]
        for path in paths:
            after = None
            while True:
                query = {"limit": 1} | ({"after": after} if after else {})
                reply = send(footnote, stranger.header, "GET", path, params=query)
                if reply.status_code == 403:
                    break
                page = reply.json()
                assert not {one["id"] for one in page["data"]} & stranger.hidden.all(), (stranger.name, path)
                listed += len(page["data"])
                if not page["has_more"]:
                    break
                after = page["last_id"]
    assert listed > 5


def test_no_answer_draws_on_what_is_hidden(tenants: Any) -> None:
    """Asked for the very words of a hidden document, in every way, a stranger gets none of them."""
    footnote, owner, _, strangers = tenants
    words = "The boiler stands beside what in the cellar?"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/v1/responses", {"input": words, "include": ["file_search_call.results"]}),
        ("/v1/responses", {"input": words, "stream": True}),
        ("/v1/chat/completions", {"model": "footnote", "messages": [{"role": "user", "content": words}]}),
    ]
    for path, body in calls:
        assert SECRET in send(footnote, owner, "POST", path, json=body).text
    for stranger in strangers:
        searches = [(f"/v1/vector_stores/{one}/search", {"query": words}) for one in stranger.own.ids["store"]]
        for path, body in [*calls, *searches]:
            reply = send(footnote, stranger.header, "POST", path, json=body)
            assert reply.status_code == 200
            assert SECRET not in reply.text, (stranger.name, path)


def test_an_endpoint_with_an_unknown_kind_of_id_is_noticed() -> None:
    """Who adds one has to say what it names, or these tests would not try it."""
    schemas: dict[str, Any] = {"components": {"schemas": {}}}
    with pytest.raises(UnknownKind, match="thing_id"):
        list(operations({"paths": {"/v1/things/{thing_id}": {"get": {}}}} | schemas))
    body = {"components": {"schemas": {"Body": {"properties": {"other_ids": {}}}}}}
    with pytest.raises(UnknownKind, match="other_ids"):
        list(operations({"paths": {}} | body))


def snapshot(footnote: Footnote, owner: Header, world: World) -> list[str]:
    """Return what the owner sees of the hidden objects."""
    ids, (store,) = world.ids, {*world.ids["store"]}
    paths = [
        f"/v1/vector_stores/{store}",
        *(f"/v1/files/{one}/content" for one in ids["file"]),
        *(f"/v1/vector_stores/{store}/files/{one}" for one in ids["file"]),
        *(f"/v1/vector_stores/{store}/file_batches/{one}" for one in ids["batch"]),
        *(f"/v1/responses/{one}" for one in ids["response"]),
        *(f"/v1/conversations/{one}/items" for one in ids["conversation"]),
    ]
    replies = [send(footnote, owner, "GET", path) for path in paths]
    assert [reply.status_code for reply in replies] == [200] * len(replies)
    return [re.sub(r'"last_active_at":\d+', "", reply.text) for reply in replies]
