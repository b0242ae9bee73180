"""Compositions that could only train in silence to no good are refused: when a file is read, else when it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from genever.command._preflight import build_report
from genever.language import UserError, check, read, resolve
from genever.parts import Catalog, load_catalog
from genever.runs import RunDirectory
from PIL import Image

CATALOG = load_catalog()
LAST = "train.loss = @FlowMatching()\ntrain.sampler = @LogitNormal()\ntrain.steps = 3\n"
SMALL = "train.backbone = @DiT()\nDiT.width = 32\nDiT.heads = 2\nDiT.depth = 2\n" + LAST
DIGITS = "train.data = @Digits()\n" + SMALL + "train.conditioner = @Classes()\n"
FILES = {
    "taught": DIGITS,
    "classifier": DIGITS + "train.aligner = @NoisyClassifier()\n",
    "never_dropped": DIGITS + "Classes.dropout = 0.0\n",
    "shapes": "train.data = @Shapes()\ntrain.conditioner = @Text()\n" + SMALL,
}
TAUGHT = "train.start = 'd/taught'\ntrain.steps = 3\n"
NEVER = "train.start = 'd/never_dropped'\ntrain.steps = 3\n"
UNTAPPED = f"train.start = 'd/taught'\ntrain.data = @Digits()\ntrain.backbone = @UNet()\n{LAST}"
AFTER = "train.conditioner = @EndTime()\nEndTime.conditioner = @Classes()\ntrain.distiller = @MeanFlow()\n"
MIXTURE = SMALL + "train.data = @Mixture()\nMixture.parts = {'a': @Digits(), 'b': @Digits()}\n"
ALIGNED = TAUGHT + "train.aligner = @FlowGRPO()\nFlowGRPO.solver = @FlowSDE()\n"
BUCKETS = """
train.data = @Buckets()
Buckets.data = @ImageFolder()
Buckets.multiple = 8
ImageFolder.path = 'pictures'
ImageFolder.height = 16
ImageFolder.width = 16
"""
INVERTED = """
train.start = 'd/shapes'
train.steps = 3
train.tuner = @TextualInversion()
TextualInversion.placeholder = 'circle'
TextualInversion.init = 'square'
"""

BY_READING: Mapping[str, tuple[str, str]] = {
    "teacher of another kind": (
        TAUGHT + "train.distiller = @DMD()\ntrain.loss = @EDM()\n",
        "DMD() would read its teacher by train.loss = @loss.EDM()",
    ),
    "teacher of another path": (
        TAUGHT + "train.distiller = @DMD()\ntrain.loss = @VPrediction()\nVPrediction.path = @VPCosine()\n",
        "was trained by @loss.FlowMatching(), where outputs mean something else",
    ),
    "two times for one": (
        DIGITS + "train.distiller = @MeanFlow()\n",
        "MeanFlow needs a conditioner that provides 'end_time'",
    ),
    "features of none": (UNTAPPED + "train.distiller = @LADD()\n", "LADD needs a backbone that provides 'taps'"),
    "taps of none": (
        UNTAPPED + "train.aligner = @SelfAlignment()\nSelfAlignment.average = @average.Constant()\n",
        "SelfAlignment needs a backbone that provides 'taps'",
    ),
    "guidance of what always had its condition": (
        DIGITS + "Classes.dropout = 0.0\ntrain.guidance = @CFG()\n",
        "conditioner.Classes.dropout is 0.0, and it does not start from a run that had one, and guidance.CFG.scale is 2.0",
    ),
    "guidance of such a start": (NEVER + "train.guidance = @CFG()\n", "and no stage that it goes back to had one"),
    "guidance of such a teacher": (NEVER + "train.distiller = @DMD()\nDMD.guidance = @CFG()\n", "guidance.CFG needs"),
    "scales of such a teacher": (NEVER + "train.distiller = @LCM()\nLCM.scale = 7.0\n", "distiller.LCM needs a conditioner"),
    "guidance by no classifier": (
        DIGITS + "train.guidance = @ClassifierGuidance()\n",
        "needs a encoder that provides 'classifier' or guidance.ClassifierGuidance.run, but",
    ),
    "classes of what has none": (
        TAUGHT + "train.data = @Subject()\ntrain.aligner = @NoisyClassifier()\n",
        "NoisyClassifier needs a data that provides 'labels'",
    ),
    "mean flows guided by it": (
        DIGITS + AFTER + "Classes.dropout = 0.0\nMeanFlow.omega = 2.0\n",
        "conditioner.EndTime, where conditioner.Classes.dropout is 0.0, and distiller.MeanFlow.omega is 2.0",
    ),
    "preferences without pairs": (TAUGHT + "train.aligner = @DiffusionDPO()\n", "needs a data that provides 'candidates'"),
    "policy without a reward": (ALIGNED, "aligner.FlowGRPO.reward is not set, but needed"),
    "reward without a gradient": (
        TAUGHT + "train.data = @Shapes()\ntrain.aligner = @ReFL()\nReFL.reward = @VerifiedCaption()\n",
        "ReFL needs a reward that provides 'differentiable'",
    ),
    "score of what is no cosine": (
        TAUGHT + "train.data = @Shapes()\ntrain.metrics = [@CLIPScore()]\nCLIPScore.reward = @Ink()\n",
        "CLIPScore needs a reward that provides 'cosine'",
    ),
    "likeness to captions of none": (
        TAUGHT + "train.aligner = @ReFL()\nReFL.reward = @CLIPSimilarity()\nCLIPSimilarity.path = 'clip'\n",
        "CLIPSimilarity needs a data that provides 'captions'",
    ),
    "images verified by captions of one's own": (
        SMALL + "train.data = @Captioned()\nCaptioned.data = @Shapes()\nCaptioned.captions = ['a']\n"
        "train.metrics = [@VerifiedCaptions()]\n",
        "VerifiedCaptions needs a data that provides 'verifiable', but train.data is data.Captioned",
    ),
    "buckets of what is in buckets": (
        SMALL + "train.data = @Buckets()\nBuckets.data = @inner/Buckets()\ninner/Buckets.data = @ImageFolder()\n",
        "Buckets needs a data that provides 'resizable', but data.Buckets.data is data.Buckets",
    ),
    "weights below zero": (
        MIXTURE + "Mixture.weights = {'a': -1.0, 'b': 2.0}\n",
        "weights['a'] wants a number >= 0, not -1.0",
    ),
}
BY_BUILDING: Mapping[str, tuple[str, str]] = {
    "steps that do not halve": (
        TAUGHT + "train.distiller = @ProgressiveDistillation()\nProgressiveDistillation.start_steps = 12\n",
        "start_steps = 12 cannot be halved to",
    ),
    "features of no block": (TAUGHT + "train.distiller = @LADD()\nLADD.taps = [1, 9]\n", "taps: 9 is not a block"),
    "tap of no block": (
        DIGITS + "train.aligner = @SelfAlignment()\nSelfAlignment.average = @average.Constant()\nSelfAlignment.tap = 9\n"
        "SelfAlignment.teacher_tap = 10\n",
        "is not a block of this backbone",
    ),
    "adapters for nothing": (TAUGHT + "train.tuner = @LoRA()\nLoRA.targets = ['nothing']\n", "matches no linear layer"),
    "weights all zero": (MIXTURE + "Mixture.weights = {'a': 0.0, 'b': 0.0}\n", "are not shares of anything"),
    "bucket for no image": (
        SMALL + BUCKETS + "Buckets.sizes = [(16, 16), (8, 32)]\n",
        "Buckets.sizes names 8x32, which no image fits",
    ),
    "bucket that is too large": (SMALL + BUCKETS + "Buckets.sizes = [(64, 64)]\n", "which has more than 256 pixels"),
}

#: A stranger's backbone that says nothing of forward mode.
BACKWARD = """
from dataclasses import dataclass

