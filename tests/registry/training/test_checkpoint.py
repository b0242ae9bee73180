"""What a checkpoint costs, and what becomes of one that cannot be written."""

import os
from pathlib import Path
from threading import Event

import pytest
import torch
from genever.runs import RunDirectory, write_whole
from genever.testing import toy_composition
from genever.training import Saver, Trainer, World, _checkpoint, load_model_state
from genever.training._averages import Averages
from genever.training._saved import Live
from genever_plugins.distiller.progressive import ProgressiveDistillation
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.path.linear import Linear
from torch import Tensor, nn


def run_in(folder: Path) -> RunDirectory:
    run = RunDirectory(folder)
    for wanted in (run.checkpoints, run.samples):
        wanted.mkdir(parents=True, exist_ok=True)
    return run


def train(folder: Path, **parts: object) -> RunDirectory:
    settings = {"steps": 4, "save_every": 2, "sample_images": 0, "validate_samples": 0}
    run = run_in(folder)
    Trainer(composition=toy_composition(**{**settings, **parts}), run=run).train()
    return run


class FullDisk:
    """Writes until something of one step is to be written."""

    def __init__(self, step: int) -> None:
        self.step = f"partial_step_{step:08d}"

    def __call__(self, original):
        def write(*words: object, **named: object) -> object:
            if self.step in " ".join(str(getattr(word, "path", word)) for word in (*words, *named.values())):
                raise OSError("No space left on device")
            return original(*words, **named)

        return write


@pytest.mark.parametrize(("module", "name"), [(torch, "save"), (_checkpoint.state_dict_saver, "save")])
def test_full_disk_leaves_the_checkpoint_before_and_nothing_half_written(
    module: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, FullDisk(step=4)(getattr(module, name)))
    with pytest.raises(OSError, match=r"the checkpoint of step 4 could not be written to .*No space left on device"):
        train(tmp_path)
    assert sorted(entry.name for entry in (tmp_path / "checkpoints").iterdir()) == ["constants_00", "step_00000002"]


def test_text_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError("No space left on device")

    write_whole(tmp_path / "run.json", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "run.json", "new")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"run.json": "old"}


def test_folder_beside_the_checkpoints_is_none(tmp_path: Path) -> None:
    run = train(tmp_path)
    (run.checkpoints / "step_00000004.bak").mkdir()
    (run.checkpoints / "step_old").mkdir()
    assert run.saved_steps() == [2, 4]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("wrote", [False, True], ids=["before", "after"])
def test_run_killed_between_two_rounds_ends_with_the_same_bits(
    wrote: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killing(saver: Saver, number: int, live: Live) -> None:
        if number == 0 or wrote:
            save_constants(saver, number, live)
        if number == 1:
            raise Killed

    save_constants = Saver.save_constants

    parts = {"distiller": ProgressiveDistillation(start_steps=8, end_steps=2), "loss": FlowMatching(path=Linear())}
    whole = train(tmp_path / "whole", **parts)
    with monkeypatch.context() as patched:
        patched.setattr(Saver, "save_constants", killing)
        with pytest.raises(Killed):
            train(tmp_path / "killed", **parts)
    killed = train(tmp_path / "killed", **parts)
    assert killed.saved_steps() == whole.saved_steps() == [6, 8]
    ours, theirs = (load_model_state(run, 8, None) for run in (killed, whole))
    assert all(ours[name].equal(weight) for name, weight in theirs.items())


class Counted(Tensor):
    """A tensor that counts how often it is copied."""

    copies = 0

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.copies += func in (Tensor.to, Tensor.clone, Tensor.cpu)
        return super().__torch_function__(func, types, args, kwargs or {})


def test_checkpoint_copies_no_frozen_weights(tmp_path: Path) -> None:
    teacher = nn.Linear(3, 3, bias=False)
    teacher.weight = nn.Parameter(torch.zeros(3, 3).as_subclass(Counted), requires_grad=False)
    model = nn.Linear(2, 2)
    groups = {"model": {f"model.{name}": p for name, p in model.named_parameters()}}
    live = Live(
        roles={"model": model, "teacher": teacher},
        frozen=frozenset({"teacher"}),
        groups=groups,
        averages=Averages({}, {}),
        learners={},
    )
    run, Counted.copies = run_in(tmp_path), 0
    saver = Saver(run, World())
    saver.save(live, {"step": 1, "round": 0}, {}, keep=None, always=set())
    saver.finish()
    assert Counted.copies == 0
    assert load_model_state(run, 1, None)["weight"].equal(model.weight)


def test_checkpoint_holds_what_was_when_it_was_saved(tmp_path: Path) -> None:
    model = nn.BatchNorm1d(1000).train()
    groups = {"model": {f"model.{name}": p for name, p in model.named_parameters()}}
    live = Live(roles={"model": model}, frozen=frozenset(), groups=groups, averages=Averages({}, {}), learners={})
    before = {name: one.clone() for name, one in model.state_dict().items()}
    run = run_in(tmp_path)
    saver = Saver(run, World())
    saver.save(live, {"step": 1, "round": 0}, {}, keep=None, always=set())
    model(torch.ones(4, 1000))  # a forward pass changes buffers
    saver.copied()
    nn.init.zeros_(model.weight)  # an optimizer step changes weights
    saver.finish()
    assert all(one.equal(before[name]) for name, one in load_model_state(run, 1, None).items())


def nobody(averages: Averages) -> Live:
    return Live(roles={}, frozen=frozenset(), groups={}, averages=averages, learners={})


def test_state_that_changes_while_it_is_written_is_saved_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, saved, changed = torch.save, [], Event()
    monkeypatch.setattr(torch, "save", lambda state, file: (changed.wait(9), saved.append(state), written(state, file)))
    seen = [1]
    saver, nothing = Saver(run_in(tmp_path), World()), nobody(Averages({}, {}))
    saver.save(nothing, {"step": 1, "round": 0}, {"seen": seen}, keep=None, always=set())
    seen.append(2)
    changed.set()
    saver.finish()
    saver.close()
    assert saved[0]["method"] == {"seen": [1]}
