"""compose.yaml: what can be checked without Docker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import Settings

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "compose.yaml").is_file(), reason="outside the checkout")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Return the file as Docker Compose reads it, anchors resolved."""
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def _services(compose: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from compose["services"].items()


def test_every_setting_it_gives_exists(compose: dict[str, Any]) -> None:
    """A FOOTNOTE_ variable that no setting reads would end the container at its start."""
    given = {name for _, service in _services(compose) for name in service.get("environment", {})}
    known = {f"FOOTNOTE_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in given if name.startswith("FOOTNOTE_")} - known == set()


def test_every_service_it_waits_for_exists(compose: dict[str, Any]) -> None:
    """depends_on names services of the same file."""
    wanted = {name for _, service in _services(compose) for name in service.get("depends_on", {})}
    assert wanted - compose["services"].keys() == set()


def test_a_service_that_is_waited_for_until_healthy_has_a_health_check(compose: dict[str, Any]) -> None:
    """Without a check the wait would never end."""
    waited_for = {
        name
        for _, service in _services(compose)
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert [name for name in sorted(waited_for) if "test" not in compose["services"][name]["healthcheck"]] == []


def test_every_image_has_a_pinned_tag(compose: dict[str, Any]) -> None:
    """The same file starts the same programs next year."""
    tags = {name: service["image"].partition(":")[2] for name, service in _services(compose)}
    assert {name: tag for name, tag in tags.items() if tag in {"", "latest"}} == {}


def test_every_named_volume_is_declared(compose: dict[str, Any]) -> None:
    """A volume that starts with a slash is anonymous, every other one is listed under `volumes`."""
    mounts = [mount for _, service in _services(compose) for mount in service.get("volumes", [])]
    named = {mount.partition(":")[0] for mount in mounts if not mount.startswith("/")}
    assert named == compose["volumes"].keys()


def test_every_file_it_builds_from_exists(compose: dict[str, Any]) -> None:
    """Context and Dockerfile of every build are in the repository."""
    builds = [service["build"] for _, service in _services(compose) if "build" in service]
    assert [b for b in builds if not (ROOT / b["context"] / b["dockerfile"]).is_file()] == []


def test_the_api_serves_without_workers_of_its_own(compose: dict[str, Any]) -> None:
    """Files are the worker service's work."""
    command = compose["services"]["api"]["command"]
    assert command[command.index("--workers") + 1] == "0"


def test_no_secret_stands_in_the_file(compose: dict[str, Any]) -> None:
    """Passwords come from the environment, and a missing one is an error."""
    secrets = [
        value
        for _, service in _services(compose)
        for name, value in service.get("environment", {}).items()
        if name.endswith(("PASSWORD", "SECRET"))
    ]
    assert [value for value in secrets if not (value.startswith("${") and ":?" in value)] == []


def _options(command: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in command)}


def test_the_language_model_is_what_the_settings_say(compose: dict[str, Any]) -> None:
    """Footnote asks vLLM at its address for the model that it serves, and for no more tokens than it reads."""
    given = compose["services"]["api"]["environment"]
    options = _options(compose["services"]["vllm"]["command"])
    assert given["FOOTNOTE_GENERATOR_URL"] == "http://vllm:8000/v1"
    assert given["FOOTNOTE_GENERATOR_MODEL"] == options["--model"]
    assert given["FOOTNOTE_GENERATOR_CONTEXT_TOKENS"] == options["--max-model-len"]
    assert "--enable-prompt-tokens-details" in options


def test_without_a_gpu_answers_are_quotes(compose: dict[str, Any]) -> None:
    """vLLM starts with its profile alone, nothing waits for it, and the default generator needs no model."""
    assert compose["services"]["vllm"]["profiles"] == ["gpu"]
    assert [name for name, service in _services(compose) if "vllm" in service.get("depends_on", {})] == []
    assert compose["services"]["api"]["environment"]["FOOTNOTE_GENERATOR"] == "${GENERATOR:-extractive}"


def test_the_language_model_is_reached_by_footnote_alone(compose: dict[str, Any]) -> None:
    """It has no key, so no port of the host leads to it."""
    assert "ports" not in compose["services"]["vllm"]
