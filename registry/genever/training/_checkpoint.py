"""Checkpoints: safetensors weights, and a state that `weights_only` can read. Written aside, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genever.runs import RunDirectory, write_whole
from genever.training._averages import Averages
from genever.training._learner import Learner
from genever.training._method import Method

__all__ = ["load_checkpoint", "load_model_state", "prune_checkpoints", "read_index", "save_checkpoint", "save_constants"]


def save_checkpoint(
    run: RunDirectory,
    *,
    step: int,
    round_index: int,
    round_step: int,
    method: Method,
    learners: Mapping[str, Learner],
    averages: Averages,
    best: Mapping[str, Any],
    bad_steps: int = 0,
) -> Path:
    """Saves everything that an exact resume needs, except what is a function of (seed, step) or never changes.

    Args:
        step: steps taken, counted over all rounds; round_step: in this round.
        best: {"value", "step"} of the metric that `train.keep_best` names, if any.
        bad_steps: optimizer steps that were skipped so far.
    """
    final = run.checkpoint(step)
    aside = run.checkpoints / f".partial_{step:08d}_{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    state = {"learners": {name: one.state_dict() for name, one in learners.items()}, "method": method.state_dict()}
    index = {
        "step": step,
        "round": round_index,
        "round_step": round_step,
        "best": dict(best),
        "bad_steps": bad_steps,
        "averages": [*averages.copies],
    }
    try:
        for role, tensors in _changing(method).items():
            _write(tensors, aside / f"{role}.safetensors")
        for name, copies in averages.copies.items():
            _write(copies, aside / f"average-{name}.safetensors")
        torch.save(state, aside / "state.pt")
        write_whole(aside / "index.json", json.dumps(index))
        _sync(aside)
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)  # A full disk has room again for the run's last words.
        raise OSError(f"the checkpoint of step {step} could not be written to {run.checkpoints}: {error}") from error
    if final.exists():
        shutil.rmtree(final)
    os.rename(aside, final)
    _sync(run.checkpoints)
    return final


def save_constants(run: RunDirectory, round_index: int, method: Method) -> None:
    """Saves, once a round, the weights that do not change in it."""
    final = run.checkpoints / f"constants_{round_index:02d}"
    aside = run.checkpoints / f".partial_constants_{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for role, tensors in _constant(method).items():
        _write(tensors, aside / f"{role}.safetensors")
    _sync(aside)
    shutil.rmtree(final, ignore_errors=True)
    os.rename(aside, final)


def load_checkpoint(
    run: RunDirectory,
    step: int,
    *,
    method: Method,
    learners: Mapping[str, Learner],
    averages: Averages,
) -> None:
    """Puts a checkpoint into a method of the same round, its learners and its averages."""
    folder, index = run.checkpoint(step), read_index(run, step)
    for role, module in method.roles.items():
        saved = _read(run.checkpoints / f"constants_{index['round']:02d}" / f"{role}.safetensors")
        saved |= _read(folder / f"{role}.safetensors")
        missing, unexpected = module.load_state_dict(saved, strict=False)
        shared = {name for name in missing if _shared(method, role, name)}
        assert set(missing) <= shared, f"{folder}: {role} lacks {sorted(set(missing) - shared)[:3]}"
        assert not unexpected, f"{folder}: {role} has no {unexpected[:3]}"
    for name, copies in averages.copies.items():
        for key, value in _read(folder / f"average-{name}.safetensors").items():
            copies[key].copy_(value)
    state = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")
    for name, learner in learners.items():
        learner.load_state_dict(state["learners"][name])
    method.load_state_dict(state["method"])


def load_model_state(run: RunDirectory, step: int, average: str | None) -> dict[str, Tensor]:
    """The state dict of the role "model" at a checkpoint, under one of its averages or raw."""
    folder, index = run.checkpoint(step), read_index(run, step)
    state = _read(run.checkpoints / f"constants_{index['round']:02d}" / "model.safetensors")
    state |= _read(folder / "model.safetensors")
    if average is not None:
        averaged = _read(folder / f"average-{average}.safetensors")
        state |= {key.removeprefix("model."): value for key, value in averaged.items()}
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
    used = {f"constants_{read_index(run, step)['round']:02d}" for step in run.saved_steps()}
    newest = max((folder.name for folder in run.checkpoints.glob("constants_*")), default="")
    for folder in run.checkpoints.glob("constants_*"):
        if folder.name not in used and folder.name != newest:
            shutil.rmtree(folder, ignore_errors=True)


def _split(method: Method) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Tensor]]]:
    """Each role's tensors that never change in this round, and those that may; a tensor of two roles counts in the first."""
    learning = {id(p) for group in method.groups().values() for p in group.values()}
    constant: dict[str, dict[str, Tensor]] = {}
    changing: dict[str, dict[str, Tensor]] = {}
    seen: set[int] = set()
    for role, module in method.roles.items():
        parameters = dict(module.named_parameters(remove_duplicate=False))
        learns = any(id(p) in learning for p in parameters.values())
        for name, tensor in module.state_dict(keep_vars=True).items():
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            still = role in method.frozen or (learns and name in parameters and id(tensor) not in learning)
            (constant if still else changing).setdefault(role, {})[name] = tensor
    return constant, changing


def _constant(method: Method) -> dict[str, dict[str, Tensor]]:
    return _split(method)[0]


def _changing(method: Method) -> dict[str, dict[str, Tensor]]:
    return _split(method)[1]


def _shared(method: Method, role: str, name: str) -> bool:
    """Whether a tensor was saved under another role, or under another name of the same role."""
    tensor = method.roles[role].state_dict(keep_vars=True)[name]
    copies = [
        (other, key)
        for other, module in method.roles.items()
        for key, value in module.state_dict(keep_vars=True).items()
        if value is tensor
    ]
    return len(copies) > 1


def _write(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Each tensor as a copy of its own: safetensors takes none that share memory."""
    save_file({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}, file)


def _read(file: Path) -> dict[str, Tensor]:
    return load_file(file) if file.exists() else {}


def _sync(folder: Path) -> None:
    """Waits until a folder's files, and then their names, are on the disk."""
    for path in [*folder.iterdir(), folder] if folder.is_dir() else [folder]:
        if path.is_dir() and path != folder:
            continue
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
