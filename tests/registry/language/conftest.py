"""A small catalog whose parts exist on paper alone, and a checker of texts against it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from genever.language import check, read
from genever.parts import Catalog, Parameter, PluginReport, Surface


def part(name: str, /, *, more: dict | None = None, **parameters: str) -> Surface:
    """A surface; a parameter is 'annotation' or 'annotation = default'."""
    slot = name.partition(".")[0]
    return Surface(
        name=name,
        slot=slot,
        kind="class",
        parameters=tuple(_parameter(*pair) for pair in parameters.items()),
        **(more or {}),
    )


def _parameter(name: str, text: str) -> Parameter:
    annotation, _, default = text.partition(" = ")
    return Parameter(name=name, annotation=annotation, required=not default, default=default or None, doc=f"the {name}.")


STAGE = part(
    "train",
    data="Data",
    loss="Loss",
    sampler="Sampler",
    backbone="Backbone",
    conditioner="Conditioner",
    aligner="Aligner | None = None",
    start="str | None = None",
    metrics="Sequence[Metric] = ()",
    averages="Mapping[str, Average] | None = None",
    trackers="Sequence[Tracker] = ()",
    steps="Annotated[int, Ge(1)]",
    betas="tuple[float, float] = (0.9, 0.999)",
    precision="Literal['fp32', 'bf16'] = 'fp32'",
    clip_norm="Annotated[float, Gt(0)] | None = 1.0",
    compile="bool = False",
    evaluate_weights="Literal['average', 'raw', 'both'] = 'average'",
    validate_samples="Annotated[int, Ge(0)] = 256",
    keep_best="str | None = None",
    log_every="Annotated[int, Ge(1)] = 50",
    more={
        "defaults": {"conditioner": "conditioner.Unconditional"},
        "inherited": ("data", "loss", "sampler", "backbone"),
        "infrastructure": ("log_every",),
    },
)

PARTS = (
    part(
        "data.Digits",
        split="Annotated[str, MinLen(1)] = 'train'",
        classes="Annotated[Sequence[Annotated[int, Interval(ge=0, le=9)]], MinLen(1)] | None = None",
        crop="Annotated[Sequence[Annotated[int, Ge(1)]], Len(2, 2)] = (8, 8)",
        levels="Annotated[tuple[Annotated[int, Ge(1)], ...], Len(1, 3)] = (1,)",
        names="Annotated[Mapping[str, int], MaxLen(1)] | None = None",
        more={"provides": ("labels",)},
    ),
    part("loss.FlowMatching", path="Path | None = None", huber="Annotated[float, Ge(0)] = 0.0"),
    part("loss.Huber", inner="Loss"),
    part("path.Linear", more={"provides": ("straight",)}),
    part("path.Curved"),
    part("sampler.Uniform"),
    part("sampler.LogitNormal", mean="float = 0.0", std="Annotated[float, Gt(0)] = 1.0"),
    part("data.Mixed", parts="Sequence[Data]", more={"provides": ("parts.*",)}),
    part("data.Captioned", more={"provides": ("captions",)}),
    part("data.Muted", data="Data", more={"provides": ("data.* but sounds, captions",)}),
    part("sampler.Shifted", inner="Sampler", shift="Annotated[float, Interval(ge=1, le=10)] = 3.0"),
    part("distance.Huber", c="float = 0.1"),
    part("backbone.DiT", width="int = 384", depth="int = 12", more={"provides": ("taps", "classes")}),
    part("backbone.UViT", width="int = 384"),
    part("conditioner.Unconditional"),
    part("aligner.REPA", encoder="Encoder | None = None", depth="int = 8", more={"needs": ("backbone.taps",)}),
    part("aligner.Either", more={"needs": ("backbone.text|data.captions",)}),
    part("aligner.FromStart", more={"needs": ("train.start",)}),
    part(
        "aligner.Along",
        path="Path",
        more={"needs": ("path.straight",), "defaults": {"path": "path.Linear", "encoder": "encoder.Gone"}},
    ),
    part("conditioner.Told", by="Reward | None = None", more={"needs": ("data.captions|self.by",)}),
    part(
        "conditioner.Dropping",
        dropout="float = 0.1",
        table="pathlib.Path | None = None",
        more={"provides": ("nothing if dropout",)},
    ),
    part("conditioner.Around", conditioner="Conditioner", more={"provides": ("conditioner.nothing",)}),
    part(
        "guidance.Away",
        scale="float = 2.0",
        more={"needs": ("conditioner.nothing | start.conditioner.nothing | self.scale=1",)},
    ),
    part("distiller.Derived", how="str = 'exact'", more={"needs": ("backbone.forward | self.how='differences'",)}),
    part("encoder.Tiny", dim="int = 8"),
    part("metric.FD", encoder="Encoder | None", num_samples="int = 100"),
    part("metric.Agreement", run="RunName | None = None", more={"measures": {"agreement": None, "accuracy": "higher"}}),
    part("metric.Named", name="str = 'reward'", more={"measures": {"{name}": "higher", "{name}_std": None}}),
    part("metric.Other", metric="Metric", prefix="str = 'other_'", more={"measures": {"{prefix}{metric.*}": None}}),
    part("average.Constant", decay="Annotated[float, Ge(0), Lt(1)] = 0.99"),
    part("tracker.Any", folder="str = ''", more={"accepts_any": True}),
    part("reward.Broken"),
)


def catalog_of(*parts: Surface, broken: tuple[PluginReport, ...] = ()) -> Catalog:
    ours = PluginReport(name="ours", distribution="genever", version="0.1.0", status="loaded")
    theirs = PluginReport(name="acme", distribution="acme", version="2.0", status="loaded")
    providers = {surface.name: theirs if surface.name == "distance.Huber" else ours for surface in parts}
    return Catalog(
        targets=dict.fromkeys(providers, "nowhere:Nothing"),
        providers=providers,
        reports=(ours, theirs, *broken),
        _read={"train": STAGE, **{surface.name: surface for surface in parts if surface.name != "reward.Broken"}},
    )


FAILED = (
    PluginReport(
        name="dead",
        distribution="dead-parts",
        version="1.0",
        status="failed",
        reason="ImportError: no module named 'gone' (dead.py:3)",
        tried=("sampler.Dead",),
    ),
    PluginReport(
        name="rival",
        distribution="rival-parts",
        version="3.0",
        status="failed",
        reason="The part encoder.Tiny is already provided by plugin ours (genever 0.1.0).",
        tried=("encoder.Tiny", "distance.Huber", "sampler.Rival"),
    ),
)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return catalog_of(*PARTS, broken=FAILED)


GOOD = """\
train.data = @Digits()
train.loss = @FlowMatching()
train.sampler = @LogitNormal()
train.backbone = @DiT()
train.steps = 10
"""


@pytest.fixture
def good() -> str:
    return GOOD


Checker = Callable[..., list[str]]


@pytest.fixture
def checked(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checker:
    """`checked({"x.gin": text, ...}, *bindings)`: the problems of the first file, as lines, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def check_files(files: dict[str, str | bytes], *bindings: str) -> list[str]:
        write(files)
        return [str(problem) for problem in check(read(next(iter(files)), bindings, catalog=catalog), catalog)]

    return check_files


@pytest.fixture
def problems_of(catalog: Catalog) -> Checker:
    """The problems of a file that is there already."""
    return lambda file: [str(problem) for problem in check(read(file, catalog=catalog), catalog)]


@pytest.fixture(name="write")
def _write() -> Callable[[dict[str, str | bytes]], None]:
    return write


def write(files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture(name="good_but")
def _good_but() -> Callable[[str], str]:
    return good_but


def good_but(text: str) -> str:
    """A good file in which some lines are replaced and others added."""
    keys = {line.split("=")[0].strip() for line in text.split("\n")}
    return "".join(f"{line}\n" for line in GOOD.splitlines() if line.split("=")[0].strip() not in keys) + text + "\n"
