"""Settings: environment variables `FOOTNOTE_*` and `footnote.toml`, validated at start."""

import os
import tomllib
from typing import Any, Final, Self

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from api.settings.generation import AnswerSettings, GeneratorSettings
from api.settings.ingestion import IngestionSettings
from api.settings.retrieval import EmbeddingSettings, SearchSettings
from api.settings.service import LimitSettings, ServiceSettings
from catalog.errors import ConfigurationError

CONFIG_FILE: Final = "footnote.toml"
_PREFIX: Final = "FOOTNOTE_"
# Read by the tests, not by the service.
_FOREIGN_PREFIX: Final = "FOOTNOTE_TEST_"


# The last base's fields come first.
class Settings(
    LimitSettings,
    IngestionSettings,
    AnswerSettings,
    GeneratorSettings,
    SearchSettings,
    EmbeddingSettings,
    ServiceSettings,
    BaseSettings,
):
    """Each field is a line in docs/settings.md. The environment wins over the file."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, toml_file=CONFIG_FILE, extra="forbid", frozen=True)

    def of_profile(self, name: str) -> Self:
        """Return what holds for a profile: these settings, with those that it changes. Raises ConfigurationError."""
        here = {key: getattr(self, key) for key in type(self).model_fields} | {"profiles": {}}
        try:
            return type(self)(**here | self.profiles[name])
        except ValidationError as error:
            raise _wrong(error, f"profiles.{name}.") from error

    @property
    def answer_prompt(self) -> str:
        """The name of the prompt that answers are written by."""
        return "search" if self.search_by == "model" else self.prompt

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(**overrides: Any) -> Settings:
    """Read file and environment; `overrides` win over both. Raises ConfigurationError with key, value and rule."""
    unknown = [
        name
        for name in os.environ
        if name.startswith(_PREFIX)
        and not name.startswith(_FOREIGN_PREFIX)
        and name.removeprefix(_PREFIX).lower() not in Settings.model_fields
    ]
    if unknown:
        raise ConfigurationError(f"Unknown setting {', '.join(sorted(unknown))}; docs/settings.md lists all.")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise _wrong(error) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{CONFIG_FILE} is not valid TOML: {error}.") from error


def _wrong(error: ValidationError, section: str = "") -> ConfigurationError:
    first = error.errors()[0]
    name = section + ".".join(str(part) for part in first["loc"])
    # What holds keys, or sections with keys in them, is not shown.
    value = "" if name.endswith(("_key", "_token")) or name == "profiles" else f" is {first.get('input')!r}"
    return ConfigurationError(f"Setting {name!r}{value}: {first['msg']}.")
