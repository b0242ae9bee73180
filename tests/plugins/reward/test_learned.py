from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from genever.command import main
from genever.training import Composition, Scorer
from genever_plugins.aligner.bradley_terry import BradleyTerry
from genever_plugins.conditioner.classes import Classes
from genever_plugins.reward.learned import Learned

BASE = """
train.data        = @Candidates()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @LogitNormal()
train.averages    = {'ema': @average.Constant()}
train.precision   = 'bf16'
train.steps       = 2
train.batch_size  = 16
train.sample_images    = 0
train.validate_samples = 0
Candidates.data   = @Digits()
average.Constant.decay = 0.5
DiT.width         = 16
DiT.depth         = 2
DiT.heads         = 2
"""
REWARD = """
include 'base.gin'
train.aligner     = @BradleyTerry()
train.metrics     = [@PairAccuracy()]
train.evaluate_samples = 20
BradleyTerry.utility = @reward.Ink()
PairAccuracy.utility = @reward.Ink()
"""
LATER = """
train.start   = 'small/plain'
train.aligner = @FlowGRPO()
train.tuner   = @LoRA()
train.steps   = 1
train.batch_size = 8
train.sample_images = 0
FlowGRPO.reward = @Learned()
FlowGRPO.solver = @FlowSDE()
FlowGRPO.group_size = 4
FlowSDE.num_steps = 2
Learned.run = 'small/reward'
"""


@dataclass(frozen=True)
class Opening:
    """Opens one composition, whatever its name."""

    composition: Composition

    def open(self, name, device):
        return self.composition


def learned(toy, opened, **parts):
    return Learned(run="some/run").build(toy.compose(runs=Opening(opened), **parts))


def reward_model(toy, **parts):
    composition = toy.compose(aligner=BradleyTerry(), **parts)
    torch.nn.init.normal_(
        composition.model.get_parameter("heads.reward.linear.weight"), generator=torch.Generator().manual_seed(0)
    )
    return composition


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain run, a reward model that started from it, and their experiments."""
    folder = tmp_path_factory.mktemp("learned")
    (folder / "experiments/small").mkdir(parents=True)
    texts = {
        "base": BASE,
        "plain": "include 'base.gin'\n",
        "reward": REWARD + "train.start = 'small/plain'\n",
        "later": LATER,
    }
    for name, text in texts.items():
        (folder / f"experiments/small/{name}.gin").write_text(text)
    for name in ("plain", "reward"):
        assert main(["run", str(folder / f"experiments/small/{name}.gin"), "--root", str(folder / "runs")]) == 0
    return folder


def test_learned_reward_is_the_score_of_the_run(toy):
    opened = reward_model(toy, data=toy.gaussian(num_classes=3), conditioner=Classes())
    reward = learned(toy, opened, data=toy.gaussian(num_classes=3))
    samples = opened.data.fetch(range(6))
    wanted = Scorer(model=opened.model, composition=opened)(samples.images, samples)
    assert torch.equal(reward(samples.images, samples), wanted)
    assert len(wanted.unique()) == 6


def test_learned_reward_lets_a_gradient_into_images_and_not_into_its_model(toy):
    opened = reward_model(toy)
    reward, samples = learned(toy, opened), opened.data.fetch(range(4))
    images = samples.images.clone().requires_grad_()
    reward(images, samples).sum().backward()
    assert images.grad.abs().min() > 0
    assert [p for p in opened.model.parameters() if p.grad is not None or p.requires_grad] == []


def test_learned_reward_refuses_a_run_that_scores_nothing(toy):
    with pytest.raises(ValueError, match=r"reward.Learned.run = 'some/run' is no reward model.* aligner.BradleyTerry"):
        learned(toy, toy.compose())


def test_learned_reward_refuses_a_run_of_other_images(toy):
    message = r"channels x height x width = \(2, 2, 2\), but this stage's are \(2, 1, 1\)"
    with pytest.raises(ValueError, match=message):
        learned(toy, reward_model(toy, data=toy.gaussian(side=2)))


def test_learned_reward_refuses_a_run_that_is_told_labels_where_there_are_none(toy):
    opened = reward_model(toy, data=toy.gaussian(num_classes=3), conditioner=Classes())
    with pytest.raises(ValueError, match=r"reward.Learned.run = 'some/run' reads labels, but this stage's data has none"):
        learned(toy, opened)


def test_reward_run_is_judged_again_as_it_was_at_its_end(folder: Path, capsys: pytest.CaptureFixture[str]):
    (run,) = (folder / "runs/small/reward").iterdir()
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = json.loads((run / "run.json").read_text())["results"]
    assert found["pair_accuracy"] == pytest.approx(wanted["average/pair_accuracy"], abs=0.02)


def test_stage_follows_a_run_that_learned_a_reward(folder: Path):
    assert main(["run", str(folder / "experiments/small/later.gin"), "--root", str(folder / "runs")]) == 0
    (run,) = (folder / "runs/small/later").iterdir()
    assert "Learned.run = 'small/reward/" in (run / "resolved.gin").read_text()


def test_reward_model_goes_on_from_another_and_a_generator_leaves_its_head(folder: Path):
    for name, more in (("again", REWARD), ("back", "include 'base.gin'\n")):
        file = folder / f"experiments/small/{name}.gin"
        file.write_text(more + "train.start = 'small/reward'\n")
        assert main(["run", str(file), "--root", str(folder / "runs")]) == 0
