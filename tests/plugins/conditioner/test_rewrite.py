"""A wrapped conditioner stays what it is, but for the prompts that it reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from genever.command import main
from genever.testing import ToyBackbone, ToyRewriter, toy_composition
from genever.values import DataSpec
from genever_plugins.conditioner.rewrite import Rewrite
from genever_plugins.conditioner.text import Text
from torch import nn

DATA = DataSpec(channels=1, height=2, width=2, captions=True)
TEXT = Text(width=8, heads=2, depth=1, dropout=0.3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENEVER_CACHE", str(tmp_path / "cache"))


def built(conditioner: Text | Rewrite) -> nn.Module:
    torch.manual_seed(0)
    return conditioner.build(DATA)


def rewriting() -> Rewrite:
    return Rewrite(conditioner=TEXT, rewriter=ToyRewriter())


def test_rewritten_prompt_is_what_the_conditioner_reads(captioned):
    cond = built(rewriting()).prepare(captioned("a red circle", "", "a cross"))
    shown = captioned("an image that shows a red circle", "", "an image that shows a cross")
    assert torch.equal(cond, built(TEXT).prepare(shown))


def test_all_but_the_prompt_is_the_other_conditioners(captioned):
    plain, module = built(TEXT), built(rewriting())
    cond = plain.prepare(captioned("an image that shows a red circle"))
    assert module.state_dict().keys() == plain.state_dict().keys()
    assert [name for name, _ in module.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert module.spec == plain.spec
    assert torch.equal(module.null(cond), plain.null(cond))
    assert torch.equal(module(module.prepare(captioned("a red circle"))).tokens, plain(cond).tokens)
    assert rewriting().dropout == 0.3


def test_copy_of_a_rewriting_module_prepares_by_itself_and_shares_what_is_known(captioned):
    module = built(rewriting())
    twin = copy.deepcopy(module)
    twin.max_length = 16
    assert twin.prepare(captioned("a red circle")).shape == (1, 16)
    assert module.prepare(captioned("a red circle")).shape == (1, 32)
    assert twin.prepare.rewritings is module.prepare.rewritings


def test_training_reads_rewritten_captions_where_a_stage_trains_with_rewriting(captioned):
    batches = [
        next(toy_composition(conditioner=conditioner, backbone=ToyBackbone()).feed().at(0))
        for conditioner in (TEXT, rewriting())
    ]
    shown = captioned(*(f"an image that shows {caption}" for caption in batches[1].samples.captions))
    assert batches[1].samples.captions == batches[0].samples.captions
    assert torch.equal(batches[1].cond, built(TEXT).prepare(shown))


def test_rewrite_without_captions_is_refused():
    with pytest.raises(ValueError, match=r"^conditioner\.Rewrite needs captions, but the data has none\."):
        rewriting().build(DataSpec(channels=1, height=2, width=2))


STAGE = """\
train.data         = @Shapes()
train.conditioner  = @Text()
train.backbone     = @DiT()
train.loss         = @FlowMatching()
train.sampler      = @Uniform()
train.metrics      = [@VerifiedCaptions()]
train.steps        = 3
train.batch_size   = 4
train.evaluate_samples = 4
train.validate_samples = 0
train.sample_images = 0
Shapes.height      = 16
Shapes.width       = 16
Shapes.max_objects = 1
Shapes.places      = False
Text.width         = 8
Text.heads         = 2
DiT.width          = 16
DiT.depth          = 1
DiT.heads          = 2
DiT.patch          = 8
Euler.num_steps    = 1
AdamW.lr           = 0.1   # three steps are to make a difference
"""
REWRITTEN = (
    "train.conditioner = @Rewrite()",
    "Rewrite.conditioner = @Text()",
    "Rewrite.rewriter = @Phrases()",
    "Phrases.phrases = ['{article} {size} {colour} {shape}']",
    "Phrases.words = {'article': ['a'], 'size': ['small', 'large'], 'colour': ['red'], 'shape': ['circle']}",
    "Phrases.defaults = {'article': 'a', 'size': 'large'}",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose conditioner was the plain one."""
    folder = tmp_path_factory.mktemp("rewritten")
    (folder / "experiments/shapes").mkdir(parents=True)
    (folder / "experiments/shapes/plain.gin").write_text(STAGE)
    assert main(["run", str(folder / "experiments/shapes/plain.gin"), "--root", str(folder / "runs")]) == 0
    return folder


def sampled(root: Path, name: str, caption: str, bindings: Sequence[str] = ()) -> bytes:
    out, more = root / name, [word for binding in bindings for word in ("-b", binding)]
    words = ["sample", "shapes/plain", "--root", str(root / "runs"), "--num", "2", "--caption", caption, "--out", str(out)]
    assert main([*words, *more]) == 0
    return out.read_bytes()


def test_run_of_the_plain_conditioner_is_sampled_with_rewriting(root):
    long = sampled(root, "long.png", "a large red circle")
    assert sampled(root, "short.png", "red circle") != long
    assert sampled(root, "rewritten.png", "red circle", REWRITTEN) == long


def test_run_of_the_plain_conditioner_is_judged_with_rewriting_by_what_was_asked_for(root, capsys):
    rewritten = (*REWRITTEN[:2], "Rewrite.rewriter = @Template()", "Template.text = '{prompt}, which the judge cannot read'")
    bindings = [word for binding in (*rewritten, "Shapes.captions = 'short'") for word in ("-b", binding)]
    capsys.readouterr()
    assert main(["evaluate", "shapes/plain", "--root", str(root / "runs"), "--json", *bindings]) == 0
    assert "caption_score" in json.loads(capsys.readouterr().out)
