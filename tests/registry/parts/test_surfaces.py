"""A surface is read from source and says what the signature says at run time."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.parts import Catalog, Parameter, Surface, load_catalog
from genever.training import Stage

Install = Callable[..., Path]
Read = Callable[..., Surface]

MODULE = """
from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from pathlib import Path
from typing import Annotated as A, ClassVar, Literal, Optional, Union

import annotated_types as at
from annotated_types import Gt as Greater
from genever import slots, values
from genever.slots import Solver as Integrator
from genever.values import RunName

from acme_surface.shared import LIMIT, Fraction, Parent
from acme_surface import shared

if t.TYPE_CHECKING:
    from genever.slots import Loss

Positive = A[float, Greater(0)]
START = 0.25
"""


STARRED = "Share = Annotated[float, Le(2)]\n@dataclass\nclass Other:\n    a: int = 1\n"


@pytest.fixture
def read(install: Install) -> Read:
    """`read("class Foo: ...")`: the surface of Foo in a module full of imports, next to a module `shared`."""

    def surface(text: str, shared: str = "") -> Surface:
        common = "from dataclasses import dataclass\nfrom typing import Annotated\nfrom annotated_types import Ge, Le\n"
        common += "LIMIT = 3\nFraction = Annotated[float, Ge(0), Le(1)]\n"
        parent = "@dataclass(frozen=True, kw_only=True)\nclass Parent:\n    '''P.\n\n    Args:\n        old: old.\n    '''\n"
        parent += "    old: Fraction = 0.5\n    needs = ('loss.velocity',)\n"
        hook = "registry.add('sampler.Foo', 'acme_surface.parts:Foo')"
        install("acme_surface", hook=hook, parts=MODULE + text, shared=common + parent + shared)
        return load_catalog().surface("sampler.Foo")

    return surface


@pytest.mark.parametrize(
    ("said", "annotation"),
    [
        ("float", "float"),
        ("Positive", "Annotated[float, Gt(0)]"),
        ("Positive | None", "Annotated[float, Gt(0)] | None"),
        ("Fraction", "Annotated[float, Ge(0), Le(1)]"),
        ("shared.Fraction", "Annotated[float, Ge(0), Le(1)]"),
        ("A[int, at.Lt(LIMIT)]", "Annotated[int, Lt(3)]"),
        ("A[int, at.Interval(gt=START, lt=1)]", "Annotated[int, Interval(gt=0.25, lt=1)]"),
        ("A[float, 'seconds']", "Annotated[float, 'seconds']"),
        ("Optional[int]", "int | None"),
        ("t.Optional[Union[int, str]]", "int | str | None"),
        ("Literal['fp32', 'a b']", "Literal['fp32', 'a b']"),
        ("t.List[int]", "list[int]"),
        ("Sequence[slots.Metric]", "Sequence[Metric]"),
        ("Integrator | None", "Solver | None"),
        ("'Loss'", "Loss"),
        ("Path", "pathlib.Path"),
        ("RunName | None", "RunName | None"),
        ("values.RunName", "RunName"),
        ("slots.Path", "Path"),
        ("Parent", "acme_surface.shared.Parent"),
        ("tuple[()]", "tuple[()]"),
    ],
)
def test_annotation_is_spelt_out(read: Read, said: str, annotation: str) -> None:
    surface = read(f"@dataclass(frozen=True, kw_only=True)\nclass Foo:\n    value: {said}\n")
    assert surface.parameters == (Parameter(name="value", annotation=annotation, required=True),)


@pytest.mark.parametrize(
    ("said", "default"),
    [
        ("3", "3"),
        ("-1.5e-3", "-0.0015"),
        ("START", "0.25"),
        ("shared.LIMIT", "3"),
        ("(LIMIT, 'x')", "(3, 'x')"),
        ("None", "None"),
        ("field(default=LIMIT)", "3"),
        ("dataclasses.field(default_factory=dict)", "dict()"),
    ],
)
def test_default_is_spelt_out(read: Read, said: str, default: str) -> None:
    surface = read(f"@dataclass(frozen=True, kw_only=True)\nclass Foo:\n    value: object = {said}\n")
    assert surface.parameters[0].default == default


def test_dataclass_shows_its_fields_and_no_class_variable(read: Read) -> None:
    surface = read("""
@dataclasses.dataclass
class Foo:
    first: int
    _: KW_ONLY
    kind: ClassVar[str] = "x"
    plain = 3
    hidden: int = field(init=False, default=1)
    given: InitVar[float] = 1.0
    needed: int = field()
""")
    assert [(one.name, one.annotation, one.required) for one in surface.parameters] == [
        ("first", "int", True),
        ("given", "float", False),
        ("needed", "int", True),
    ]


def test_field_that_is_called_like_a_fact_is_a_parameter(read: Read) -> None:
    surface = read(
        "@dataclass\nclass Foo:\n    defaults: dict[str, float] | None = None\n    provides: ClassVar = ('taps',)\n"
    )
    assert [one.name for one in surface.parameters] == ["defaults"]
    assert (surface.defaults, surface.provides) == ({}, ("taps",))


def test_dataclass_inherits_fields_words_and_abilities(read: Read) -> None:
    surface = read("""
@dataclass(frozen=True, kw_only=True)
class Foo(Parent):
    '''Foo.

    Args:
        new: new.
    '''
    provides: ClassVar[tuple[str, ...]] = ("taps",)
    new: int = 1
""")
    assert [(one.name, one.default, one.doc) for one in surface.parameters] == [("old", "0.5", "old."), ("new", "1", "new.")]
    assert (surface.provides, surface.needs) == (("taps",), ("loss.velocity",))


def test_constructor_shows_its_keywords(read: Read) -> None:
    surface = read("""
