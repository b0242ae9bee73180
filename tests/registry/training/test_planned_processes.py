"""Several processes agree on what is planned: sizes and shares that change from step to step."""

from collections.abc import Callable
from pathlib import Path

import pytest
from genever.runs import RunDirectory
from genever.testing import train_together
from genever.training import load_model_state

TEXT = """
train.data        = @Curriculum()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @Shifted()
train.optimizer   = @AdamW()
train.steps       = 6
train.batch_size  = 8
train.accumulate  = 2
train.log_every   = 1
train.sample_images    = 0
train.validate_samples = 0
AdamW.lr          = 1e-3
DiT.width         = 16
DiT.depth         = 1
DiT.heads         = 2
DiT.patch         = 4
Shifted.sampler        = @LogitNormal()
Shifted.base_positions = 256
Curriculum.stages         = [@small/Shapes(), @Mixture()]
Curriculum.starts         = [0.0, 0.5]
Curriculum.batch_multiple = {multiple}
Mixture.parts             = {{'one': @one/Shapes(), 'two': @two/Shapes()}}
Mixture.weights           = {{'one': 1, 'two': 0}}
Mixture.end_weights       = {{'one': 0, 'two': 1}}
small/Shapes.height = 16
small/Shapes.width  = 16
one/Shapes.height   = 24
one/Shapes.width    = 24
two/Shapes.height   = 24
two/Shapes.width    = 24
two/Shapes.seed     = 1
Shapes.num_images   = 40
"""


NewRun = Callable[[str, Path], RunDirectory]


def losses(run: RunDirectory) -> list[float]:
    return [line["model/loss"] for line in run.read_metrics() if "model/loss" in line]


def test_two_processes_follow_one_plan(new_run: NewRun, tmp_path: Path) -> None:
    one, two = (new_run(TEXT.format(multiple=4), tmp_path / name) for name in ("one", "two"))
    assert train_together(one.path, 1) == [0]
    assert train_together(two.path, 2) == [0, 0]
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    ours, theirs = (load_model_state(run, 6, None) for run in (two, one))
    assert all(float((ours[name] - theirs[name]).norm()) < 1e-3 for name in theirs)


def test_planned_batch_that_two_processes_cannot_split_is_refused(new_run: NewRun, tmp_path: Path) -> None:
    run = new_run(TEXT.format(multiple=1), tmp_path)
    assert set(train_together(run.path, 4)) == {2}
    assert (
        "plans batches of 18 images of 16x16 pixels, which train.accumulate = 2 parts on 4 processes do not divide"
        in (run.facts["reason"])
    )
