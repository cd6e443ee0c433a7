"""Profiles: the model of a request chooses who answers, and how."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.profiles import open_profiles
from api.settings import load_settings
from api.wiring import open_services
from catalog.errors import ConfigurationError
from tests.integration.conftest import HOUSE, Footnote, StartFootnote
from tests.integration.test_background import wait_for
from tests.model_server import MODEL, ModelServer, says

QUESTION = "Who installed the boiler in the cellar?"
SENTENCE = "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011."


@pytest.fixture
def server() -> Iterator[ModelServer]:
    server = ModelServer(usual=says("Brandt Heating installed it in 2011. [1]"))
    yield server
    server.close()


@pytest.fixture
def footnote(server: ModelServer, start: StartFootnote) -> Iterator[Footnote]:
    """Yield an application that quotes, with two further profiles on one language model."""
    with start(
        generator_url=server.url,
        generator_model=MODEL,
        profiles={
            "fluent": {"generator": "openai", "temperature": 0.3, "max_results": 1},
            "fluent-strict": {"generator": "openai", "score_threshold": 0.5},
        },
    ) as footnote:
        yield footnote


@pytest.fixture
def store(footnote: Footnote) -> str:
    store = footnote.store(name="house")
    footnote.add(store, HOUSE)
    footnote.add(store, "The cellar of the neighbours has no boiler.", "neighbours.txt")
    return store


def text_of(response: dict[str, Any]) -> str:
    return str(response["output"][-1]["content"][0]["text"])


def test_profiles_are_models(footnote: Footnote) -> None:
    """Each is listed and retrieved, the default one first."""
    listed = [model["id"] for model in footnote.get("/v1/models")["data"]]
    assert listed == ["footnote", "fluent", "fluent-strict", "hashing"]
    assert footnote.get("/v1/models/fluent")["id"] == "fluent"


def test_the_model_of_a_request_chooses_the_generator(footnote: Footnote, store: str, server: ModelServer) -> None:
    """For responses, chats and background answers; the default goes on quoting."""
    fluent = {"model": "fluent"}
    assert text_of(footnote.respond(QUESTION, store)) == SENTENCE
    assert len(server.bodies) == 0
    assert text_of(footnote.respond(QUESTION, store, **fluent)) == "Brandt Heating installed it in 2011."
    queued = footnote.respond(QUESTION, store, background=True, **fluent)
    assert text_of(wait_for(footnote, queued)) == "Brandt Heating installed it in 2011."
    chat = {"messages": [{"role": "user", "content": QUESTION}], "file_search": {"vector_store_ids": [store]}}
    reply = footnote.client.post("/v1/chat/completions", json=chat | fluent)
    assert reply.json()["choices"][0]["message"]["content"] == "Brandt Heating installed it in 2011."
    assert reply.json()["model"] == "fluent"


def test_a_profile_gives_what_a_request_leaves_open(footnote: Footnote, store: str, server: ModelServer) -> None:
    """Temperature and number of passages; what the request names wins."""
    footnote.respond(QUESTION, store, model="fluent")
    tools = [{"type": "file_search", "vector_store_ids": [store], "max_num_results": 2}]
    body = {"input": QUESTION, "model": "fluent", "temperature": 0.9, "tools": tools}
    assert footnote.client.post("/v1/responses", json=body).status_code == 200
    first, second = server.bodies
    assert (first["temperature"], second["temperature"]) == (0.3, 0.9)
    assert "neighbours.txt" not in first["messages"][-1]["content"]
    assert "neighbours.txt" in second["messages"][-1]["content"]


def test_a_profile_may_want_better_passages(footnote: Footnote, store: str, server: ModelServer) -> None:
    """Those below its threshold are no sources."""
    tools = [{"type": "file_search", "vector_store_ids": [store], "max_num_results": 2}]
    for model in ("fluent", "fluent-strict"):
        reply = footnote.client.post("/v1/responses", json={"input": QUESTION, "model": model, "tools": tools})
        assert reply.status_code == 200
    assert [body["messages"][-1]["content"].count("</source-") for body in server.bodies] == [2, 1]


def test_profiles_with_one_generator_share_it(footnote: Footnote) -> None:
    """A language model is opened once, however many profiles ask it."""
    profiles = footnote.services.profiles
    assert profiles["fluent"].generator is profiles["fluent-strict"].generator is not None
    assert profiles["footnote"].generator is None


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/input_tokens"])
def test_an_unknown_model_is_not_found(footnote: Footnote, path: str) -> None:
    """Under the name of the parameter, before anything is done."""
    reply = footnote.client.post(path, json={"input": "?", "model": "gpt-none"})
    assert reply.status_code == 404
    assert reply.json()["error"]["param"] == "model"


def test_a_background_answer_of_a_profile_that_is_gone_fails_by_name(start: StartFootnote, server: ModelServer) -> None:
    """A restart with other settings does not hand it to another generator."""
    server.deeds = [lambda exchange: exchange.stall()] * 9
    profile = {"generator": "openai", "generator_url": server.url, "generator_model": MODEL}
    with start(profiles={"fluent": profile}) as first:
        store = first.store()
        first.add(store, HOUSE)
        response = first.respond(QUESTION, store, model="fluent", background=True)
        deadline = time.monotonic() + 20
        while not server.bodies:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with start() as second:
        ended = wait_for(second, response)
    assert ended["status"] == "failed"
    assert "There is no model 'fluent'" in ended["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "magic"}, r"profiles\.fluent\.generator' is 'magic'"),
        ({"generator": "openai"}, r"'fluent': generator='openai' needs generator_url"),
        ({"prompt": "nonsense"}, r"'fluent': There is no prompt 'nonsense'"),
        ({"temperature": 3}, r"profiles\.fluent\.temperature' is 3"),
        ({"wrong_answers_at_most": 0.05}, r"'fluent': Setting 'wrong_answers_at_most' is 0\.05.* no calibration in"),
        (
            {"generator": "openai", "wrong_answers_at_most": 0.05},
            r"'fluent': wrong_answers_at_most needs the generator",
        ),
        (
            {"generator": "openai", "generator_model": "m", "generator_url": "nowhere"},
            r"'nowhere' is not like https://",
        ),
    ],
)
def test_a_profile_that_cannot_work_refuses_to_start(tmp_home: Path, changes: dict[str, Any], message: str) -> None:
    """With the profile, the setting and the value."""
    settings = load_settings(home=tmp_home, embedding_backend="hashing", profiles={"fluent": changes})
    with pytest.raises(ConfigurationError, match=message), open_services(settings):
        pass


@pytest.mark.parametrize("name", ["rewrite_prompt", "compaction_prompt"])
def test_prompts_of_conversations_are_chosen_by_setting(tmp_home: Path, server: ModelServer, name: str) -> None:
    """A variant is opened, and one of another task refused."""
    told = {"generator_url": server.url, "generator_model": MODEL, "embedding_backend": "hashing", "home": tmp_home}
    variant = f"{name.removesuffix('_prompt')}-reasoning"
    fluent = {"generator": "openai", name: variant}
    with open_services(load_settings(**told, profiles={"fluent": fluent})) as services:
        assert getattr(services.profile_of("fluent").settings, name) == variant
    wrong = load_settings(**told, profiles={"fluent": fluent | {name: "summary"}})
    with pytest.raises(ConfigurationError, match=r"'fluent': Prompt 'summary' is for the task"), open_services(wrong):
        pass


def test_a_share_of_wrong_answers_is_no_promise_of_a_language_model(tmp_home: Path, server: ModelServer) -> None:
    """It does not tell how sure it is: for the whole that is an error, a profile beside it goes without."""
    told = {"generator_url": server.url, "generator_model": MODEL, "embedding_backend": "hashing", "home": tmp_home}
    settings = load_settings(**told, generator="openai", wrong_answers_at_most=0.05)
    with pytest.raises(ConfigurationError, match="'footnote': wrong_answers_at_most needs"), open_services(settings):
        pass
    with open_profiles(
        load_settings(**told, wrong_answers_at_most=0.05, profiles={"fluent": {"generator": "openai"}})
    ) as opened:
        assert [profile.name for profile in opened.values() if profile.generator] == ["fluent"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("footnote", {}, r"'footnote' is no name for a profile"),
        ("two words", {}, r"'two words' is no name"),
        ("", {}, r"'' is no name"),
        ("fluent", {"port": 80, "generator_api_key": "sk-secret"}, r"'fluent' cannot set port"),
        ("fluent", {"profiles": {}}, r"'fluent' cannot set profiles"),
        ("fluent", {"generator_uri": "x"}, r"'fluent' cannot set generator_uri"),
    ],
)
def test_a_profile_changes_only_what_is_of_the_answer(name: str, changes: dict[str, Any], message: str) -> None:
    """An unknown name or setting is noticed when the settings are read; no key is in the message."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        load_settings(profiles={name: changes})
    assert "sk-secret" not in raised.value.message


def test_profiles_are_sections_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has the flat settings, but for what it changes; nothing shows a key."""
    monkeypatch.chdir(tmp_path)
    Path("footnote.toml").write_text(
        'generator_model = "small"\nmin_evidence = 0.4\n'
        '[profiles.fluent]\ngenerator = "openai"\ngenerator_url = ["http://a/v1/", "http://b/v1"]\n'
        'generator_api_key = "sk-secret"\n'
    )
    settings = load_settings()
    fluent = settings.of_profile("fluent")
    assert (fluent.generator, fluent.generator_url) == ("openai", ("http://a/v1", "http://b/v1"))
    assert (fluent.generator_model, fluent.min_evidence, settings.generator) == ("small", 0.4, "extractive")
    assert "sk-secret" not in repr(settings) + repr(fluent)
