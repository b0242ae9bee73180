"""What several runs have learned of one start, mixed and merged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from genever.command import main
from safetensors.torch import load_file
from torch import Tensor

LATER = """\
train.start = 'mixed/plain'
train.tuner = @{tuner}()
train.seed  = {seed}
train.steps = 3
train.sample_images    = 0
train.validate_samples = 0
AdamW.lr    = 3e-2
"""
QUIET = "train.steps = 2\ntrain.sample_images = 0\ntrain.validate_samples = 0\n"


@pytest.fixture(scope="module")
def root(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A start, two adapters of it and a model tuned whole; another start, and an adapter of that."""
    folder = tmp_path_factory.mktemp("mixed")
    texts = {
        "plain": small + QUIET,
        "one": LATER.format(tuner="LoRA", seed=1),
        "two": LATER.format(tuner="LoRA", seed=2) + "LoRA.alpha = 4.0\nLoRA.rank = 8\n",
        "whole": LATER.format(tuner="Full", seed=3),
        "other": small + QUIET + "train.seed = 9\n",
        "stranger": LATER.format(tuner="LoRA", seed=1).replace("mixed/plain", "mixed/other"),
    }
    (folder / "experiments/mixed").mkdir(parents=True)
    for name, text in texts.items():
        file = folder / f"experiments/mixed/{name}.gin"
        file.write_text(text)
        assert main(["run", str(file), "--root", str(folder / "runs")]) == 0
    return folder


@pytest.fixture
def exported(root: Path, tmp_path: Path):
    def export(name: str, *words: str, file: str = "model.safetensors") -> dict[str, Tensor]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        assert main(["export", f"mixed/{name}", str(folder), "--root", str(root / "runs"), *words]) == 0
        return load_file(folder / file)

    return export


def genever(root: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    return main([*words, "--root", str(root / "runs")]), capsys.readouterr().err


def change_of(adapter: dict[str, Tensor], name: str, scale: float) -> Tensor:
    """scale · B A of a layer's weight."""
    layer = f"base_model.model.{name.removeprefix('network.').removesuffix('.weight')}"
    down, up = adapter.get(f"{layer}.lora_A.weight"), adapter.get(f"{layer}.lora_B.weight")
    return torch.zeros(()) if down is None or up is None else scale * (up @ down)


def test_merged_export_is_the_plain_model_with_the_adapter_folded_in(exported) -> None:
    base, adapter = exported("plain"), exported("one", file="adapter_model.safetensors")
    merged = exported("one", "--merged")
    assert merged.keys() == base.keys()
    for name, weight in base.items():
        torch.testing.assert_close(merged[name], weight + change_of(adapter, name, 1.0), rtol=0, atol=1e-6)
    assert any(not torch.equal(merged[name], weight) for name, weight in base.items())


def test_mixed_adapters_add_up_beside_the_same_weights(exported) -> None:
    base = exported("plain")
    one, two = (exported(name, file="adapter_model.safetensors") for name in ("one", "two"))
    mixture = exported("one", "--strength", "0.25", "--mix", "mixed/two=-1.5")
    for name, weight in base.items():
        expected = weight + change_of(one, name, 0.25) + change_of(two, name, -1.5 * 4 / 8)
        torch.testing.assert_close(mixture[name], expected, rtol=0, atol=1e-5)


def test_strength_of_nothing_is_the_start_bit_for_bit(exported) -> None:
    base, nothing = exported("plain"), exported("two", "--strength", "0")
    assert all(torch.equal(nothing[name], weight) for name, weight in base.items())


def test_runs_of_any_tuner_mix_and_one_may_be_named_twice(exported) -> None:
    base, whole = exported("plain"), exported("whole")
    mixture = exported("one", "--strength", "0", "--mix", "mixed/whole=0.5", "--mix", "mixed/whole=0.25")
    for name, weight in base.items():
        torch.testing.assert_close(mixture[name], weight + 0.75 * (whole[name] - weight), rtol=0, atol=1e-5)


def test_runs_that_were_moved_together_mix_as_before(root: Path, tmp_path: Path) -> None:
    folders, words = [tmp_path / "before", tmp_path / "after"], ["--strength", "0.25", "--mix", "mixed/two=-1.5"]
    assert main(["export", "mixed/one", str(folders[0]), *words, "--root", str(root / "runs")]) == 0
    (root / "runs").rename(root / "archive")
    try:
        assert main(["export", "mixed/one", str(folders[1]), *words, "--root", str(root / "archive")]) == 0
    finally:
        (root / "archive").rename(root / "runs")
    before, after = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_start_that_is_gone_is_said(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = next((root / "runs/mixed/plain").iterdir())
    start.rename(tmp_path / "away")
    try:
        code, said = genever(root, "sample", "mixed/one", "--strength", "0.5", capsys=capsys)
    finally:
        (tmp_path / "away").rename(start)
    assert code == 2
    assert f"started from {start}, which is not there any more, nor beside it. Put it back." in said


def test_mixture_can_be_sampled(root: Path, tmp_path: Path) -> None:
    files = [tmp_path / "alone.png", tmp_path / "mixed.png"]
    for file, words in zip(files, ([], ["--mix", "mixed/whole=1.0"]), strict=True):
        sampling = ["sample", "mixed/one", "--num", "2", "--out", str(file), "--root", str(root / "runs")]
        assert main([*sampling, *words]) == 0
    assert files[0].read_bytes() != files[1].read_bytes()


@pytest.mark.parametrize(
    ("run", "mix", "message"),
    [
        ("mixed/one", "mixed/stranger=1", "Mix runs of the same start: what they have learned is what differs from it."),
        ("mixed/one", "mixed/other=1", "started from scratch, so nothing tells what it has learned beyond its start."),
        ("mixed/one", "mixed/two=lots", "--mix is 'mixed/two=lots'. Write a run and a number, as in --mix digits/lora=0.5."),
        ("mixed/one", "mixed/two", "--mix is 'mixed/two'. Write a run and a number, as in --mix digits/lora=0.5."),
        ("mixed/one", "mixed/none=1", "there is no run at 'mixed/none', and no finished run of that name in "),
    ],
)
def test_mixture_that_is_none_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str], run: str, mix: str, message: str
) -> None:
    code, said = genever(root, "sample", run, "--mix", mix, "--num", "1", capsys=capsys)
    assert code == 2
    assert message in said