class Foo(Parent):
    def __init__(self, a, /, b: int, *, c: Fraction = START, **more): ...
""")
    assert [(one.name, one.annotation, one.default) for one in surface.parameters] == [
        ("b", "int", None),
        ("c", "Annotated[float, Ge(0), Le(1)]", "0.25"),
    ]
    assert surface.accepts_any


def test_base_that_cannot_be_followed_adds_nothing(read: Read) -> None:
    surface = read("from nowhere import Bar\n@dataclass\nclass Foo(Bar, list):\n    a: int\n")
    assert [one.name for one in surface.parameters] == ["a"]


@pytest.mark.parametrize("base", ["shared.Plain", "Plain"])
def test_plain_class_inherits_a_constructor(read: Read, base: str) -> None:
    plain = "class Plain:\n    def __init__(self, *, size: int = LIMIT): ...\n"
    surface = read(f"from acme_surface.shared import Plain\nclass Foo({base}): ...\n", plain)
    assert [(one.name, one.default) for one in surface.parameters] == [("size", "3")]


def test_function_shows_its_keywords(read: Read) -> None:
    surface = read("def Foo(t, /, scale: Positive = 1.0, *, path: slots.Path):\n    '''Foo.'''\n")
    assert surface.kind == "function"
    assert [(one.name, one.annotation, one.default) for one in surface.parameters] == [
        ("scale", "Annotated[float, Gt(0)]", "1.0"),
        ("path", "Path", None),
    ]


def test_reexported_part_is_followed_home(read: Read) -> None:
    home = "class Home:\n    '''At home.'''\n"
    surface = read("from acme_surface.shared import Home\nFoo = Home\n", home)
    assert surface.summary == "At home."
    assert Path(surface.file).name == "shared.py"


def test_star_import_is_followed(read: Read) -> None:
    surface = read("from acme_surface.shared import *\n@dataclass\nclass Foo(Other):\n    b: Share = LIMIT\n", STARRED)
    assert [(one.name, one.annotation, one.default) for one in surface.parameters] == [
        ("a", "int", "1"),
        ("b", "Annotated[float, Le(2)]", "3"),
    ]


def test_docstring_is_taken_apart(read: Read) -> None:
    surface = read('''
@dataclass(frozen=True, kw_only=True)
class Foo:
    """One line
    or two.

    The maths: x.

    Args:
        a: of a,
            on two lines. None = off.
        b, c: both.

    References:
        One et al., Title, 2020.
            arXiv:2001.00001
        Two, Title, 2021, eq. (3).
    """

    a: int | None = None
    b: int = 1
    c: int = 2
''')
    assert surface.summary == "One line or two."
    assert [one.doc for one in surface.parameters] == ["of a, on two lines. None = off.", "both.", "both."]
    assert surface.references == ("One et al., Title, 2020. arXiv:2001.00001", "Two, Title, 2021, eq. (3).")


def test_stage_is_read_like_its_signature() -> None:
    surface, signature = load_catalog().stage, inspect.signature(Stage)
    assert [one.name for one in surface.parameters] == list(signature.parameters)
    assert all(one.doc for one in surface.parameters)
    assert (surface.defaults, surface.inherited, surface.infrastructure) == (
        Stage.defaults,
        Stage.inherited,
        Stage.infrastructure,
    )


def test_second_look_reads_no_source(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read("@dataclass\nclass Foo(Parent):\n    a: int = 1\n")
    monkeypatch.setattr("genever.parts._reading.read_surface", None)
    assert load_catalog().surface("sampler.Foo") == first


@pytest.mark.parametrize("module", ["parts", "shared"])
def test_cache_notices_that_a_file_changed(install: Install, read: Read, module: str) -> None:
    first = read("@dataclass\nclass Foo(Parent):\n    a: int = 1\n")
    file = Path(first.file).with_name(f"{module}.py")
    file.write_text(file.read_text().replace("a: int = 1", "a: int = 22").replace("0.5", "0.125"))
    after = load_catalog().surface("sampler.Foo")
    assert {one.default for one in after.parameters} == ({"0.5", "22"} if module == "parts" else {"0.125", "1"})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 3}', "\x00"])
def test_corrupt_cache_is_ignored(read: Read, cache: Path, text: str) -> None:
    first = read("@dataclass\nclass Foo(Parent):\n    a: int = 1\n")
    for entry in cache.iterdir():
        entry.write_text(text)
    assert load_catalog().surface("sampler.Foo") == first


def test_cache_that_cannot_be_written_is_ignored(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENEVER_CACHE", str(tmp_path / "file" / "cache"))
    assert read("@dataclass\nclass Foo(Parent):\n    a: int = 1\n").parameter("a")


def test_surface_of_every_part_is_read_without_torch() -> None:
    script = (
        "import sys; from genever.parts import load_catalog; c = load_catalog()\n"
        "for name in c.names(): c.surface(name)\n"
        "c.stage; assert len(c.names()) > 10; assert 'torch' not in sys.modules and 'genever.slots' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_parameter_is_found_by_name() -> None:
    parameter = Parameter(name="a", annotation="int", required=True)
    surface = Surface(name="sampler.Foo", slot="sampler", kind="class", parameters=(parameter,))
    assert surface.parameter("a") is parameter
    assert surface.parameter("b") is None


def test_catalog_lists_names_in_order() -> None:
    catalog = Catalog(targets={"sampler.B": "a:B", "codec.C": "a:C"}, providers={}, reports=())
    assert catalog.names() == ("codec.C", "sampler.B")
