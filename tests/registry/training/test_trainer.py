"""The loop: what it keeps, what it skips, when it stops."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from genever.errors import UserError
from genever.runs import RunDirectory
from genever.slots import Measures
from genever.testing import toy_composition
from genever.training import Composition, NonFiniteError, Stopped, Trainer, load_model_state, read_index
from genever_plugins.conditioner.text import Text
from safetensors.torch import load_file
from torch import Tensor, nn


def trained(folder: Path, until: int | None = None, **parts: object) -> tuple[RunDirectory, Composition]:
    run = RunDirectory(folder)
    for wanted in (run.checkpoints, run.samples):
        wanted.mkdir(parents=True, exist_ok=True)
    settings = {"steps": 12, "batch_size": 8, "log_every": 4, "sample_images": 4, "validate_samples": 8}
    composition = toy_composition(**{**settings, **parts})
    asked = iter(range(1, 1000))
    Trainer(composition=composition, run=run, should_stop=lambda: next(asked) == until).train()
    return run, composition


def saved_model(run: RunDirectory) -> dict[str, Tensor]:
    return load_model_state(run, run.saved_steps()[-1], None)


@dataclass(frozen=True)
class Decay:
    value: float

    def decay_at(self, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class Breaking:
    """A loss whose error is not a number on the batches of some draws."""

    whole: object
    share: float

    def __getattr__(self, name: str) -> object:
        return getattr(self.whole, name)

    def errors(self, output: Tensor, **named: Tensor) -> Tensor:
        errors = self.whole.errors(output, **named)
        return errors / (named["t"].min() > self.share)


def breaking(share: float) -> Breaking:
    return Breaking(toy_composition().loss, share)


def test_loss_falls(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, steps=200, log_every=50)
    losses = [line["model/loss"] for line in run.read_metrics() if "model/loss" in line]
    assert losses[-1] < 0.8 * losses[0]


def test_accumulated_batches_train_as_whole_ones(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole")
    split, _ = trained(tmp_path / "split", accumulate=4)
    for name, weight in saved_model(whole).items():
        torch.testing.assert_close(saved_model(split)[name], weight, rtol=1e-4, atol=1e-5)


def test_average_of_decay_zero_is_the_weights(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, averages={"all": Decay(0.0)})
    average = load_model_state(run, 12, "all")
    assert all(average[name].equal(weight) for name, weight in saved_model(run).items())


def test_average_of_decay_one_stays_at_the_start(tmp_path: Path) -> None:
    start = {name: p.detach().clone() for name, p in toy_composition().model.named_parameters()}
    run, _ = trained(tmp_path, averages={"none": Decay(1.0)})
    average = load_model_state(run, 12, "none")
    assert all(average[name].equal(weight) for name, weight in start.items())


@dataclass(frozen=True)
class Twice:
    """An aligner whose model learns from each batch twice."""

    whole: Any = None

    def align(self, method: Any, composition: Composition) -> Any:
        return Twice(method)

    def __getattr__(self, name: str) -> object:
        return getattr(self.whole, name)

    def updates(self, data: Any, step: int) -> Iterator[Any]:
        for update in self.whole.updates(data, step):
            yield from (update, update)


def test_average_follows_steps_however_often_the_model_learns_in_each(tmp_path: Path) -> None:
    asked: list[int] = []
    average = SimpleNamespace(decay_at=lambda step: asked.append(step) or 0.5)
    trained(tmp_path, steps=3, aligner=Twice(), averages={"ema": average})
    assert asked == [0, 1, 2]


def test_step_that_is_not_finite_stops_the_run_and_saves_its_batch(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"group 'model' is not finite at step \d+ .*genever resume") as caught:
        trained(tmp_path, loss=breaking(0.05), save_every=1, log_every=1)
    folder = next((tmp_path / "nonfinite").iterdir())
    told = json.loads((folder / "step.json").read_text())
    assert f"step {told['step']} " in str(caught.value)
    assert load_file(folder / "batch_0.safetensors")["x_1"].shape[0] == 8


def test_checkpoint_before_a_bad_step_is_kept(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError):
        trained(tmp_path, loss=breaking(0.05), save_every=1)
    bad = json.loads(next((tmp_path / "nonfinite").glob("*/step.json")).read_text())["step"]
    run = RunDirectory(tmp_path)
    assert run.saved_steps()[-1:] == ([bad] if bad else [])
    assert all(weight.isfinite().all() for weight in (saved_model(run).values() if bad else ()))


def test_bad_steps_are_skipped_up_to_the_limit(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, loss=breaking(0.05), skip_nonfinite=12)
    assert all(weight.isfinite().all() for weight in saved_model(run).values())


def test_checkpoints_are_kept_by_age_and_by_best(tmp_path: Path) -> None:
    values = iter([3.0, 1.0, 2.0, 4.0, 5.0, 6.0])

    class Falling:
        measures: ClassVar[Measures] = {"made_up": "lower"}

        def measure(self, evaluation: object) -> Mapping[str, float]:
            return {"made_up": next(values)}

    run, _ = trained(tmp_path, metrics=[Falling()], evaluate_every=2, save_every=2, keep_checkpoints=2, keep_best="made_up")
    assert run.saved_steps() == [4, 10, 12]


def test_best_of_what_is_better_the_higher_it_is_was_the_highest(tmp_path: Path) -> None:
    values = iter([1.0, 3.0, 2.0])

    class Rising:
        measures: ClassVar[Measures] = {"made_up": "higher"}

        def measure(self, evaluation: object) -> Mapping[str, float]:
            return {"made_up": next(values)}

    run, _ = trained(
        tmp_path, metrics=[Rising()], steps=6, evaluate_every=2, save_every=2, keep_checkpoints=1, keep_best="made_up"
    )
    assert run.saved_steps() == [4, 6]


def test_bin_of_the_validation_loss_may_be_what_is_best(tmp_path: Path) -> None:
    run, _ = trained(
        tmp_path, steps=4, validate_every=2, save_every=2, validate_samples=16, keep_best="validation_loss_t0.125"
    )
    assert read_index(run, 4)["best"]["step"] in (2, 4)


@pytest.mark.parametrize("weights", ["average", "raw"])
def test_best_is_that_of_the_weights_that_are_judged(weights: str, tmp_path: Path) -> None:
    run, _ = trained(tmp_path, averages={"ema": Decay(0.5)}, evaluate_weights=weights, keep_best="validation_loss")
    (line,) = (one for one in run.read_metrics() if "raw/validation_loss" in one)
    assert read_index(run, 12)["best"]["value"] == line[f"{weights}/validation_loss"]


def test_metric_that_is_not_a_number_is_never_the_best(tmp_path: Path) -> None:
    values = iter([float("nan"), 2.0, float("nan"), 3.0])

    class Broken:
        measures: ClassVar[Measures] = {"made_up": "lower"}

        def measure(self, evaluation: object) -> Mapping[str, float]:
            return {"made_up": next(values)}

    run, _ = trained(tmp_path, metrics=[Broken()], steps=8, evaluate_every=2, keep_checkpoints=1, keep_best="made_up")
    assert run.saved_steps() == [4, 8]


def test_bad_steps_count_over_a_resume(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    trained(whole, loss=breaking(0.1), skip_nonfinite=12)
    num_bad = read_index(RunDirectory(whole), 12)["bad_steps"]
    with pytest.raises(Stopped):
        trained(stopped, until=6, loss=breaking(0.1), skip_nonfinite=num_bad - 1)
    assert 0 < read_index(RunDirectory(stopped), 6)["bad_steps"] < num_bad
    with pytest.raises(NonFiniteError, match=rf"bad steps so far: {num_bad}, allowed .*: {num_bad - 1}"):
        trained(stopped, loss=breaking(0.1), skip_nonfinite=num_bad - 1)


def test_run_asked_to_stop_at_its_last_step_is_done(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, until=12)
    assert run.saved_steps() == [12]


def test_unknown_group_is_named(tmp_path: Path) -> None:
    optimizer = toy_composition().stage.optimizer
    with pytest.raises(UserError, match=r"group_optimizers names \['critic'\]; this stage's groups are \['model'\]"):
        trained(tmp_path, group_optimizers={"critic": optimizer})


def test_scalars_stand_once_in_the_metrics(tmp_path: Path) -> None:
    run, _ = trained(tmp_path)
    steps = [line["step"] for line in run.read_metrics() if "model/loss" in line]
    assert steps == [4, 8, 12]


def test_grids_are_written_from_the_average_and_raw(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, averages={"ema": Decay(0.9)}, evaluate_weights="both", sample_every=6)
    names = sorted(file.name for file in run.samples.iterdir())
    assert names == [f"{which}_{step:08d}.png" for which in ("average", "raw") for step in (6, 12)]


def test_batch_size_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train.accumulate = 3 does not divide train.batch_size = 8"):
        replace(toy_composition().stage, accumulate=3)


def test_training_in_bf16_keeps_float32_weights(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, precision="bf16")
    assert {weight.dtype for weight in saved_model(run).values()} == {torch.float32}


def test_grids_ask_for_the_captions_of_the_stage(tmp_path: Path) -> None:
    def grid(name: str, captions: tuple[str, ...]) -> bytes:
        conditioner = Text(width=8, heads=2, depth=1, max_length=8)
        run, _ = trained(tmp_path / name, conditioner=conditioner, sample_captions=captions)
        return next(run.samples.glob("*.png")).read_bytes()

    own = toy_composition().validation.fetch(range(4)).captions
    assert own is not None
    assert grid("said", own) == grid("plain", ())
    assert grid("other", ("a high one",)) != grid("plain", ())


def test_blocks_that_there_are_not_are_not_compiled(tmp_path: Path) -> None:
    composition = toy_composition(compile="blocks")
    network: Any = composition.model.network
    network.blocks = nn.Sequential(*network.blocks)
    with pytest.raises(UserError, match=r"train.compile = 'blocks': the network, a ToyNetwork, has no .*'whole'"):
        Trainer(composition=composition, run=RunDirectory(tmp_path)).train()
