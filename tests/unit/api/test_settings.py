"""Settings: file, environment, overrides, and what is wrong with them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from api.settings import Settings, load_settings
from api.settings.service import is_loopback
from catalog.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read no footnote.toml but the test's own."""
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_safe_for_one_persons_machine(tmp_path: Path) -> None:
    """Loopback alone, state in the working folder, SQLite and a folder of blobs inside it."""
    settings = load_settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.worker_niceness == 10
    assert settings.home == tmp_path / ".footnote"
    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/.footnote/catalog.sqlite"
    assert settings.resolved_blob_url == f"file://{tmp_path}/.footnote/blobs"


def test_the_environment_wins_over_the_file_and_overrides_win_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting from each source, and all three for one of them."""
    Path("footnote.toml").write_text('port = 1001\nlog_level = "debug"\nlease_s = 5\n')
    monkeypatch.setenv("FOOTNOTE_PORT", "1002")
    monkeypatch.setenv("FOOTNOTE_WORKERS", "3")
    settings = load_settings(workers=4)
    assert (settings.log_level, settings.lease_s, settings.port, settings.workers) == ("debug", 5.0, 1002, 4)


def test_explicit_urls_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Database and blobs can live outside of the state folder."""
    monkeypatch.setenv("FOOTNOTE_DATABASE_URL", "postgresql+psycopg://db/footnote")
    monkeypatch.setenv("FOOTNOTE_BLOB_URL", "s3://bucket/prefix")
    settings = load_settings()
    assert settings.resolved_database_url == "postgresql+psycopg://db/footnote"
    assert settings.resolved_blob_url == "s3://bucket/prefix"


def test_a_relative_state_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Child processes with another working folder use the same state."""
    monkeypatch.setenv("FOOTNOTE_HOME", "state/here")
    assert load_settings().home == tmp_path / "state" / "here"


@pytest.mark.parametrize("name", ["FOOTNOTE_PROT", "FOOTNOTE_HOME_", "FOOTNOTE_", "FOOTNOTE_EMBEDDING_BACK_END"])
def test_an_unknown_variable_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A misspelt wish is noticed at start."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


@pytest.mark.parametrize("is_file", [True, False])
def test_a_list_is_written_with_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch, is_file: bool) -> None:
    """And as a list in the file."""
    if is_file:
        Path("footnote.toml").write_text('http_allowed_hosts = ["a.example", "b.example:8443=10.0.0.0/8"]\n')
    else:
        monkeypatch.setenv("FOOTNOTE_HTTP_ALLOWED_HOSTS", "a.example, b.example:8443=10.0.0.0/8,")
    assert load_settings().http_allowed_hosts == ("a.example", "b.example:8443=10.0.0.0/8")


def test_no_host_is_allowed_by_default() -> None:
    """Nothing is fetched that an operator has not named."""
    assert load_settings().http_allowed_hosts == ()


def test_what_is_no_host_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names setting, value and forms."""
    monkeypatch.setenv("FOOTNOTE_HTTP_ALLOWED_HOSTS", "a.example,https://b.example")
    with pytest.raises(ConfigurationError, match=r"http_allowed_hosts.*'https://b\.example'.*HOST:PORT"):
        load_settings()


def test_variables_of_the_tests_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """FOOTNOTE_TEST_… is read by tests alone and disturbs no start."""
    monkeypatch.setenv("FOOTNOTE_TEST_POSTGRESQL", "x")
    load_settings()


def test_an_unknown_key_of_the_file_is_refused_by_name() -> None:
    """The file is as strict as the environment."""
    Path("footnote.toml").write_text("prot = 80\n")
    with pytest.raises(ConfigurationError, match="prot"):
        load_settings()


def test_a_file_that_is_no_toml_is_refused() -> None:
    """The message names the file."""
    Path("footnote.toml").write_text("port == 80\n")
    with pytest.raises(ConfigurationError, match=r"footnote\.toml is not valid TOML"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "eighty"),
        ("port", "65536"),
        ("port", "-1"),
        ("workers", "65"),
        ("log_level", "loud"),
        ("embedding_backend", "magic"),
        ("index", "qdrant2"),
        ("dense_weight", "1.1"),
        ("dense_weight", "nan"),
        ("dense_weight", "sometimes"),
        ("min_evidence", "-0.1"),
        ("lease_s", "0"),
        ("max_file_bytes", "0"),
        ("max_question_chars", "many"),
    ],
)
def test_a_wrong_value_is_refused_with_name_and_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The message holds what is needed to correct it."""
    monkeypatch.setenv(f"FOOTNOTE_{name.upper()}", value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert repr(name) in caught.value.message
    assert repr(value) in caught.value.message


@pytest.mark.parametrize(("given", "weight"), [(None, "auto"), ("auto", "auto"), ("0.3", 0.3), ("1", 1.0)])
def test_the_share_of_meaning_is_a_number_or_decided_per_question(
    monkeypatch: pytest.MonkeyPatch, given: str | None, weight: float | str
) -> None:
    """Without the setting, each question decides."""
    if given is not None:
        monkeypatch.setenv("FOOTNOTE_DENSE_WEIGHT", given)
    assert load_settings().dense_weight == weight


def test_settings_cannot_be_changed_afterwards() -> None:
    """What was validated at start is what holds."""
    with pytest.raises(ValidationError):
        load_settings().port = 1  # type: ignore[misc]


def test_every_setting_says_what_it_is_for() -> None:
    """The docs are made from these descriptions."""
    without = [name for name, field in Settings.model_fields.items() if not field.description]
    assert without == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.5", False),
        ("example.org", False),
        ("127.example.org", False),
    ],
)
def test_loopback_is_told_from_other_addresses(host: Any, expected: bool) -> None:
    """A name that only begins like a loopback address is none."""
    assert is_loopback(host) is expected
