"""Several processes agree on what is planned: sizes and shares that change from step to step."""

from pathlib import Path

import pytest
from genever.language import read, resolve
from genever.parts import load_catalog
from genever.runs import RunDirectory, write_whole
from genever.testing import train_together
from genever.training import load_model_state

TEXT = """
train.data        = @Curriculum()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @Shifted()
train.optimizer   = @AdamW()
train.parallel    = @{parallel}()
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


def run_of(folder: Path, parallel: str = "DDP", multiple: int = 4) -> RunDirectory:
    """A run that is frozen and not yet trained."""
    (folder / "small").mkdir(parents=True)
    file = folder / "small/one.gin"
    file.write_text(TEXT.format(parallel=parallel, multiple=multiple))
    catalog = load_catalog()
    resolved = resolve(read(str(file), [], catalog=catalog, runs_root=str(folder)), catalog)
    run = RunDirectory.create(folder, resolved.name, resolved.identity, {"experiment": resolved.name})
    write_whole(run.resolved, resolved.text)
    return run


def losses(run: RunDirectory) -> list[float]:
    return [line["model/loss"] for line in run.read_metrics() if "model/loss" in line]


@pytest.mark.parametrize("parallel", ["DDP", "FSDP"])
def test_two_processes_follow_one_plan(tmp_path: Path, parallel: str) -> None:
    one, two = (run_of(tmp_path / name, parallel) for name in ("one", "two"))
    assert train_together(one.path, 1) == [0]
    assert train_together(two.path, 2) == [0, 0]
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    ours, theirs = (load_model_state(run, 6, None) for run in (two, one))
    assert all(float((ours[name] - theirs[name]).norm()) < 1e-3 for name in theirs)


def test_planned_batch_that_two_processes_cannot_split_is_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path, multiple=1)
    assert set(train_together(run.path, 4)) == {2}
    assert (
        "plans batches of 18 images of 16x16 pixels, which train.accumulate = 2 parts on 4 processes do not divide"
        in (run.facts["reason"])
    )
