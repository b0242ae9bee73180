"""A broken plugin stops nothing but itself, and its report says why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.errors import UserError
from genever.parts import BrokenPartError, Catalog, PluginReport, load_catalog

Install = Callable[..., Path]
FOO = "class Foo:\n    '''A foo.'''\n"


def report_on(catalog: Catalog, name: str) -> PluginReport:
    (found,) = [report for report in catalog.reports if report.name == name]
    return found


def test_plugin_is_loaded_with_its_parts(install: Install) -> None:
    install("acme_good", hook='registry.add("sampler.Foo", "acme_good.parts:Foo")', parts=FOO)
    catalog = load_catalog()
    found = report_on(catalog, "acme_good")
    assert (found.status, found.parts, found.distribution, found.version) == (
        "loaded",
        ("sampler.Foo",),
        "acme_good-dist",
        "1.0",
    )
    assert catalog.provider("sampler.Foo") is found
    assert "acme_good.parts" not in sys.modules


def test_class_itself_may_be_added(install: Install) -> None:
    hook = "from acme_class.parts import Foo; registry.add('sampler.Foo', Foo)"
    install("acme_class", hook=hook, parts=FOO)
    catalog = load_catalog()
    assert catalog.surface("sampler.Foo").summary == "A foo."
    assert catalog.load("sampler.Foo").__name__ == "Foo"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        ("import torchx_is_missing\n", "ModuleNotFoundError: No module named 'torchx_is_missing'"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        (
            "from genever import hookimpl\n@hookimpl\ndef register_prts(registry): ...\n",
            "acme_bad has an unknown hook 'register_prts'. The hooks are: register_parts.",
        ),
        ("", "acme_bad has no hook. Write `@hookimpl def register_parts(registry): ...` in it."),
        (
            "from genever import hookimpl\n@hookimpl\ndef register_parts(reg): ...\n",
            "PluginValidationError: Plugin 'acme_bad' for hook 'register_parts'",
        ),
    ],
)
def test_broken_plugin_is_reported_with_its_reason(install: Install, init: str, reason: str) -> None:
    install("acme_bad", init=init)
    found = report_on(load_catalog(), "acme_bad")
    assert found.status == "failed"
    assert found.reason.startswith(reason)
    assert str(found) == "plugin acme_bad (acme_bad-dist 1.0)"


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        ("'samplr.Foo', 'a:Foo'", "The part name 'samplr.Foo' does not start with a slot. Did you mean sampler.Foo?"),
        ("'qqq.Foo', 'a:Foo'", "The part name 'qqq.Foo' does not start with a slot. The slots are loss, path,"),
        ("'sampler', 'a:Foo'", "The part name 'sampler' is not of the form 'slot.Name', such as 'sampler.LogitNormal'."),
        ("'sampler.a.b', 'a:Foo'", "The part name 'sampler.a.b' is not of the form 'slot.Name', such as"),
        ("'sampler.A', 'a.Foo'", "The target 'a.Foo' of sampler.A is not of the form 'module:Name'."),
        ("'sampler.A', 3", "The target of sampler.A is 3. Add a class, a function or a string 'module:Name'."),
        ("'sampler.A', lambda: 3", "The target of sampler.A is defined inside a function. Define it at the top"),
    ],
)
def test_wrong_part_is_reported_with_its_reason(install: Install, added: str, reason: str) -> None:
    install("acme_add", hook=f"registry.add({added})")
    assert report_on(load_catalog(), "acme_add").reason.startswith(f"ValueError: {reason}")


def test_failure_names_the_file_and_the_line(install: Install) -> None:
    package = install("acme_line", init="import genever\n\nraise RuntimeError('no licence')\n")
    found = report_on(load_catalog(), "acme_line")
    assert found.reason == f"RuntimeError: no licence ({package / '__init__.py'}:3)"


def test_broken_plugin_leaves_the_others_alone(install: Install) -> None:
    install("acme_a_bad", init="raise RuntimeError\n")
    install("acme_b_good", hook='registry.add("sampler.Foo", "acme_b_good.parts:Foo")', parts=FOO)
    catalog = load_catalog()
    assert "sampler.Foo" in catalog.names()
    assert [report_on(catalog, name).status for name in ("acme_a_bad", "acme_b_good")] == ["failed", "loaded"]


def test_later_plugin_of_a_taken_part_is_rolled_back(install: Install) -> None:
    for name in ("acme_first", "acme_later"):
        hook = f"registry.add('sampler.{name.title()}', '{name}.parts:Foo'); registry.add('sampler.Foo', '{name}.parts:Foo')"
        install(name, hook=hook, parts=FOO)
    catalog = load_catalog()
    assert catalog.provider("sampler.Foo").name == "acme_first"
    assert "sampler.Acme_Later" not in catalog.names()
    reason = "The part sampler.Foo is already provided by plugin acme_first (acme_first-dist 1.0)."
    assert report_on(catalog, "acme_later").reason == reason


def test_stranger_cannot_take_the_name_of_a_part_of_ours(install: Install) -> None:
    install("aaa", hook='registry.add("sampler.Uniform", "aaa.parts:Foo")', parts=FOO)
    catalog = load_catalog()
    assert catalog.provider("sampler.Uniform").distribution == "genever"
    assert report_on(catalog, "aaa").status == "failed"


def test_second_plugin_of_an_entry_point_name_is_reported(install: Install) -> None:
    install("acme_one", entry="same")
    install("acme_two", entry="same")
    reports = [found for found in load_catalog().reports if found.name == "same"]
    assert [found.status for found in reports] == ["loaded", "failed"]
    assert reports[1].reason == "The entry-point name 'same' is already used by acme_one-dist 1.0."


def test_part_added_twice_by_one_plugin_is_refused(install: Install) -> None:
    hook = "registry.add('sampler.Foo', 'a:Foo'); registry.add('sampler.Foo', 'a:Bar')"
    install("acme_twice", hook=hook)
    assert "The part sampler.Foo is added twice." in report_on(load_catalog(), "acme_twice").reason


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ("provides = ('taps')", "Foo.provides is 'taps'. Write a tuple of texts, such as ('one',), with its comma."),
        ("provides = None", "Foo.provides is None. Write a tuple of texts"),
        ("infrastructure = (3,)", "Foo.infrastructure is (3,). Write a tuple of texts"),
        ("defaults = None", "Foo.defaults is None. Write each parameter and its part, such as {'path': 'path.Linear'}."),
        ("defaults = {'path': 3}", "Foo.defaults is {'path': 3}. Write each parameter and its part"),
        ("measures = {'fd': ['lower']}", "Foo.measures is {'fd': ['lower']}. Write each number and which end of it"),
        ("measures = {[]: None}", "Foo.measures is not a literal. Spell it out, without names or sums."),
        ("needs = ('loss',)", "Foo.needs holds 'loss'. Write 'slot.ability', 'start.slot.ability', 'self.parameter'"),
        ("needs = ('start.conditioner',)", "Foo.needs holds 'start.conditioner'. Write 'slot.ability'"),
        ("needs = ('loss.straight | self.mode=fast',)", "Foo.needs holds 'self.mode=fast'. Write 'slot.ability'"),
    ],
)
def test_slip_in_what_a_part_says_of_itself_breaks_that_part_alone(install: Install, fact: str, reason: str) -> None:
    hook = "[registry.add(f'sampler.{name}', f'acme_fact.parts:{name}') for name in ('Foo', 'Good')]"
    install("acme_fact", hook=hook, parts=f"class Foo:\n    {fact}\nclass Good: ...\n")
    catalog = load_catalog()
    broken = catalog.broken_parts(report_on(catalog, "acme_fact"))
    assert list(broken) == ["sampler.Foo"]
    assert reason in broken["sampler.Foo"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("acme_gone.parts:Bar", "There is no class or function 'Bar' in "),
        ("acme_gone.parts:VALUE", "There is no class or function 'VALUE' in "),
        ("acme_gone.missing:Foo", "There is no module 'acme_gone.missing'."),
        ("missing_acme.parts:Foo", "There is no module 'missing_acme.parts'."),
        ("math:Foo", "The module 'math' has no Python source to read."),
        ("acme_gone.broken:Foo", "broken.py:1: invalid syntax."),
        ("acme_gone.sums:Foo", "Foo.provides is not a literal. Spell it out, without names or sums."),
        ("acme_gone.tuples:Foo", "Foo.measures is ('fd',). Write each number and which end of it is better, such as"),
        ("acme_gone.ends:Foo", "Foo.measures is {'fd': 'low'}. Write each number and which end of it is better, such as"),
    ],
)
def test_missing_target_breaks_that_part_alone(install: Install, target: str, reason: str) -> None:
    hook = f"registry.add('sampler.Foo', '{target}'); registry.add('sampler.Good', 'acme_gone.parts:Foo')"
    sums = "class Foo:\n    provides = ('a', *OTHERS)\n"
    tuples, ends = "class Foo:\n    measures = ('fd',)\n", "class Foo:\n    measures = {'fd': 'low'}\n"
    modules = {"broken": "class:\n", "sums": sums, "tuples": tuples, "ends": ends}
    install("acme_gone", hook=hook, parts=FOO + "VALUE = 3\n", **modules)
    catalog = load_catalog()
    found = report_on(catalog, "acme_gone")
    assert found.status == "loaded"
    broken = catalog.broken_parts(found)
    assert list(broken) == ["sampler.Foo"]
    assert reason in broken["sampler.Foo"]
    with pytest.raises(BrokenPartError, match=r"The part sampler.Foo of plugin acme_gone \(acme_gone-dist 1.0\) cannot"):
        catalog.surface("sampler.Foo")


def test_part_that_cannot_be_imported_names_its_plugin(install: Install) -> None:
    install("acme_late", hook="registry.add('sampler.Foo', 'acme_late.parts:Foo')", parts="import nowhere_at_all\n" + FOO)
    catalog = load_catalog()
    assert catalog.surface("sampler.Foo").summary == "A foo."
    with pytest.raises(BrokenPartError, match=r"plugin acme_late \(acme_late-dist 1.0\).*No module named 'nowhere_at_all'"):
        catalog.load("sampler.Foo")


def test_failed_plugin_is_blamed_for_what_it_could_have_provided(install: Install) -> None:
    install("acme_import", init="raise RuntimeError\n")
    install("acme_taken", hook="registry.add('sampler.Foo', 'a:Foo'); registry.add('sampler.Uniform', 'a:B')")
    catalog = load_catalog()
    blamed = {
        name: {found.name for found in catalog.broken(name) if found.name.startswith("acme")}
        for name in ("Foo", "sampler.Foo", "sampler.Bar", "oo")
    }
    everybody, unknown = {"acme_import", "acme_taken"}, {"acme_import"}
    assert blamed == {"Foo": everybody, "sampler.Foo": everybody, "sampler.Bar": unknown, "oo": unknown}


@pytest.mark.parametrize(
    ("only", "loaded"),
    [
        ("acme_x", {"acme_x", "genever-sampler", "genever-loss"}),
        ("", {"genever-sampler", "genever-loss"}),
        ("=acme_y, genever-loss", {"acme_y", "genever-loss"}),
        ("=", set()),
    ],
)
def test_environment_limits_what_is_loaded(
    install: Install, monkeypatch: pytest.MonkeyPatch, only: str, loaded: set[str]
) -> None:
    install("acme_x")
    install("acme_y")
    monkeypatch.setenv("GENEVER_PLUGINS", only)
    watched = {"acme_x", "acme_y", "genever-sampler", "genever-loss"}
    reports = [found for found in load_catalog().reports if found.name in watched]
    assert {found.name for found in reports if found.status == "loaded"} == loaded
    assert {found.status for found in reports if found.name not in loaded} <= {"left out"}


def test_environment_that_names_no_plugin_is_refused(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme_z")
    monkeypatch.setenv("GENEVER_PLUGINS", "acme_zz")
    with pytest.raises(UserError, match=r"GENEVER_PLUGINS names 'acme_zz', which is not installed. Did you mean 'acme_z'\?"):
        load_catalog()


def test_what_a_plugin_prints_stays_out_of_standard_output(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("acme_loud", init="print('hello')\n")
    load_catalog()
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("selector", "names"),
    [("Foo", ("codec.Foo", "sampler.Foo")), ("sampler.Foo", ("sampler.Foo",)), ("oo", ()), ("foo", ())],
)
def test_name_is_found_by_its_last_words(selector: str, names: tuple[str, ...]) -> None:
    catalog = Catalog(targets={"sampler.Foo": "a:Foo", "codec.Foo": "a:Foo"}, providers={}, reports=())
    assert catalog.find(selector) == names
