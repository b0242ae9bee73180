"""What is asked of SLURM, as far as it can be told without one."""

import subprocess
from collections.abc import Callable, Sequence
from itertools import chain, combinations, count
from pathlib import Path
from typing import Any

import pytest
from genever.errors import UserError
from genever.launch import Job, Profile, connect
from genever.runs import RunDirectory

Submit = Callable[..., list[tuple[int, list[str]]]]


@pytest.fixture
def submit(root: Path, monkeypatch: pytest.MonkeyPatch) -> Submit:
    """Submits arrays of so many jobs; of each how many of its jobs run at once, and the arrays that it waits for."""
    ids = count(1)

    def ask(sizes: Sequence[int], *, limit: int, beside: tuple[str, ...] = ()) -> list[tuple[int, list[str]]]:
        asked: list[tuple[int, list[str]]] = []

        def sbatch(folder: Any, num: int, *, after: Sequence[str], earlier: Sequence[str]) -> str:
            asked.append((min(num, limit), list(earlier)))
            return str(next(ids))

        monkeypatch.setattr("genever.launch._sbatch.sbatch", sbatch)
        run = RunDirectory.create(root, "digits/fake", "0", {}).path
        jobs = [Job(name=str(number), runs=(run,), beside=beside) for number, size in enumerate(sizes) for _ in range(size)]
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


@pytest.mark.parametrize(
    ("limit", "beside", "expected"),
    [
        (3, ("7_0", "many-3f_1"), [[], ["7"], ["7"]]),
        (3, ("7_0", "8_0"), [[], [], ["7"]]),  # 8 is over.
        (1, ("7_0", "9_0"), [["7", "9"], ["1"], ["2"]]),
        (2, (), [[], [], ["1"]]),
    ],
)
def test_limit_counts_jobs_that_are_not_over(
    limit: int, beside: tuple[str, ...], expected: list[list[str]], submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["7_0|many-3f_0|RUNNING|None", "7_1|many-3f_1|PENDING|Priority", "9_0|other-a1_0|RUNNING|None"]
    monkeypatch.setattr("genever.launch._slurm._ask", lambda *command: "\n".join(lines))
    assert [earlier for _, earlier in submit([1, 1, 1], limit=limit, beside=beside)] == expected


def test_limit_that_cannot_be_counted_is_refused(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*command: str) -> str:
        raise subprocess.CalledProcessError(1, command, stderr="squeue: error: no controller\n")

    monkeypatch.setattr("genever.launch._slurm._ask", away)
    with pytest.raises(UserError) as caught:
        submit([1], limit=2, beside=("7_0",))
    assert str(caught.value) == (
        "SLURM does not say which jobs are over, and limit = 2 counts those that are not: squeue: error: no controller. "
        "Submit again once it answers, or without a limit."
    )
