"""Patterns choose documents as those of a .gitignore file do."""

import pytest

from ingest.sources.patterns import Patterns


@pytest.mark.parametrize(
    ("include", "exclude", "path", "expected"),
    [
        ([], [], "a.txt", True),
        (["*.pdf"], [], "a.pdf", True),
        (["*.pdf"], [], "deep/down/a.pdf", True),
        (["*.pdf"], [], "a.txt", False),
        (["*.pdf", "*.md"], [], "a.md", True),
        (["/*.md"], [], "a.md", True),
        (["/*.md"], [], "sub/a.md", False),
        (["manuals/"], [], "manuals/deep/a.txt", True),
        (["manuals/"], [], "old/manuals/a.txt", True),
        (["/manuals/"], [], "old/manuals/a.txt", False),
        (["a/**/z.txt"], [], "a/z.txt", True),
        (["a/**/z.txt"], [], "a/b/c/z.txt", True),
        ([], ["drafts/"], "drafts/a.txt", False),
        ([], ["drafts/"], "drafts.txt", True),
        ([], ["*.tmp"], "a/b.tmp", False),
        ([], ["*.tmp", "!keep.tmp"], "keep.tmp", True),
        (["*.md"], ["README.md"], "sub/README.md", False),
        (["*.md"], [], "A.MD", False),
        ([], ["[ab].txt"], "a.txt", False),
        ([], ["caf\u00e9.txt"], "caf\u00e9.txt", False),
    ],
)
def test_a_document_is_wanted_or_not(include: list[str], exclude: list[str], path: str, expected: bool) -> None:
    """Included by one pattern or by none being there, and excluded by none."""
    assert Patterns(include=include, exclude=exclude).wants(path) is expected


def test_a_folder_is_closed_by_its_pattern_alone() -> None:
    """Include patterns say nothing of folders: what is wanted may lie below."""
    patterns = Patterns(include=["*.md"], exclude=["drafts/", "*.tmp"])
    assert patterns.excludes("drafts/")
    assert patterns.excludes("a/drafts/")
    assert not patterns.excludes("a/")
