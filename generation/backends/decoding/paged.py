"""Many answers at once on one model: the library's continuous batching, with the keys and values of all in pages."""

import logging
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from itertools import count
from typing import Any, Final

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig
from transformers.generation.continuous_batching.model_runner import infer_max_single_request_tokens
from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

from catalog.errors import ServiceUnavailable
from generation.backends.decoding.attention import SEQUENCES
from generation.backends.decoding.base import POLL_S, Draw, Step
from generation.backends.decoding.drawing import arguments, processors

log = logging.getLogger(__name__)
# The library's, which has a handler of its own and tells of each start and end.
logging.getLogger("ContinuousBatchingLogger").setLevel(logging.WARNING)

# Tokens of a page. A prompt shares whole pages with earlier ones that begin alike, so a small page shares more; the
# paged kernels of FlashAttention 2 want multiples of 256.
_PAGE: Final = 32
_FLASH_PAGE: Final = 256
# Tokens that one step computes at most. A long prompt is read in so many pieces, between which the others go on:
# a piece takes a processor about a second with a model of 135M parameters.
_CPU_STEP: Final = 512
_GPU_STEP: Final = 8192
# Without a setting the pages of a processor hold so many tokens, or two whole contexts.
_CPU_PAGES_TOKENS: Final = 32_768
# Share of a GPU's free memory for pages; an embedder or a reranker may be on the same one.
_GPU_SHARE: Final = 0.8
_CLOSE_S: Final = 30.0


class PagedDecoder:
    """Answers that begin and end on their own share every step of the model."""

    def __init__(
        self,
        model: Any,
        *,
        stops: Sequence[int],
        context_tokens: int,
        max_batch: int,
        cache_tokens: int | None,
    ) -> None:
        """`stops`: token ids; `cache_tokens`: for all answers together, None takes what suits the device.

        Raises what the library raises for a model that it cannot batch, and for too little memory.
        """
        self._model = model
        self._generation = GenerationConfig(do_sample=False, eos_token_id=list(stops), max_new_tokens=1)
        self._has_flash = choose_attention(model)
        self._config = batching_config(
            model, has_flash=self._has_flash, context=context_tokens, max_batch=max_batch, cache_tokens=cache_tokens
        )
        self._names = count(1)
        self._waiting: dict[str, queue.SimpleQueue[Any]] = {}
        self._cached: dict[str, int] = {}
        self._lock = threading.Lock()
        self._is_closed = threading.Event()
        self._manager = self._started()
        self.max_tokens = min(context_tokens, infer_max_single_request_tokens(self._manager.batch_processor.cache))
        self.description = (
            f"continuous batching of up to {max_batch} answers, paged attention ({model.config._attn_implementation})"
        )
        self._router = threading.Thread(target=self._route, name="generation-router", daemon=True)
        self._router.start()

    def decode(
        self, prompt: Sequence[int], draw: Draw, *, cancelled: Callable[[], bool]
    ) -> Generator[Step, None, None]:
        manager = self._living()
        name = f"answer-{next(self._names)}"
        mail = self._waiting[name] = queue.SimpleQueue()
        seen, is_finished = 0, False
        try:
            added = manager.add_request(
                list(prompt), request_id=name, max_new_tokens=draw.max_tokens, streaming=True, **arguments(draw)
            )
            if added is None:
                raise ServiceUnavailable("The model has stopped; it is started again with the next question.")
            while not is_finished and not cancelled():
                try:
                    output = mail.get(timeout=POLL_S)
                except queue.Empty:
                    if not manager.is_running() and mail.empty():
                        raise ServiceUnavailable("The model stopped in the middle of an answer.") from None
                    continue
                if output.error is not None:
                    raise ServiceUnavailable(f"The model failed: {output.error}")
                is_finished = output.is_finished()
                yield Step(tokens=output.generated_tokens[seen:], cached_tokens=self._cached.get(name, 0))
                seen = len(output.generated_tokens)
        finally:
            del self._waiting[name]
            self._cached.pop(name, None)
            if not is_finished:
                manager.cancel_request(name)

    def close(self) -> None:
        self._is_closed.set()
        self._manager.stop(block=True, timeout=_CLOSE_S, hard_stop=True)
        self._router.join(_CLOSE_S)

    def _living(self) -> Any:
        """Return the manager, started anew when the one before has died of an error."""
        with self._lock:
            is_well = self._manager.background_thread_status.can_accept_new_requests() is None
            if not is_well and not self._is_closed.is_set():
                log.error("The generation loop has died; it is started again.")
                self._manager.stop(block=True)
                try:
                    self._manager = self._started()
                # Whatever the model or its device says.
                except Exception as error:
                    raise ServiceUnavailable(f"The model cannot be started again: {error}") from error
            return self._manager

    def _started(self) -> Any:
        manager = self._model.init_continuous_batching(
            generation_config=self._generation, continuous_batching_config=self._config
        )
        manager.logit_processor = processors()
        # Makes the pages, and on a GPU records its work, here and not with the first question.
        manager.warmup()
        self._note_prefixes(manager.batch_processor.cache)
        manager.start()
        return manager

    def _note_prefixes(self, cache: Any) -> None:
        """Remember how much of a prompt was in the pages already; the library tells nobody."""
        search = cache.search_prefix_match

        def noted(request_id: str, prompt_ids: list[int]) -> int:
            found = int(search(request_id, prompt_ids))
            # Asked again when there was no room, or when the answer had to make room and is read anew.
            if request_id in self._waiting and not self._cached.get(request_id):
                self._cached[request_id] = found
            return found

        cache.search_prefix_match = noted

    def _route(self) -> None:
        """Hand each output to who waits for it."""
        while not self._is_closed.is_set():
            output = self._manager.get_result(timeout=POLL_S)
            if output is None:
                # A dead manager answers at once.
                self._is_closed.wait(0 if self._manager.is_running() else POLL_S)
            elif mail := self._waiting.get(output.request_id):
                mail.put(output)


def choose_attention(model: Any) -> bool:
    """Give the model the attention that batches best here; return whether that is the flash-attn package's."""
    on_gpu = model.device.type == "cuda"
    if on_gpu and model._supports_flash_attn and (is_flash_attn_2_available() or is_flash_attn_3_available()):
        return True
    text = model.config.get_text_config()
    fits = model._supports_attention_backend and model._supports_sdpa and not getattr(text, "attn_logit_softcapping", 0)
    # The kernel that PyTorch has for sequences of different lengths on a GPU knows no float32.
    if fits and (not on_gpu or model.dtype in {torch.bfloat16, torch.float16}):
        model.config._attn_implementation = SEQUENCES
    return False


def batching_config(
    model: Any, *, has_flash: bool, context: int, max_batch: int, cache_tokens: int | None
) -> ContinuousBatchingConfig:
    on_gpu = model.device.type == "cuda"
    page = _FLASH_PAGE if has_flash else _PAGE
    if cache_tokens is None and not on_gpu:
        cache_tokens = max(2 * context, min(max_batch * context, _CPU_PAGES_TOKENS))
    return ContinuousBatchingConfig(
        page_size=page,
        num_blocks=-(-cache_tokens // page) if cache_tokens else None,
        max_batch_tokens=max(_GPU_STEP if on_gpu else _CPU_STEP, max_batch),
        max_requests_per_batch=max_batch,
        max_memory_percent=_GPU_SHARE,
        # Recorded work is tried with the package's kernels alone.
        use_cuda_graph=None if has_flash else False,
        auto_switch_to_flash=has_flash,
    )
