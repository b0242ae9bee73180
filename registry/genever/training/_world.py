"""The processes that train together, through torch.distributed; one process alone is a world too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["Agreement", "World"]


@dataclass(frozen=True, kw_only=True)
class World:
    """This process among those that train together. Every method is called by all of them, at the same point.

    Args:
        rank: the number of this process. Rank 0 writes files and speaks.
        size: number of processes. 1 = alone; then torch.distributed need not be set up.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes."""
        if self.size == 1:
            return values
        values = values.clone()
        dist.all_reduce(values)
        return values / self.size

    def all_true(self, flag: Tensor) -> Tensor:
        """Whether a boolean scalar is true in every process; it stays on the device."""
        if self.size == 1:
            return flag
        lowest = flag.to(torch.int32)
        dist.all_reduce(lowest, dist.ReduceOp.MIN)
        return lowest.bool()

    def gather(self, rows: Tensor) -> list[Tensor]:
        """The tensor of each process, in the order of ranks. They are shaped alike; no gradient flows through."""
        if self.size == 1:
            return [rows]
        found = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(found, rows.contiguous())
        return found

    def told(self, flag: bool) -> bool:
        """What rank 0 says."""
        if self.size == 1:
            return flag
        said = torch.tensor(flag, dtype=torch.int32)
        dist.broadcast(said, src=0)
        return bool(said)

    def wait(self) -> None:
        """Until every process has come here."""
        if self.size > 1:
            dist.barrier()


class Agreement:
    """The largest number that any process named in a step, without waiting for it.

    What was named in one step is told in the next: the processes talk while they train. Alone, it is told at once.
    """

    def __init__(self, world: World) -> None:
        self.alone = world.size == 1
        self._under_way: tuple[dist.Work, Tensor] | None = None

    def __call__(self, number: int) -> int:
        if self.alone:
            return number
        told = self.end()
        named = torch.tensor(number, dtype=torch.int32)
        work = dist.all_reduce(named, dist.ReduceOp.MAX, async_op=True)
        assert work is not None
        self._under_way = (work, named)
        return told

    def end(self) -> int:
        """What was named last; nothing is under way afterwards."""
        if self._under_way is None:
            return 0
        work, named = self._under_way
        work.wait()
        self._under_way = None
        return int(named)
