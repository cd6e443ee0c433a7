"""Which embedding model a process opens."""

from pathlib import Path

import pytest

from api.models import Model, all_models, current_model, known_model, spec_of
from api.settings import Settings, load_settings
from catalog import embeddings
from catalog.database import Database
from catalog.embeddings import ModelSpec
from catalog.errors import ConfigurationError
from catalog.models import EmbeddingModel
from tests.builders import EMBEDDER, IDENTITY


@pytest.fixture
def settings(tmp_home: Path) -> Settings:
    return load_settings(home=tmp_home, embedding_backend="hashing", embedding_api_key="secret")


def a_row(settings: Settings, **overrides: object) -> EmbeddingModel:
    spec = spec_of(settings, EMBEDDER)
    return EmbeddingModel(number=2, identity=spec.identity, settings={**spec.settings, **overrides}, role="current")


def test_a_catalog_that_was_never_changed_has_the_model_of_the_settings(settings: Settings, database: Database) -> None:
    """Its index lies where it always did."""
    assert current_model(settings, database) == Model(settings=settings)
    (model,) = all_models(settings, database)
    assert (model.known_identity(), model.lexical) == (IDENTITY, settings.home / "lexical")


def test_the_catalog_has_the_last_word(settings: Settings, database: Database) -> None:
    """The first model that it knows keeps its index; every later one has another."""
    used = spec_of(settings, EMBEDDER)
    target = ModelSpec(identity="hashing@256/96", settings={**used.settings, "embedding_dimensions": 96})
    embeddings.begin(database, used, target)
    assert embeddings.switch(database, target.identity)
    new, old = all_models(settings, database)
    assert new == current_model(settings, database)
    assert (new.settings.embedding_dimensions, new.known_identity()) == (96, "hashing@256/96")
    assert [model.lexical.name for model in (new, old)] == ["lexical-2", "lexical"]
    assert [model.vectors.name for model in (new, old)] == ["vectors-2", "vectors"]
    embedder = new.open()
    assert embedder.identity.dimension == 96


def test_what_names_a_model_is_kept_and_no_secret(settings: Settings) -> None:
    """A tokenizer comes back as a path; keys and what a machine chooses for itself stay out of the catalog."""
    given = settings.model_copy(update={"embedding_tokenizer": Path("/models/tokenizer.json")})
    spec = spec_of(given, EMBEDDER)
    assert "secret" not in str(spec)
    assert "embedding_threads" not in spec.settings
    assert known_model(settings, a_row(given)).settings == given


@pytest.mark.parametrize(
    ("kept", "own", "taken"),
    [
        ("openvino", "torch", "torch"),
        ("torch", "openvino", "openvino"),
        ("openai", "torch", "openai"),
        ("torch", "hashing", "torch"),
    ],
)
def test_a_machine_takes_its_own_kind_of_processor(settings: Settings, kept: str, own: str, taken: str) -> None:
    """OpenVINO and torch give the same vectors; other back ends do not."""
    here = settings.model_copy(update={"embedding_backend": own})
    assert known_model(here, a_row(settings, embedding_backend=kept)).settings.embedding_backend == taken


def test_another_model_under_the_same_name_is_refused(settings: Settings) -> None:
    """The message names both, and what to do."""
    model = Model(settings=settings, identity="hashing@older/64")
    with pytest.raises(ConfigurationError, match=f"hashing@older/64.*{IDENTITY}.*footnote reindex"):
        model.open()
