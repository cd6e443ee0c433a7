"""Packing texts of unequal length into batches."""

from collections.abc import Iterator, Sequence


def batches_by_length(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Yield positions in batches of similar length, shortest first.

    A batch's padded size (rows times longest) stays within `budget`, unless a single row is longer.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[position] > budget:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
