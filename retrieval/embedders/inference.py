"""A converted model on OpenVINO: compiled in one number format, and fed with tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from retrieval.embedders.conversion import ModelManifest

Precision = Literal["f32", "bf16", "int8"]

# Weights are int8 with a scale for each output; activations are quantised as they come, in groups of this many.
# Measured on all-MiniLM-L6-v2, times the speed of fp32 and mean cosine to it: 32 1.5 and .9983, 128 1.8 and .9968,
# 384 1.9 and .9943.
_INT8_GROUP: Final = "128"
_INT8_MAX: Final = 127


def supported_precisions() -> list[Precision]:
    """Return the formats that this processor has instructions for."""
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    wanted: dict[Precision, str] = {"f32": "FP32", "bf16": "BF16", "int8": "INT8"}
    return [precision for precision, capability in wanted.items() if capability in capabilities]


def compiled(folder: Path, precision: Precision, *, threads: int = 0) -> Any:
    """Return the model in `folder`, compiled for this processor. `threads`: 0 for all cores."""
    import openvino

    core = openvino.Core()
    model = core.read_model(folder / "openvino.xml")
    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if precision == "int8":
        _quantize_weights(model)
        options |= {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": _INT8_GROUP}
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    return core.compile_model(model, "CPU", options)


def padded(ids: Sequence[Sequence[int]], manifest: ModelManifest) -> list[NDArray[np.int64]]:
    """Return the model's inputs for these token ids, int64, shape (rows, longest)."""
    shape = (len(ids), max(map(len, ids)))
    tensors = {
        "input_ids": np.full(shape, manifest.pad_token_id, dtype=np.int64),
        "attention_mask": np.zeros(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }
    for row, tokens in enumerate(ids):
        tensors["input_ids"][row, : len(tokens)] = tokens
        tensors["attention_mask"][row, : len(tokens)] = 1
    return [tensors[name] for name in manifest.inputs]


def _quantize_weights(model: Any) -> None:
    """Replace the weights of every matrix product by int8 with one scale for each output: w ≈ scale · q."""
    from openvino import opset13 as ops

    for product in model.get_ops():
        if product.get_type_name() != "MatMul":
            continue
        constant = product.input(1).get_source_output().get_node()
        if constant.get_type_name() != "Constant" or constant.data.ndim != 2:
            continue
        attributes = product.get_attributes()
        weights = constant.data if attributes["transpose_b"] else constant.data.T
        scale = np.abs(weights).max(axis=1, keepdims=True).clip(min=np.finfo(np.float32).tiny) / _INT8_MAX
        quantized = np.round(weights / scale).astype(np.int8)
        restored = ops.multiply(ops.convert(ops.constant(quantized), "f32"), ops.constant(scale.astype(np.float32)))
        source = product.input(0).get_source_output()
        replacement = ops.matmul(source, restored, attributes["transpose_a"], True)
        for target in product.output(0).get_target_inputs():
            target.replace_source_output(replacement.output(0))
