"""Checkpoints: safetensors in as many shards as there are processes, written aside while training goes on, then renamed."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.tensor import DTensor

from genever.runs import RunDirectory, write_whole
from genever.training._saved import Live, SavedTensor, first_names, weights_of
from genever.training._world import World

__all__ = [
    "Saver",
    "load_average",
    "load_codec_state",
    "load_model_state",
    "load_progress",
    "load_weights",
    "prune_checkpoints",
    "read_index",
]

# A process alone has no torch.distributed, and needs none.
warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")


class Saver:
    """Saves everything that an exact resume needs, except what is a function of (seed, step).

    What never changes in a round is saved once a round. Threads copy a checkpoint until the next optimizer step needs to
    change the weights, and write it while training goes on; the next one waits for it. Every process writes the shards
    that it holds, and an equal share of what all hold alike. A half-written checkpoint is never found: it is written
    aside, and rank 0 renames it when all are done.
    """

    def __init__(self, run: RunDirectory, world: World) -> None:
        self.run = run
        self.world = world
        group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._group = cast(dist.ProcessGroup | None, group)
        on_gpu = torch.cuda.is_available()
        # It keeps its memory from one save to the next: to ask for it anew takes longer than to copy.
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=on_gpu, use_shared_memory=False, use_async_staging=True, use_non_blocking_copy=on_gpu
            )
        )
        self._copy: Future[Any] | None = None
        self._thread = ThreadPoolExecutor(1, "save")
        self._under_way: Future[None] | None = None

    def save_constants(self, round_index: int, live: Live) -> None:
        """Saves the weights that do not change in a round, and waits until they are on the disk."""
        aside = self.run.checkpoints / f".partial_constants_{round_index:02d}"
        final = self.run.checkpoints / f"constants_{round_index:02d}"
        self.finish()
        self._write_aside(aside, self._own(live.constants()))
        if self.world.leads:
            _sync(aside)
            shutil.rmtree(final, ignore_errors=True)
            os.rename(aside, final)
        self.world.wait()

    def save(
        self, live: Live, index: Mapping[str, Any], method_state: Mapping[str, Any], *, keep: int | None, always: set[int]
    ) -> None:
        """Starts to copy the state of now, and to write it. `copied` is to be called before anything of it changes.

        Args:
            index: what `read_index` returns, "step" among it.
            keep: newest checkpoints that stay once this one is there. None = all.
            always: steps whose checkpoints stay.
        """
        self.finish()
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # The copy does not wait for what the device is still to do.
        self._copy = cast("Future[Any]", self._stager.stage(self._own(live.changing())))
        # Written while training goes on, which may change whatever a method hands out.
        state = deepcopy({"learners": live.plain_state(), "method": dict(method_state)})
        self._under_way = self._thread.submit(self._write, self._copy, state, dict(index), keep, always)

    def copied(self) -> None:
        """Waits until nothing of the last save is still to be copied."""
        if self._copy is not None:
            self._copy.result()
            self._copy = None

    def collect(self) -> None:
        """Raises OSError where the save that has ended failed. Does not wait."""
        if self._under_way is not None and self._under_way.done():
            self.finish()

    def finish(self) -> None:
        """Waits until nothing is being written. Raises OSError where it could not be."""
        if self._under_way is not None:
            self._under_way, ended = None, self._under_way
            ended.result()

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._stager.close()

    def _own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What this process writes: its shards, and its share of what all hold alike."""
        rank, size = self.world.rank, self.world.size
        return {
            name: tensor.detach()
            for number, (name, tensor) in enumerate(tensors.items())
            if isinstance(tensor, DTensor) or number % size == rank
        }

    def _write(
        self, copy: Future[Any], state: Mapping[str, Any], index: Mapping[str, Any], keep: int | None, always: set[int]
    ) -> None:
        final = self.run.checkpoint(index["step"])
        aside = self.run.checkpoints / f".partial_{final.name}"
        try:
            self._write_aside(aside, copy.result())
            if not self.world.leads:
                return
            torch.save(state, aside / "state.pt")
            write_whole(aside / "index.json", json.dumps(index))
            _sync(aside)
        except (OSError, RuntimeError, CheckpointException) as error:
            if self.world.leads:
                shutil.rmtree(aside, ignore_errors=True)  # A full disk has room again for the run's last words.
            raise OSError(
                f"the checkpoint of step {index['step']} could not be written to {self.run.checkpoints}: {_first(error)}"
            ) from error
        if final.exists():
            shutil.rmtree(final)
        os.rename(aside, final)
        _sync(self.run.checkpoints)
        prune_checkpoints(self.run, keep=keep, always=always)

    def _write_aside(self, aside: Path, tensors: Mapping[str, Tensor]) -> None:
        if self.world.leads:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
        if self._group is not None:
            dist.barrier(self._group)
        writer = HuggingFaceStorageWriter(str(aside), save_distributed=True)
        state_dict_saver.save(dict(tensors), storage_writer=writer, process_group=self._group, no_dist=self._group is None)


