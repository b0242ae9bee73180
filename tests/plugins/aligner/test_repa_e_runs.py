"""Runs whose codec learns: what they save, who reads it, and how several processes train one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL as Autoencoder
from genever.command import main
from genever.execution import RunsUnder
from genever.parts import load_catalog
from genever.runs import RunDirectory
from genever.testing import train_together
from genever.training import load_codec_state, load_model_state, sample
from genever_plugins.codec.autoencoder_kl import AutoencoderKL
from genever_plugins.data.digits import Digits
from safetensors.torch import load_file

BASE = """
train.data        = @Digits()
train.conditioner = @Classes()
train.codec       = @AutoencoderKL()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @Uniform()
train.averages    = {'ema': @average.Constant()}
train.steps       = 4
train.batch_size  = 8
train.log_every   = 1
train.sample_images    = 4
train.validate_samples = 8
DiT.width = 16
DiT.depth = 2
DiT.heads = 2
"""
REPAE = """
train.aligner = @REPAE()
REPAE.encoder = @encoder.Classifier()
REPAE.tap     = 1
REPAE.projector_width    = 16
encoder.Classifier.steps = 2
encoder.Classifier.width = 8
"""

Run = Callable[..., RunDirectory]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of autoencoders and of experiments; the first of these has run."""
    root = tmp_path_factory.mktemp("learned")
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    settings = {"in_channels": 1, "out_channels": 1, "block_out_channels": (8, 8), "norm_num_groups": 4, **blocks}
    for seed, name in enumerate(("one", "other")):
        torch.manual_seed(seed)
        Autoencoder(**settings, mid_block_add_attention=False, latent_channels=2).save_pretrained(root / name)
    (root / "small").mkdir()
    path = f"AutoencoderKL.path = {str(root / 'one')!r}\n"
    (root / "small/joint.gin").write_text(BASE + path + REPAE)
    (root / "small/later.gin").write_text("train.start = 'small/joint'\ntrain.steps = 2\ntrain.batch_size = 8\n")
    assert main(["run", str(root / "small/joint.gin"), "--root", str(root / "runs")]) == 0
    return root


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an experiment, with bindings."""

    def of(name: str, *bindings: str, folder: str = "runs") -> RunDirectory:
        words = [word for one in bindings for word in ("-b", one)]
        capsys.readouterr()
        assert main(["run", str(root / f"small/{name}.gin"), "--root", str(root / folder), *words]) == 0
        return RunDirectory(Path(capsys.readouterr().out.splitlines()[-1]))

    return of


def joint(root: Path) -> RunDirectory:
    return RunDirectory(next((root / "runs/small/joint").glob("*/run.json")).parent)


def opened(run: RunDirectory) -> Any:
    return RunsUnder.beside(run, load_catalog()).open(str(run.path), torch.device("cpu"))


def same(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(one.equal(theirs[name]) for name, one in ours.items())


def test_opened_run_encodes_and_samples_through_the_codec_that_has_learned(root):
    composition, fresh = opened(joint(root)), Autoencoder.from_pretrained(root / "one")
    saved = load_codec_state(joint(root), 4)
    assert same(composition.codec.state_dict(), saved)
    assert not any(saved[f"autoencoder.{name}"].equal(p) for name, p in fresh.named_parameters())
    drawn = {"solver": composition.solver, "guidance": None}
    images = sample(composition, composition.model, range(2), **drawn).images
    composition.codec.autoencoder.load_state_dict(fresh.state_dict())
    assert not sample(composition, composition.model, range(2), **drawn).images.equal(images)


def test_later_stage_goes_on_with_the_codec_that_has_learned(root, run):
    later = run("later")
    assert same(load_codec_state(later, 2), load_codec_state(joint(root), 4))
    assert same(opened(later).codec.state_dict(), load_codec_state(joint(root), 4))


def test_stage_after_a_later_one_and_its_resumption_have_that_codec_too(root, run):
    later = run("later", "train.save_every = 1", "train.keep_checkpoints = None")
    whole = load_model_state(later, 2, None)
    shutil.rmtree(later.checkpoint(2))
    later.update_facts(status="stopped")
    assert main(["resume", str(later.path)]) == 0
    assert same(load_model_state(later, 2, None), whole)
    (root / "small/last.gin").write_text(f"train.start = {str(later.path)!r}\ntrain.steps = 1\ntrain.batch_size = 8\n")
    assert same(load_codec_state(run("last"), 1), load_codec_state(joint(root), 4))


def test_rounds_of_a_later_stage_have_that_codec_too(root, run):
    lines = ("train.distiller = @ProgressiveDistillation()", "ProgressiveDistillation.start_steps = 4", "train.steps = 1")
    distilled = run("later", *lines)
    assert len(distilled.saved_steps()) > 1
    assert same(load_codec_state(distilled, distilled.saved_steps()[-1]), load_codec_state(joint(root), 4))


def test_run_whose_codec_has_learned_since_its_start_is_not_mixed(root, run, capsys, tmp_path):
    learning = run("later", *REPAE.strip().splitlines()).path
    plain = run("later", "train.seed = 1").path
    for first, words in ((learning, ["--strength", "0"]), (plain, ["--mix", f"{learning}=1"])):
        assert main(["export", str(first), str(tmp_path / "new"), *words, "--root", str(root / "runs")]) == 2
        assert f"the codec of {learning} is not that of its start, and codecs are not mixed" in capsys.readouterr().err
    assert main(["export", str(plain), str(tmp_path / "new"), "--strength", "0", "--root", str(root / "runs")]) == 0


def test_later_stage_that_names_another_codec_has_that_one(root, run):
    later = run("later", f"AutoencoderKL.path = {str(root / 'other')!r}")
    named = Autoencoder.from_pretrained(root / "other").state_dict()
    assert same({f"autoencoder.{name}": one for name, one in named.items()} | shift_and_scale(), load_codec_state(later, 2))


def shift_and_scale() -> dict[str, torch.Tensor]:
    """Of an autoencoder that diffusers has just made."""
    return {"shift": torch.zeros(2, 1, 1), "scale": torch.full((2, 1, 1), 0.18215)}


def test_export_writes_the_codec_that_has_learned_as_others_read_it(root, tmp_path):
    assert main(["export", str(joint(root).path), str(tmp_path / "out")]) == 0
    there, here = opened(joint(root)), AutoencoderKL(path=str(tmp_path / "out/codec")).build(Digits().build("train").spec)
    batch = next(there.feed("validation"))
    noise = batch.draws.normal("posterior", batch.latent.shape)
    torch.testing.assert_close(here.encode(batch.images, noise), batch.x_1)
    torch.testing.assert_close(here.decode(batch.x_1), there.codec.decode(batch.x_1))


def test_frozen_codec_is_saved_once_and_not_exported(root, run, tmp_path):
    plain = run("joint", "train.aligner = None")
    assert main(["export", str(plain.path), str(tmp_path / "out")]) == 0
    assert not (tmp_path / "out/codec").exists()
    folders = (next(plain.checkpoints.glob("constants_*")), plain.checkpoint(4))
    names = [{name for file in folder.glob("*.safetensors") for name in load_file(file)} for folder in folders]
    assert {f"codec.{name}" for name in opened(plain).codec.state_dict()} <= names[0]
    assert not any(name.startswith("codec.") for name in names[1])


def test_codec_that_cannot_learn_is_refused(root, capsys):
    words = ["check", str(root / "small/joint.gin"), "-b", "train.codec = @Pixels()"]
    assert main(words) == 2
    message = "aligner.REPAE needs a codec that provides 'learnable', but train.codec is codec.Pixels, which does not."
    assert f"{message} Such a codec is: AutoencoderKL." in capsys.readouterr().err


@pytest.mark.parametrize("parallel", ["DDP", "FSDP"])
def test_two_processes_train_codec_and_model_as_one_does(root, run, parallel):
    found = []
    for size in (1, 2):
        lines = ("train.steps = 1", f"train.parallel = @{parallel}()", "train.accumulate = 2")
        one = run("joint", *lines, folder=f"{parallel}_{size}")
        shutil.rmtree(one.checkpoints)
        one.checkpoints.mkdir()
        one.resolved.write_text(one.resolved.read_text().replace("train.steps = 1", "train.steps = 3"))
        assert train_together(one.path, size) == [0] * size
        found.append(load_model_state(one, 3, None) | {f"codec.{k}": v for k, v in load_codec_state(one, 3).items()})
    apart = torch.cat([(one - found[1][name]).flatten() for name, one in found[0].items()])
    assert apart.norm() / torch.cat([one.flatten() for one in found[0].values()]).norm() < 1e-4
