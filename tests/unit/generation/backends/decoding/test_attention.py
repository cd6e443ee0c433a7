"""Each sequence of a batch attends to itself alone, as a masked product over all would."""

from typing import Any

import pytest
import torch

from generation.backends.decoding.attention import attend_to_own_sequence, seen

HEADS, GROUPS, DIM = 4, 2, 8


class Pages:
    """Stands in for the library's cache: gives back the keys and values of all sequences, old and new."""

    def __init__(self, key: Any, value: Any) -> None:
        self._all = key, value

    def update(self, key_states: Any, value_states: Any, layer_idx: int, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return self._all


def masked(query: Any, key: Any, value: Any, window: int | None) -> Any:
    """Return the attention of one sequence by its definition: (1, queries, heads, dim)."""
    key, value = (states.repeat_interleave(HEADS // GROUPS, dim=1) for states in (key, value))
    weights = query @ key.transpose(-1, -2) / DIM**0.5
    count, total = query.shape[2], key.shape[2]
    for row in range(count):
        position = total - count + row
        for column in range(total):
            if column > position or (window is not None and column <= position - window):
                weights[..., row, column] = -torch.inf
    return (weights.softmax(-1) @ value).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 3])
def test_it_is_the_attention_of_each_sequence(window: int | None) -> None:
    """A whole prompt, a piece behind an older one, and single tokens, beside one another."""
    torch.manual_seed(5)
    # (new tokens, tokens with the old ones)
    lengths = [(6, 6), (1, 9), (4, 7), (1, 1)]
    if window:
        # The pages hold no more of the older tokens than the window shows.
        lengths = [(new, min(total, window - 1 + new)) for new, total in lengths]
    queries = [torch.randn(1, HEADS, new, DIM) for new, _ in lengths]
    keys = [torch.randn(1, GROUPS, total, DIM) for _, total in lengths]
    values = [torch.randn(1, GROUPS, total, DIM) for _, total in lengths]
    expected = [masked(*states, window) for states in zip(queries, keys, values, strict=True)]
    module: Any = torch.nn.Module()
    module.layer_idx = 0

    def begins(position: int) -> Any:
        return torch.tensor([0, *(length[position] for length in lengths)]).cumsum(0).to(torch.int32)

    attended, weights = attend_to_own_sequence(
        module,
        torch.cat(queries, dim=2),
        keys[0],
        values[0],
        None,
        cache=Pages(torch.cat(keys, dim=2), torch.cat(values, dim=2)),
        cu_seq_lens_q=begins(0),
        cu_seq_lens_k=begins(1),
        sliding_window=window,
        scaling=DIM**-0.5,
    )
    assert weights is None
    torch.testing.assert_close(attended, torch.cat(expected, dim=1))


def test_the_last_queries_see_the_keys_before_them() -> None:
    """The last token sees all keys, or the last ones of a window."""
    assert seen(2, 4, None).tolist() == [[True, True, True, False], [True, True, True, True]]
    assert seen(2, 4, 2).tolist() == [[False, True, True, False], [False, False, True, True]]
