"""Which documents of a source are wanted: include and exclude patterns."""

from collections.abc import Sequence

from pathspec import GitIgnoreSpec


class Patterns:
    """Patterns as in a .gitignore file, matched against paths below the source's root with forward slashes.

    A document is wanted when an include pattern matches it, or there is none, and no exclude pattern does. `*.pdf`
    matches at every depth, `/a.pdf` at the root alone, `drafts/` all that lies in such a folder, `a/**/b` any number
    of folders between; of several patterns the last one that matches decides, and `!` turns one round.
    """

    def __init__(self, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = GitIgnoreSpec.from_lines(include) if include else None
        self._exclude = GitIgnoreSpec.from_lines(exclude)

    def wants(self, path: str) -> bool:
        """Tell whether the document at `path` is wanted."""
        return (self._include is None or self._include.match_file(path)) and not self.excludes(path)

    def excludes(self, path: str) -> bool:
        """Tell whether an exclude pattern matches; a folder's path ends with a slash, and nothing below it is read."""
        return self._exclude.match_file(path)
