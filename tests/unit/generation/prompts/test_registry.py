"""Prompts are found by name, an own folder's before the package's."""

from pathlib import Path

import pytest

from catalog.errors import ConfigurationError
from generation.prompts.registry import PromptRegistry, load_template
from generation.prompts.template import PromptTask
from tests.unit.generation.prompts.test_template import a_prompt_file


def test_the_package_has_a_prompt_for_every_purpose() -> None:
    """Each loads, and has a purpose that can be read in a list."""
    registry = PromptRegistry()
    names = registry.names()
    assert {"answer", "answer-few-shot", "answer-reasoning", "rewrite", "compaction", "summary"} < set(names)
    assert {"extraction", "classification", "translation"} < set(names)
    assert all(len(registry.load(name).purpose) > 20 for name in names)


# Those that say what to search for have one prompt each; examples of a model's calls would be no plain messages.
@pytest.mark.parametrize("task", sorted(set(PromptTask) - {PromptTask.SEARCH, PromptTask.DECOMPOSITION}))
def test_every_task_can_be_done_in_three_ways(task: PromptTask) -> None:
    """Without examples, with examples, and thinking first behind a mark; the task's own name is one of them."""
    registry = PromptRegistry()
    prompts = [prompt for prompt in map(registry.load, registry.names()) if prompt.task is task]
    assert {prompt.variant for prompt in prompts} == {"zero-shot", "few-shot", "reasoning"}
    assert task.value in {prompt.name for prompt in prompts}
    for prompt in prompts:
        assert (prompt.answer_mark is not None) is (prompt.variant == "reasoning")
        assert ("assistant_1" in prompt.template.blocks) is (prompt.variant == "few-shot")
        # A model is told the mark that it has to write.
        assert prompt.answer_mark is None or f"line that begins with {prompt.answer_mark}" in prompt.text


def test_an_own_file_wins(tmp_path: Path) -> None:
    """The package's stays there to compare with; the other prompts are the package's as before."""
    (tmp_path / "answer.md.j2").write_text(a_prompt_file(name='"answer"'))
    (tmp_path / "mine.md.j2").write_text(a_prompt_file())
    registry = PromptRegistry(folder=tmp_path)
    assert registry.load("answer").purpose == "To try it"
    assert (registry.packaged("answer") or registry.load("answer")).sha256 == load_template("answer").sha256
    assert registry.packaged("mine") is None
    assert [registry.is_own(name) for name in ("answer", "mine", "rewrite")] == [True, True, False]
    assert set(registry.names()) == {*PromptRegistry().names(), "mine"}
    assert registry.load("rewrite").sha256 == load_template("rewrite").sha256


def test_cases_are_those_of_the_task_and_the_prompts_own(tmp_path: Path) -> None:
    """A prompt of one's own has to pass what the package asks of all for its task."""
    (tmp_path / "mine.md.j2").write_text(a_prompt_file())
    registry = PromptRegistry(folder=tmp_path)
    mine = registry.load("mine")
    assert list(registry.case_files(mine)) == ["answer.cases.toml"]
    (tmp_path / "mine.cases.toml").write_text("case = []")
    assert list(registry.case_files(mine)) == ["answer.cases.toml", str(tmp_path / "mine.cases.toml")]


@pytest.mark.parametrize("name", ["nonsense", "", "../answer", "Answer", "a/b", "templates"])
def test_an_unknown_name_is_a_wrong_setting(name: str) -> None:
    """The message names what was asked for; a name never leaves the folder."""
    with pytest.raises(ConfigurationError, match="There is no prompt") as caught:
        load_template(name)
    assert repr(name) in caught.value.message


def test_a_folder_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    """Otherwise its prompts would be passed over in silence."""
    with pytest.raises(ConfigurationError, match=r"Setting 'prompts' is .*no such folder"):
        PromptRegistry(folder=tmp_path / "missing").load("answer")
