"""A run, trained by several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import sys
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

__all__ = ["start_together", "train_together"]

#: What a run imports sooner or later, and what takes long to import.
PRELOADED = [
    "genever.execution.__main__",
    "genever_plugins.backbone.dit",
    "torch._dynamo",
    "torch.distributed.fsdp",
    "torch.utils.tensorboard",
]


def train_together(run: Path, size: int, *, environment: Mapping[str, str] | None = None) -> list[int]:
    """Goes on with a run in `size` processes on the CPU, until all have ended. Returns their exit codes."""
    processes = start_together(run, size, environment=environment)
    for process in processes:
        process.join()
    return [process.exitcode or 0 for process in processes]


def start_together(
    run: Path, size: int, *, environment: Mapping[str, str] | None = None, before: str = ""
) -> list[BaseProcess]:
    """Starts them, and returns at once. They share what a first process imported, so that the next ones start quickly.

    Args:
        environment: of all processes, beside what tells them apart.
        before: Python that each runs before it trains, such as what makes it fail at some moment.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    shared = {"WORLD_SIZE": str(size), "GENEVER_ATTEMPT": secrets.token_hex(4), **(environment or {})}
    processes: list[BaseProcess] = [
        context.Process(
            target=_rank, args=(str(run), {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, before), daemon=True
        )
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    return processes


def _rank(run: str, environment: Mapping[str, str], before: str) -> None:
    import torch

    from genever.execution.__main__ import main

    os.environ.update(environment)
    torch.set_num_threads(1)
    exec(before, {})
    sys.exit(main([run, "--device", "cpu"]))
