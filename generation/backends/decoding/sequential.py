"""One answer after the other: for models and devices that continuous batching does not know."""

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from catalog.errors import ServiceUnavailable
from generation.backends.decoding.base import POLL_S, Draw, Step

_CLOSE_S: Final = 30.0


class SequentialDecoder:
    """The library's `generate`; whoever comes meanwhile waits for the answer under way."""

    def __init__(self, model: Any, *, stops: Sequence[int], context_tokens: int, reason: str) -> None:
        """`reason`: why answers are not batched, for people."""
        self._model = model
        self._stops = list(stops)
        self._turn = threading.Lock()
        self._is_closed = threading.Event()
        self.max_tokens = context_tokens
        self.description = f"one answer at a time, because {reason}"

    def decode(
        self, prompt: Sequence[int], draw: Draw, *, cancelled: Callable[[], bool]
    ) -> Generator[Step, None, None]:
        while not self._turn.acquire(timeout=POLL_S):
            if cancelled():
                return
        if self._is_closed.is_set():
            self._turn.release()
            raise ServiceUnavailable("The model is closed.")
        stop = threading.Event()
        mail: queue.SimpleQueue[list[int] | Exception | None] = queue.SimpleQueue()
        writer = threading.Thread(target=self._write, args=(prompt, draw, mail, stop), name="generation", daemon=True)
        writer.start()
        try:
            while not cancelled():
                try:
                    came = mail.get(timeout=POLL_S)
                except queue.Empty:
                    continue
                if came is None:
                    return
                if isinstance(came, Exception):
                    raise ServiceUnavailable(f"The model failed: {came}") from came
                yield Step(tokens=came)
        finally:
            stop.set()
            # Within one step of the model.
            writer.join()
            self._turn.release()

    def close(self) -> None:
        self._is_closed.set()
        if self._turn.acquire(timeout=_CLOSE_S):
            self._turn.release()

    def _write(self, prompt: Sequence[int], draw: Draw, mail: queue.SimpleQueue[Any], stop: threading.Event) -> None:
        drawn = {"temperature": draw.temperature, "top_p": draw.top_p, "top_k": 0} if draw.temperature else {}
        config = GenerationConfig(
            do_sample=bool(draw.temperature),
            max_new_tokens=draw.max_tokens,
            eos_token_id=self._stops,
            pad_token_id=self._stops[0],
            **drawn,
        )
        tokens = torch.tensor([list(prompt)], device=self._model.device)
        try:
            with torch.inference_mode():
                self._model.generate(
                    tokens,
                    attention_mask=torch.ones_like(tokens),
                    generation_config=config,
                    streamer=_Mailed(mail),
                    stopping_criteria=StoppingCriteriaList(
                        [_Unwanted(lambda: stop.is_set() or self._is_closed.is_set())]
                    ),
                )
        # Whatever goes wrong in the model is for the thread that reads.
        except Exception as error:  # noqa: BLE001
            mail.put(error)
        mail.put(None)


class _Mailed(BaseStreamer):
    """Puts tokens into a queue as they come; the first that it gets is the prompt."""

    def __init__(self, mail: queue.SimpleQueue[Any]) -> None:
        self._mail = mail
        self._is_prompt = True

    def put(self, value: torch.Tensor) -> None:
        if not self._is_prompt:
            self._mail.put(value.reshape(-1).tolist())
        self._is_prompt = False

    def end(self) -> None:
        """The thread says so itself, after an error too."""


class _Unwanted(StoppingCriteria):
    """Ends the generation when nobody wants it any more."""

    def __init__(self, is_unwanted: Callable[[], bool]) -> None:
        self._is_unwanted = is_unwanted

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> torch.BoolTensor:
        return torch.full((input_ids.shape[0],), self._is_unwanted(), dtype=torch.bool, device=input_ids.device)  # type: ignore[return-value]