def load_weights(run: RunDirectory, step: int, roles: Mapping[str, nn.Module]) -> None:
    """Puts a checkpoint's weights into the networks of the same round, which lie in this process whole."""
    index, wanted = read_index(run, step), weights_of(roles)
    found: set[str] = set()
    for folder in (_constants(run, index["round"]), run.checkpoint(step)):
        names = {name for name in _metadata(folder) if name.startswith(tuple(f"{role}." for role in roles))}
        unknown = names - wanted.keys()
        assert not unknown, f"{folder}: there are no {sorted(unknown)[:3]} in this composition"
        _load(folder, {name: wanted[name] for name in names})
        found |= names
    missing = set(first_names(wanted)) - found
    assert not missing, f"{run.checkpoint(step)} lacks {sorted(missing)[:3]}"


def load_progress(run: RunDirectory, step: int, live: Live) -> dict[str, Any]:
    """Puts a checkpoint's averages and optimizers into a round, as they lie now. Returns the method's state."""
    folder = run.checkpoint(step)
    metadata = _metadata(folder)
    _load(folder, {name: tensor for name, tensor in live.averaged().items() if name in metadata})
    state = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")
    fresh = live.fresh_state(metadata)
    _load(folder, fresh)
    live.put_state(fresh, state["learners"])
    return state["method"]


def load_model_state(run: RunDirectory, step: int, average: str | None) -> dict[str, Tensor]:
    """The state dict of the role "model" at a checkpoint, under one of its averages or raw."""
    state = _read(run, step, "model.")
    return state if average is None else state | load_average(run, step, average)


def load_codec_state(run: RunDirectory, step: int) -> dict[str, Tensor]:
    """The state dict of the codec at a checkpoint."""
    return _read(run, step, "codec.")


def load_average(run: RunDirectory, step: int, average: str) -> dict[str, Tensor]:
    """What an average holds at a checkpoint: the weights of the role "model" that learn, by their names in it."""
    return _read(run, step, f"average/{average}/model.")


def _read(run: RunDirectory, step: int, prefix: str) -> dict[str, Tensor]:
    """Every tensor of a checkpoint whose name begins so, without that beginning."""
    state: dict[str, Tensor] = {}
    for folder in (_constants(run, read_index(run, step)["round"]), run.checkpoint(step)):
        saved = {name: one for name, one in _metadata(folder).items() if name.startswith(prefix)}
        tensors = {name: torch.empty(one.size, dtype=one.dtype) for name, one in saved.items()}
        _load(folder, tensors)
        state |= {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return state


def read_index(run: RunDirectory, step: int) -> dict[str, Any]:
    """index.json: the step, the round, the best metric and the bad steps so far, and the names of the averages."""
    return json.loads((run.checkpoint(step) / "index.json").read_text(encoding="utf-8"))


def prune_checkpoints(run: RunDirectory, *, keep: int | None, always: set[int]) -> None:
    """Removes all but the newest `keep` checkpoints and those in `always`, and what a kill left half-written."""
    for left in run.checkpoints.glob(".partial_*"):
        shutil.rmtree(left, ignore_errors=True)
    steps = run.saved_steps()
    for step in steps[: -keep if keep else 0]:
        if step not in always:
            folder = run.checkpoint(step)
            doomed = folder.with_name(f".partial_{folder.name}")
            os.rename(folder, doomed)
            shutil.rmtree(doomed, ignore_errors=True)
    used = {_constants(run, read_index(run, step)["round"]).name for step in run.saved_steps()}
    newest = max((folder.name for folder in run.checkpoints.glob("constants_*")), default="")
    for folder in run.checkpoints.glob("constants_*"):
        if folder.name not in used and folder.name != newest:
            shutil.rmtree(folder, ignore_errors=True)


def _constants(run: RunDirectory, round_index: int) -> Path:
    return run.checkpoints / f"constants_{round_index:02d}"


def _metadata(folder: Path) -> dict[str, SavedTensor]:
    """Every tensor of a folder of shards, which need not be there."""
    if not folder.is_dir():
        return {}
    found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {name: SavedTensor(tuple(one.size), one.properties.dtype) for name, one in found.items()}  # type: ignore[union-attr]


def _load(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Fills tensors, each with what lies of it in this process, from however many shards there are."""
    if tensors:
        state_dict_loader.load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)


def _first(error: BaseException) -> BaseException:
    """The reason of the first process that failed."""
    failures: Iterable[Any] = error.failures.values() if isinstance(error, CheckpointException) else ()
    return next((reason for reason, _ in failures), error)


def _sync(folder: Path) -> None:
    """Waits until a folder's files, and then their names, are on the disk."""
    for path in [*folder.iterdir(), folder]:
        if path.is_dir() and path != folder:
            continue
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
