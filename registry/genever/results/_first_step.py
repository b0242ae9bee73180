"""Where the losses of two runs part, if they see the same data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from genever.results._frozen import Value
from genever.results._row import is_loss, is_result, numbers
from genever.runs import RunDirectory

__all__ = ["Losses", "compare_losses"]

#: Which samples a step sees follows from these, and from the parts in the slot `data`.
_LUCK = ("train.seed", "train.data", "train.batch_size")


@dataclass(frozen=True, kw_only=True)
class Losses:
    """How far the losses of two runs are equal, bit for bit.

    Args:
        incomparable: why they cannot be compared, such as 'train.seed differs'; '' = they can.
        num_equal: lines that both logged, up to where they part. last_equal: the step of the last of these.
        first: the step of the first line that differs. None = there is none.
        name: a loss that differs there, and its values, None where not finite.
    """

    incomparable: str = ""
    num_equal: int = 0
    last_equal: int | None = None
    first: int | None = None
    name: str = ""
    values: tuple[float | None, float | None] = (None, None)


def compare_losses(one: RunDirectory, other: RunDirectory, ours: Mapping[str, Value], theirs: Mapping[str, Value]) -> Losses:
    """Compares line by line of what was logged at the same steps.

    Args:
        ours, theirs: what the runs are composed of.
    """
    luck = [key for key in {**ours, **theirs} if key in _LUCK or key.rpartition("/")[2].startswith("data.")]
    different = [key for key in luck if _text(ours.get(key)) != _text(theirs.get(key))]
    if different:
        return Losses(incomparable=f"{' and '.join(different[:3])} differ{'s' * (len(different) == 1)}")
    first, second = dict(_lines(one)), dict(_lines(other))
    shared = [key for key in first if key in second]
    if not shared:
        return Losses(incomparable="no step was logged by both")
    if not any(first[key].keys() & second[key].keys() for key in shared):
        return Losses(incomparable="they have no loss of one name")
    for place, key in enumerate(shared):
        for name in first[key].keys() & second[key].keys():
            values = first[key][name], second[key][name]
            if values[0] != values[1]:
                last = shared[place - 1][1] if place else None
                return Losses(num_equal=place, last_equal=last, first=key[1], name=name, values=values)
    return Losses(num_equal=len(shared), last_equal=shared[-1][1])


def _lines(run: RunDirectory) -> Iterator[tuple[tuple[int, int], dict[str, float | None]]]:
    """Losses of each line of training, which are means since the line before: by the steps of that one and its own."""
    before = 0
    for line in run.read_metrics():
        found, step = numbers(line), line.get("step") if isinstance(line, dict) else None
        if isinstance(step, int) and not any(map(is_result, found)):
            yield (before, step), {name: value for name, value in found.items() if is_loss(name)}
            before = step


def _text(value: Value | None) -> str | None:
    return value and value.text
