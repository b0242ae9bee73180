"""Fetching samples ahead of their step, in threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from genever.slots import Dataset
from genever.values import Samples

__all__ = ["Ahead"]


class Ahead:
    """Fetches from a dataset, and guesses what will be asked for next.

    Which samples a step sees is a function of the step, so a guess can be late or wrong but never change a result.

    Args:
        num_steps: steps ahead of which is fetched, each in a thread; 0 = fetch when asked.
    """

    def __init__(self, dataset: Dataset, num_steps: int) -> None:
        self.dataset = dataset
        self.num_steps = num_steps
        self._pool = ThreadPoolExecutor(num_steps, "fetch") if num_steps else None
        self._room = num_steps
        self._under_way: dict[tuple[int, ...], Future[Samples]] = {}

    def fetch(self, indices: Sequence[int]) -> Samples:
        future = self._under_way.pop(tuple(indices), None)
        return self.dataset.fetch(indices) if future is None else future.result()

    def expect(self, indices: Sequence[int], calls: int = 1) -> None:
        """Starts to fetch what will be asked for later; the oldest guess that nobody asked for makes room.

        Args:
            calls: how often this step has fetched so far: a step of many fetches has as many guesses under way.
        """
        if self._pool is None or tuple(indices) in self._under_way:
            return
        self._room = max(self._room, self.num_steps * calls)
        if len(self._under_way) >= self._room:
            self._under_way.pop(next(iter(self._under_way))).cancel()
        self._under_way[tuple(indices)] = self._pool.submit(self.dataset.fetch, indices)
