"""Chat models of a few kilobytes with random weights, which the tests make themselves. Needs torch."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 512
END = "<|im_end|>"
_SPECIAL = ("<|endoftext|>", "<|im_start|>", END)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# One that knows no system message.
STRICT_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system message') }}{% endif %}" + TEMPLATE
)


def a_tokenizer(**overrides: Any) -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token for each byte, so that every longer character is several tokens."""
    alphabet = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: number for number, name in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    fields = {"eos_token": "<|endoftext|>", "chat_template": TEMPLATE, "model_max_length": CONTEXT}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **fields | overrides)


def a_llama(folder: Path, **overrides: Any) -> Path:
    """Write a Llama of two layers whose heads share keys, float32; `overrides` are fields of its config."""
    fields = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        # Wide enough that no two tokens are about as likely: the same text comes out however answers are batched.
        "initializer_range": 0.5,
    }
    torch.manual_seed(11)
    tokenizer = a_tokenizer()
    LlamaForCausalLM(LlamaConfig(**_ids(tokenizer) | fields | overrides)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def a_mamba(folder: Path) -> Path:
    """Write a model without attention, which cannot be batched in pages."""
    torch.manual_seed(12)
    tokenizer = a_tokenizer()
    config = MambaConfig(**_ids(tokenizer), hidden_size=16, state_size=4, num_hidden_layers=1, initializer_range=0.5)
    MambaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    end = tokenizer.eos_token_id
    return {"vocab_size": len(tokenizer), "bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
