"""Two real runs in a row: one draws small, the next makes it large."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from genever.command import main
from genever.runs import RunDirectory
from genever.testing import train_together
from genever.training import load_model_state

SMALL = """
train.data        = @Shapes()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @LogitNormal()
train.steps       = 2
train.batch_size  = 4
train.log_every   = 1
train.sample_images    = 2
train.validate_samples = 2
train.evaluate_samples = 9
Shapes.height     = 16
Shapes.width      = 16
Shapes.num_images = 8
Shapes.num_validation = 8
DiT.width         = 16
DiT.depth         = 1
DiT.heads         = 2
DiT.patch         = 8
Euler.num_steps   = 2
"""
LARGE = """
include 'small.gin'
train.conditioner = @LowResolution()
train.metrics     = [@metric.Reward(), @Upsampled()]
LowResolution.conditioner = @Classes()
LowResolution.base        = 'cascade/small'
Upsampled.metric     = @metric.Reward()
metric.Reward.reward = @Ink()
Shapes.height        = 32
Shapes.width         = 32
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lower stage has run."""
    folder = tmp_path_factory.mktemp("runs")
    for name, text in (("small", SMALL), ("large", LARGE)):
        (folder / "experiments/cascade").mkdir(parents=True, exist_ok=True)
        (folder / f"experiments/cascade/{name}.gin").write_text(text)
    assert main(["run", str(folder / "experiments/cascade/small.gin"), "--root", str(folder)]) == 0
    return folder


def run(root: Path, capsys: pytest.CaptureFixture[str], *bindings: str) -> tuple[int, str]:
    words = [word for binding in bindings for word in ("-b", binding)]
    capsys.readouterr()
    code = main(["run", str(root / "experiments/cascade/large.gin"), "--root", str(root), *words])
    said = capsys.readouterr()
    return code, said.err if code else said.out.splitlines()[-1]


def measured(run: str, root: Path, capsys: pytest.CaptureFixture[str], *bindings: str) -> dict[str, float]:
    words = [word for binding in bindings for word in ("-b", binding)]
    capsys.readouterr()
    assert main(["evaluate", run, "--root", str(root), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_two_processes_train_and_judge_a_cascade_as_one_does(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(root, capsys)
    assert code == 0, said
    one = RunDirectory(Path(said))
    facts = {name: one.facts[name] for name in ("experiment", "identity", "reads")}
    two = RunDirectory.create(root, "cascade/large", facts["identity"], facts)
    two.resolved.write_text(one.resolved.read_text())
    assert train_together(two.path, 2) == [0, 0]
    ours, theirs = (load_model_state(found, 2, None) for found in (two, one))
    apart = sum(float((ours[name] - theirs[name]).double().square().sum()) for name in theirs) ** 0.5
    assert apart < 1e-3
    assert two.facts["results"] == pytest.approx(one.facts["results"], rel=1e-3)
    assert one.facts["reads"]["conditioner.LowResolution.base"]["name"] == "cascade/small"


def test_cascade_and_interpolation_are_judged_by_one_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, trained = run(root, capsys)
    drawn = measured(trained, root, capsys)
    real = measured(trained, root, capsys, "LowResolution.base = None")
    alone = measured("cascade/small", root, capsys, "train.metrics = [@metric.Reward()]", "metric.Reward.reward = @Ink()")
    assert drawn["upsampled_reward"] != real["upsampled_reward"]
    assert drawn["reward"] != real["reward"]
    # Interpolation keeps the mean, but where it is clamped.
    assert drawn["upsampled_reward"] == pytest.approx(alone["reward"], rel=0.05)
    renamed = measured(trained, root, capsys, "train.metrics = [@Upsampled()]", "Upsampled.prefix = ''")
    assert renamed["reward"] == drawn["upsampled_reward"]


def test_base_of_another_size_ends_the_run_before_its_first_step(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(root, capsys, "LowResolution.factor = 4.0")
    assert code == 2
    assert "draws images of channels x height x width = (3, 16, 16), but this stage reads (3, 8, 8)" in said
    assert "Traceback" not in said
