"""What is asked of SLURM, as far as it can be told without one."""

from collections.abc import Callable, Sequence
from itertools import chain, combinations, count
from pathlib import Path
from typing import Any

import pytest
from genever.launch import Job, Profile, connect
from genever.runs import RunDirectory

Submit = Callable[..., list[tuple[int, list[str]]]]


@pytest.fixture
def submit(root: Path, monkeypatch: pytest.MonkeyPatch) -> Submit:
    """Submits arrays of so many jobs; of each how many of its jobs run at once, and the arrays that it waits for."""
    ids = count(1)

    def ask(sizes: Sequence[int], *, limit: int) -> list[tuple[int, list[str]]]:
        asked: list[tuple[int, list[str]]] = []

        def sbatch(folder: Any, num: int, *, after: Sequence[str], earlier: Sequence[str]) -> str:
            asked.append((min(num, limit), list(earlier)))
            return str(next(ids))

        monkeypatch.setattr("genever.launch._sbatch.sbatch", sbatch)
        run = RunDirectory.create(root, "digits/fake", "0", {}).path
        jobs = [Job(name=str(number), runs=(run,)) for number, size in enumerate(sizes) for _ in range(size)]
        list(connect(Profile(kind="slurm", limit=limit), root).submit(jobs))
        return asked

    return ask


def most_at_once(asked: Sequence[tuple[int, Sequence[str]]]) -> int:
    """The most jobs that can ever run at once: of arrays of which none waits for another, through others or not."""
    before: list[set[int]] = []
    for _, earlier in asked:
        direct = {int(one) - 1 for one in earlier}
        before.append(direct.union(*(before[one] for one in direct)))
    groups = chain.from_iterable(combinations(range(len(asked)), num) for num in range(len(asked) + 1))
    apart = [group for group in groups if not any(one in before[other] for one, other in combinations(group, 2))]
    return max(sum(asked[one][0] for one in group) for group in apart)


@pytest.mark.parametrize("limit", [1, 2, 4, 5])
@pytest.mark.parametrize("sizes", [[3, 1, 1, 1, 1], [1, 1, 1, 3, 2], [8, 8], [2, 3, 1, 4, 1, 2], [1, 5, 1, 1]])
def test_limit_holds_whatever_the_arrays_sizes_and_is_reached(sizes: list[int], limit: int, submit: Submit) -> None:
    assert most_at_once(submit(sizes, limit=limit)) == min(limit, sum(sizes))