@dataclass(frozen=True, kw_only=True)
class BackwardAlone:
    provides = ("classes", "numbers")

    def build(self, latent, condition): ...
"""

Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments" / "d"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / f"{name}.gin").write_text(text)

    def write(text: str) -> Path:
        (folder / "x.gin").write_text(text)
        return folder / "x.gin"

    return write


def errors(file: Path, catalog: Catalog = CATALOG) -> list[str]:
    return [one.message for one in check(read(file, catalog=catalog), catalog) if one.level == "error"]


@pytest.mark.parametrize("mistake", BY_READING)
def test_mistake_is_refused_when_it_is_read(mistake: str, written: Written) -> None:
    text, reason = BY_READING[mistake]
    assert any(reason in message for message in errors(written(text)))


RIGHT = (
    DIGITS + "train.guidance = @CFG()\n",
    DIGITS + "Classes.dropout = 0.0\ntrain.guidance = @CFG()\nCFG.scale = 1.0\n",
    TAUGHT + "train.conditioner = @Classes()\nClasses.dropout = 0.0\ntrain.guidance = @CFG()\n",
    SMALL + "train.data = @Digits()\ntrain.guidance = @CFG()\n",
    DIGITS + AFTER + "Classes.dropout = 0.0\n",
    NEVER + "train.distiller = @LCM()\nLCM.scale = 1.0\n",
    NEVER + "train.distiller = @SCM()\n",
    DIGITS + "train.guidance = @ClassifierGuidance()\nClassifierGuidance.run = 'd/classifier'\n",
    DIGITS + "train.guidance = @ClassifierGuidance()\nClassifierGuidance.encoder = @encoder.Classifier()\n",
    SMALL + BUCKETS + "Buckets.data = @Few()\nFew.data = @Captioned()\nCaptioned.data = @ImageFolder()\n"
    "Captioned.captions = ['a']\n",
)


@pytest.mark.parametrize("text", RIGHT)
def test_nothing_is_said_of_what_can_be_trained(text: str, written: Written) -> None:
    assert not errors(written(text))


@pytest.mark.parametrize("mistake", BY_BUILDING)
def test_mistake_is_refused_when_it_is_built(mistake: str, written: Written, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / "pictures" / f"{number}.png")
    text, reason = BY_BUILDING[mistake]
    config = read(written(text), catalog=CATALOG)
    assert not errors(written(text))
    with pytest.raises(UserError) as refused:
        build_report(resolve(config, CATALOG), CATALOG, tmp_path / "runs")
    assert reason in str(refused.value)
    assert str(refused.value).startswith("experiments/d/x.gin:")


@pytest.mark.parametrize("distiller", ["MeanFlow", "SCM"])
def test_exact_derivative_of_a_backbone_without_forward_mode_is_refused_when_it_is_read(
    distiller: str, written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backward_alone.py").write_text(BACKWARD)
    monkeypatch.syspath_prepend(tmp_path)
    catalog = replace(CATALOG, targets={**CATALOG.targets, "backbone.BackwardAlone": "backward_alone:BackwardAlone"})
    file = written(DIGITS.replace("@DiT", "@BackwardAlone") + AFTER.replace("MeanFlow", distiller))
    assert any(f"{distiller} needs a backbone that provides 'forward_mode'" in message for message in errors(file, catalog))
    file.write_text(file.read_text() + f"{distiller}.derivative = 'finite_differences'\n")
    assert not errors(file, catalog)


def test_inverted_word_that_a_run_has_learned_is_refused_when_it_is_built(
    written: Written, freeze: Callable[..., RunDirectory], tmp_path: Path
) -> None:
    start = freeze(tmp_path / "experiments/d/shapes.gin", tmp_path / "runs")
    start.write_facts({**start.facts, "status": "finished"})
    config = read(written(INVERTED), catalog=CATALOG)
    assert config.start is not None
    with pytest.raises(UserError, match=r"^experiments/d/x\.gin:.*placeholder = 'circle' is a word that the model knows"):
        build_report(resolve(config, CATALOG), CATALOG, tmp_path / "runs")
