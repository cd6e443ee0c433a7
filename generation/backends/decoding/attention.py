"""Attention over the packed sequences of a batch, each with its own keys, without a mask."""

from itertools import pairwise
from typing import Any, Final, cast

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

# The library asks no mask of an attention whose name holds "flash", and tells it where each sequence begins instead.
# Its own way without the flash-attn package is one dense product, masked, of all queries with all keys of the batch:
# 64 times the work at 64 answers.
SEQUENCES: Final = "footnote_flash_sequences"


def attend_to_own_sequence(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cache: Any,
    cu_seq_lens_q: torch.Tensor,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention of each token over the tokens of its own sequence up to itself.

    query: (1, heads, tokens, dim), all sequences one behind the other; key and value: the new ones, with as many heads
    or a divisor of that; those before are in the paged `cache`. cu_seq_lens_q: (sequences + 1,), where the queries of
    each sequence begin; the same of the keys in `kwargs`. Result: (1, tokens, heads, dim).
    """
    key, value = cache.update(key_states=key, value_states=value, layer_idx=module.layer_idx, kwargs=kwargs)
    begins_k = kwargs["cu_seq_lens_k"]
    if query.is_cuda:
        attended = varlen_attn(
            query.squeeze(0).transpose(0, 1),
            key.squeeze(0).transpose(0, 1),
            value.squeeze(0).transpose(0, 1),
            cu_seq_lens_q,
            begins_k,
            kwargs["max_length_q"],
            kwargs["max_length_k"],
            scale=scaling,
            window_size=(sliding_window - 1 if sliding_window else -1, 0),
            enable_gqa=True,
        )
        # Never a pair: that is for callers who want the sums of the softmax too.
        return cast(torch.Tensor, attended).unsqueeze(0), None
    attended = query.new_empty(1, query.shape[2], query.shape[1], value.shape[3])
    spans = zip(pairwise(cu_seq_lens_q.tolist()), pairwise(begins_k.tolist()), strict=True)
    for (first, last), (first_k, last_k) in spans:
        attended[:, first:last] = attend(
            query[:, :, first:last], key[:, :, first_k:last_k], value[:, :, first_k:last_k], scaling, sliding_window
        )
    return attended, None


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
) -> torch.Tensor:
    """Return the causal attention of one sequence whose last token is the last query and the last key.

    query: (1, heads, n, dim); key, value: (1, key heads, m, dim), m >= n; `window`: keys that a token sees at most,
    itself included. Result: (1, n, heads, dim).
    """
    heads, count = query.shape[1:3]
    groups = key.shape[1]
    if count == 1:
        # The heads that share keys become queries of one head: nothing is repeated.
        packed = query.reshape(1, groups, heads // groups, -1)
        return scaled_dot_product_attention(packed, key, value, scale=scaling).reshape(1, 1, heads, -1)
    is_whole = count == key.shape[2] and (window is None or count <= window)
    attended = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if is_whole else seen(count, key.shape[2], window),
        is_causal=is_whole,
        scale=scaling,
        enable_gqa=heads != groups,
    )
    return attended.transpose(1, 2)


def seen(count: int, total: int, window: int | None) -> torch.Tensor:
    """Return which of `total` keys each of the last `count` tokens sees: bool, (count, total)."""
    ones = torch.ones(count, total, dtype=torch.bool)
    mask = ones.tril(total - count)
    return mask if window is None else mask & ones.triu(total - count - window + 1)


AttentionInterface.register(SEQUENCES, attend_to_own_sequence)
