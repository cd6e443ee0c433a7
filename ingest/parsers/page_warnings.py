"""Sentences about pages, for the person who uploaded the file. Pure."""

from collections.abc import Iterator, Sequence

# Runs of pages that a sentence names; what is more is counted.
_MAX_RUNS = 20


def about_pages(numbers: Sequence[int], one: str, many: str) -> Iterator[str]:
    """Yield a sentence about the pages `numbers`, ascending; none for no pages.

    `one` goes on after "page 7", `many` after "pages 2 to 4 and 7".
    """
    if numbers:
        yield f"{_named(numbers)}{one if len(numbers) == 1 else many}"


def _named(numbers: Sequence[int]) -> str:
    runs = _runs(numbers)
    names = [str(first) if first == last else f"{first} to {last}" for first, last in runs[:_MAX_RUNS]]
    if len(runs) > _MAX_RUNS:
        names.append(f"{sum(last - first + 1 for first, last in runs[_MAX_RUNS:])} more")
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return f"{'page' if len(numbers) == 1 else 'pages'} {listed}"


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return first and last of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
