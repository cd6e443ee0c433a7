"""Profiles: what the `model` of a request chooses. The settings make one, and each section [profiles.NAME] another."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from api import metrics
from api.settings import ANSWER_MODEL, Settings
from catalog.errors import ConfigurationError
from generation.answerer import AnswerRequest
from generation.backends.base import Generator, Sampling
from generation.backends.chat_request import DEFAULT_CONTEXT_TOKENS, ChatServers
from generation.backends.opener import open_generator
from generation.backends.transformers_options import TransformersOptions
from generation.prices import Price
from retrieval.indexes.base import Scope
from retrieval.searcher import Ranking

# Profiles that are equal in these share one generator.
_GENERATOR_SETTINGS: Final = tuple(
    name for name in Settings.model_fields if name.startswith("generator") and not name.startswith("generator_price")
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One way to answer."""

    name: str
    # Those of the whole, with what the profile changes.
    settings: Settings
    # A language model, which is opened once; None is `extractive`, which works with the embedder that is current.
    generator: Generator | None

    @property
    def ranking(self) -> Ranking:
        """How passages are ranked, where a request does not say."""
        return Ranking(dense_weight=self.settings.dense_weight, score_threshold=self.settings.score_threshold)

    def request(self, *, question: str, scope: Scope, **given: Any) -> AnswerRequest:
        """Return what is asked of the answerer; `given` are fields of it, None where the profile decides."""
        told: dict[str, Any] = {
            "max_results": self.settings.max_results,
            "steps": self.settings.search_steps,
            "ranking": self.ranking,
        }
        told |= {name: value for name, value in given.items() if value is not None}
        sampling = told.pop("sampling", Sampling())
        if sampling.temperature is None:
            sampling = replace(sampling, temperature=self.settings.temperature)
        return AnswerRequest(question=question, scope=scope, sampling=sampling, **told)


@contextmanager
def open_profiles(settings: Settings) -> Iterator[Mapping[str, Profile]]:
    """Open each language model once, and yield the profiles by name, the default one first.

    Raises ConfigurationError, which names the profile.
    """
    with ExitStack() as stack:
        opened: dict[tuple[Any, ...], Generator] = {}
        profiles: dict[str, Profile] = {}
        for name in (ANSWER_MODEL, *settings.profiles):
            own = settings.of_profile(name) if name in settings.profiles else settings
            if own.generator != "extractive" and _is_promised(settings, name):
                raise ConfigurationError(
                    f"Profile {name!r}: wrong_answers_at_most needs the generator extractive, and it is "
                    f"{own.generator!r}: a language model does not tell how sure it is."
                )
            key = tuple(getattr(own, field) for field in _GENERATOR_SETTINGS)
            if own.generator != "extractive" and key not in opened:
                with naming(name):
                    opened[key] = _open(own)
                stack.callback(opened[key].close)
            profiles[name] = Profile(name=name, settings=own, generator=opened.get(key))
        yield profiles


def _is_promised(settings: Settings, name: str) -> bool:
    """Whether a share of wrong answers is asked of this very profile; what the others say is for those that quote."""
    if name in settings.profiles:
        return "wrong_answers_at_most" in settings.profiles[name]
    return settings.wrong_answers_at_most is not None


@contextmanager
def naming(profile: str) -> Iterator[None]:
    """Let a ConfigurationError say which profile cannot work."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"Profile {profile!r}: {error.message}") from error


def _open(settings: Settings) -> Generator:
    return open_generator(
        settings.generator,
        servers=_servers(settings),
        observe=metrics.note_upstream,
        transformers=transformers_options(settings),
    )


def _servers(settings: Settings) -> ChatServers | None:
    if not settings.generator_url or not settings.generator_model:
        return None
    key = settings.generator_api_key
    return ChatServers(
        urls=settings.generator_url,
        model=settings.generator_model,
        api_key=key.get_secret_value() if key else None,
        tokenizer=settings.generator_tokenizer,
        context_tokens=settings.generator_context_tokens or DEFAULT_CONTEXT_TOKENS,
        connect_timeout_s=settings.generator_connect_timeout_s,
        first_token_timeout_s=settings.generator_first_token_timeout_s,
        token_timeout_s=settings.generator_token_timeout_s,
        deadline_s=settings.generator_deadline_s,
        retries=settings.generator_retries,
    )


def transformers_options(settings: Settings) -> TransformersOptions | None:
    """Return what a language model in this process is opened with; None without a model."""
    if settings.generator_model is None:
        return None
    return TransformersOptions(
        model=settings.generator_model,
        device=settings.generator_device,
        dtype=settings.generator_dtype,
        quantization=settings.generator_quantization,
        threads=settings.generator_threads,
        max_batch=settings.generator_max_batch,
        cache_tokens=settings.generator_cache_tokens,
        context_tokens=settings.generator_context_tokens,
    )


def price_of(settings: Settings) -> Price | None:
    """Return what the tokens of a generator cost, where the settings say it."""
    read, written = settings.generator_price_input, settings.generator_price_output
    if read is None and written is None:
        return None
    return Price(input=read or 0.0, output=written or 0.0, cached=settings.generator_price_cached)
