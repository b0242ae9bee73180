"""`tools/local-files` makes what the parts that read files can read, the same each time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from genever_plugins.codec.autoencoder_kl import AutoencoderKL
from genever_plugins.conditioner.frozen_text import FrozenText
from genever_plugins.data.digits import Digits
from genever_plugins.data.image_folder import ImageFolder

TOOL = Path(__file__).parents[2] / "tools/local-files"
NAMES = ["autoencoder", "clip", "digits"]


def images(folder: Path) -> ImageFolder:
    return ImageFolder(path=str(folder / "digits"), height=8, width=8, channels=1)


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *map(str, words)], capture_output=True, text=True)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_local_images_are_the_digits(local_files: Path, split: str) -> None:
    found, digits = images(local_files).build(split), Digits().build(split)
    samples = found.fetch(range(len(found)))
    order = [int(Path(file).stem) for file in samples.extras["file"]]
    real = digits.fetch(order)
    assert sorted(order) == list(range(len(digits)))
    assert torch.equal(samples.labels, real.labels)
    torch.testing.assert_close(samples.images, real.images, atol=1 / 255 + 1e-6, rtol=0)


def test_local_captions_name_the_digit(local_files: Path) -> None:
    samples = images(local_files).build("validation").fetch(range(10))
    assert samples.labels.tolist() == list(range(10))
    assert samples.captions[3] == "a handwritten three"


def test_local_autoencoder_gives_latents_of_mean_0_and_variance_1(local_files: Path) -> None:
    digits = Digits().build("train")
    codec = AutoencoderKL(path=str(local_files / "autoencoder")).build(digits.spec)
    noise = torch.randn(len(digits), *codec.latent.shape, generator=torch.Generator().manual_seed(1))
    latents = codec.encode(digits.fetch(range(len(digits))).images, noise)
    assert codec.latent.shape == (4, 4, 4)
    assert latents.mean().abs() < 0.02
    assert latents.std().sub(1).abs() < 0.02


def test_local_clip_tells_its_captions_apart(local_files: Path) -> None:
    dataset = images(local_files).build("validation")
    text = FrozenText(path=str(local_files / "clip"), max_length=8).build(dataset.spec)
    cond = text.prepare(dataset.fetch(range(10)))
    pooled = text(cond).pooled
    assert len(cond.flatten(1).unique(dim=0)) == 10
    assert torch.pdist(pooled).min() > 1e-3


def test_local_files_are_whole_or_not_there(local_files: Path) -> None:
    assert sorted(path.name for path in local_files.iterdir()) == NAMES
    assert (local_files / "clip/config.json").read_text() != "half"


def test_local_files_that_are_there_stay_and_others_come_out_alike(local_files: Path, tmp_path: Path) -> None:
    shutil.copytree(local_files / "digits", tmp_path / "digits")
    (tmp_path / "digits/mine.txt").write_text("kept")
    done = call(tmp_path, "--steps", "2")
    assert f"{tmp_path / 'digits'} is there already." in done.stdout
    assert (tmp_path / "digits/mine.txt").read_text() == "kept"
    for file in [*local_files.glob("autoencoder/*"), *local_files.glob("clip/*")]:
        assert (tmp_path / file.relative_to(local_files)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "--steps is 0; take at least one."),
        ([TOOL], "local-files is not a folder. Choose another."),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_local_files_refuses_wrong_words_with_its_usage(words: list[object], message: str) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "usage: tools/local-files" in done.stderr
