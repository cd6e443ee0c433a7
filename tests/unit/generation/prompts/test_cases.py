"""A prompt is used when its test cases hold, and what is wrong is said in words."""

from pathlib import Path
from typing import Any

import pytest

from catalog.errors import ConfigurationError
from generation.backends.base import NO_ANSWER
from generation.prompts.cases import Case, load_cases, open_prompt, problems, reply_problems
from generation.prompts.registry import PromptRegistry
from generation.prompts.template import PromptTask, PromptTemplate, parse_template
from tests.unit.generation.prompts.test_template import a_prompt_file

SOURCES = [{"document": "a.txt", "text": "The lift is wide."}, {"document": "b.txt", "text": "It carries 900 kg."}]
GOOD = """{% block user %}{{ no_answer }}{% for s in sources %}
<{{ nonce }} {{ s.number }}>{{ s.text }}</{{ nonce }}>{% endfor %}
{{ question }}{% endblock %}"""


def count(text: str) -> int:
    return len(text.split())


def a_prompt(body: str = GOOD, **front: Any) -> PromptTemplate:
    return parse_template("mine", a_prompt_file(body, **front))


def a_case(**overrides: Any) -> Case:
    return Case(**{"name": "a case", "inputs": {"question": "How wide?", "sources": SOURCES}} | overrides)


def problems_of(prompt: PromptTemplate, case: Case | None = None) -> list[str]:
    return list(problems(prompt, case or a_case(), count_tokens=count))


@pytest.mark.parametrize("name", PromptRegistry().names())
def test_the_packages_prompts_pass(name: str) -> None:
    """Each has cases, and fails none."""
    registry = PromptRegistry()
    prompt = registry.load(name)
    cases = load_cases(registry, prompt)
    assert cases
    assert [problem for case in cases for problem in problems_of(prompt, case)] == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{{ question }}", "{{ query }}", "it cannot be rendered: UndefinedError: 'query' is undefined."),
        ("{{ question }}", "", "'How wide?' is missing."),
        ("{{ no_answer }}", "", f"'{NO_ANSWER}' is missing."),
        ("{{ question }}", "{{ question }} {{ '{{' }} x", "'{{' is left of the template's code."),
        ("{{ s.text }}", "…", "the passage 'The lift is wide.' is missing."),
        ("<{{ nonce }} {{ s.number }}>", "", "the passage 'The lift is wide.' does not stand between marks"),
        ("</{{ nonce }}>{% endfor %}", "{% endfor %}", "the passage 'It carries 900 kg.' does not stand between marks"),
        ("{{ s.number }}", "1", "the mark in front of the passage 'It carries 900 kg.' does not give its number 2."),
        ("{% block user %}", "{% block system %} {% endblock %}{% block user %}", "the message of role 'system' is"),
    ],
)
def test_what_is_wrong_with_a_prompt_is_found(old: str, new: str, expected: str) -> None:
    """The good prompt passes, and each change of it fails by its own sentence."""
    assert problems_of(a_prompt()) == []
    changed = GOOD.replace(old, new)
    assert changed != GOOD
    found = problems_of(a_prompt(changed))
    assert any(problem.startswith(expected) for problem in found), found


def test_braces_of_inputs_are_no_template_code() -> None:
    """A document about templates can be asked about."""
    sources = [{"document": "a.txt", "text": "Write {{ name }} or {% if %}."}]
    assert problems_of(a_prompt(), a_case(inputs={"question": "What is }}?", "sources": sources})) == []


def test_a_case_can_ask_for_words_and_limit_tokens() -> None:
    """Both are told with what was found."""
    found = problems_of(a_prompt(), a_case(contains=["be brief"], max_tokens=5))
    assert found[0] == "'be brief' is missing."
    assert found[1].startswith("it takes ")
    assert found[1].endswith("tokens, and at most 5 are allowed.")


@pytest.mark.parametrize(
    ("reply", "case", "expected"),
    [
        ("It is 140 cm wide [1].", {"reply_contains": ["140 CM"]}, []),
        ("", {}, ["the reply is empty.", "the reply cites no source."]),
        ("It is wide [3].", {}, ["the reply cites no source."]),
        ("It is wide [1].", {"reply_contains": ["140"]}, ["the reply does not hold '140'."]),
        (NO_ANSWER, {}, [f"the reply is {NO_ANSWER}.", "the reply cites no source."]),
        (NO_ANSWER, {"is_refused": True}, []),
        ("I do not know.", {"is_refused": True}, [f"the reply is not {NO_ANSWER}."]),
    ],
)
def test_a_reply_is_judged(reply: str, case: dict[str, Any], expected: list[str]) -> None:
    """Words, a source that exists, and refusal where nothing answers."""
    assert list(reply_problems(a_prompt(), a_case(**case), reply)) == expected


def test_of_a_reply_with_a_mark_only_the_answer_counts() -> None:
    """Without the mark there is none."""
    prompt = a_prompt(answer_mark='"ANSWER:"')
    assert list(reply_problems(prompt, a_case(), "Source [1] fits. ANSWER: It is wide [1].")) == []
    assert list(reply_problems(prompt, a_case(), "See [1]. ANSWER: It is wide.")) == ["the reply cites no source."]
    (problem,) = reply_problems(prompt, a_case(), "It is wide [1].")
    assert "does not hold 'ANSWER:'" in problem


def test_other_tasks_need_no_footnotes() -> None:
    """Their texts stand between marks too."""
    prompt = a_prompt("{% block user %}{{ nonce }}{{ text }}{% endblock %}", task='"summary"')
    case = a_case(inputs={"text": "A long story."})
    assert list(reply_problems(prompt, case, "A story.")) == []
    (problem,) = problems_of(prompt, case)
    assert "'A long story.' does not stand between marks" in problem


def test_a_prompt_whose_cases_fail_is_refused(tmp_path: Path) -> None:
    """The message names prompt, case, problem and the command that shows all; a good one is opened."""
    (tmp_path / "mine.md.j2").write_text(a_prompt_file())
    registry = PromptRegistry(folder=tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        open_prompt(registry, "mine", count_tokens=count)
    assert "Prompt 'mine' fails its case 'two sources': '[none]' is missing. `footnote prompts test mine`" in str(
        caught.value
    )
    (tmp_path / "mine.md.j2").write_text(a_prompt_file(GOOD))
    assert open_prompt(registry, "mine", count_tokens=count).name == "mine"
    (tmp_path / "mine.cases.toml").write_text(
        '[[case]]\nname = "polite"\ncontains = ["please"]\n[case.inputs]\nquestion = "Why?"\n'
    )
    with pytest.raises(ConfigurationError, match="fails its case 'polite'"):
        open_prompt(registry, "mine", count_tokens=count)


def test_a_prompt_for_another_task_is_refused() -> None:
    """A summary is no answer."""
    registry = PromptRegistry()
    assert open_prompt(registry, "summary", task=PromptTask.SUMMARY, count_tokens=count).name == "summary"
    with pytest.raises(ConfigurationError, match="'summary' is for the task"):
        open_prompt(registry, "summary", count_tokens=count)


@pytest.mark.parametrize("text", ["not toml", "x = 1", '[[case]]\nname = "a"', '[[case]]\ncolour = "red"'])
def test_a_case_file_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    """With its path, and what belongs into it."""
    (tmp_path / "mine.md.j2").write_text(a_prompt_file(GOOD))
    (tmp_path / "mine.cases.toml").write_text(text)
    registry = PromptRegistry(folder=tmp_path)
    with pytest.raises(ConfigurationError, match=r"mine\.cases\.toml' does not hold .*name, inputs, contains"):
        load_cases(registry, registry.load("mine"))
