"""Every kind of mistake, with the exact message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Checked = Callable[..., list[str]]

#: Blocks of what is put into a good file, and '> ' with all that is said of it.
BLOCKS = (Path(__file__).parent / "mistakes.txt").read_text("utf-8").strip().split("\n\n")
OTHER_FILES = {"base.gin": "WIDTH = 3\n", "c.gin": "include 'x.gin'\n", "std.gin": "LogitNormal.std = 4.0\n"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition("\n")[0])
def test_mistake_gets_its_message(block: str, checked: Checked, good_but: Callable[[str], str]) -> None:
    text = "\n".join(line for line in block.split("\n") if not line.startswith("> "))
    expected = [line[2:] for line in block.split("\n") if line.startswith("> ")]
    assert expected
    assert checked({"x.gin": good_but(text), **OTHER_FILES}) == expected


def test_table_holds_many_kinds_of_mistake() -> None:
    assert len(set(BLOCKS)) == len(BLOCKS) >= 100


FINE = (
    "  train.compile = True",
    "train:\n  # a block\n  compile = True\n  clip_norm = None",
    "train.trackers = [@Any()]\nAny.other = 'x'",
    "K = 'ema'\ntrain.averages = {%K: @Constant()}\nConstant.decay = 0",
    "A = 5\nB = %A\ntrain.steps = %B",
    "train.sampler = @outer/Shifted()\nShifted.inner = @LogitNormal()\nouter/LogitNormal.std = 2",
    "train.betas = (\n  0.5,\n  1,  # a whole number is a number\n)",
    "train.aligner = @REPA()\nREPA.encoder = None",
    "train.loss = @loss.Huber()\nloss.Huber.inner = @FlowMatching()",
    "train.keep_best = 'validation_loss'",
    "train.keep_best = 'raw/validation_loss_t0.125'",
    "train.keep_best = 'accuracy'\ntrain.metrics = [@Agreement()]",
    "train.keep_best = 'accuracy'\ntrain.metrics = [@Agreement(), @FD()]\nFD.encoder = None",
    "train.keep_best = 'reward'\ntrain.metrics = [@Named()]",
    "train.keep_best = 'ink'\ntrain.metrics = [@Agreement(), @Named()]\nNamed.name = 'ink'",
    "train.keep_best = 'other_ink'\ntrain.metrics = [@Other()]\nOther.metric = @Named()\nNamed.name = 'ink'",
    "train.trackers = [@Any()]\nAny.guidance = @Away()\nAway.scale = 1.0",
    "train.trackers = [@Any()]\nAny.guidance = @Away()\ntrain.conditioner = @Dropping()",
    "train.trackers = [@Any()]\nAny.guidance = @Away()\ntrain.conditioner = @Around()\nAround.conditioner = @Dropping()",
    "train.trackers = [@Any()]\nAny.distiller = @Derived()\nDerived.how = 'differences'",
    "train.conditioner = @Dropping()\nDropping.table = 'a class that is called like a slot is another'",
)


@pytest.mark.parametrize("text", FINE, ids=lambda text: text.partition("\n")[0])
def test_nothing_is_said_of_what_is_right(text: str, checked: Checked, good_but: Callable[[str], str]) -> None:
    assert checked({"x.gin": good_but(text)}) == []


BINDINGS = {
    "train.steps": "'train.steps' has no '='. Write -b 'Part.parameter = value'.",
    "": "'' has no '='. Write -b 'Part.parameter = value'.",
    "include 'a=b.gin'": "\"include 'a=b.gin'\" is not a binding. "
    "Write include statements into the gin file; -b takes 'Part.parameter = value'.",
    "train.steps = ten": "'ten' in 'train.steps = ten' is not a value. "
    "A text needs quotes, a part '@Name()', a macro '%NAME'.",
    "train.steps = [": "A bracket or a line that begins in 'train.steps = [' is never closed. Close it.",
    "train.steps = 'x'": "train.steps wants a whole number, not the text 'x'.",
    "train.stpes = 5": "train has no parameter stpes. Did you mean steps? It has: data, loss, sampler, backbone, "
    "conditioner, aligner, start, metrics, averages, trackers, steps, betas, precision, clip_norm, compile, "
    "evaluate_weights, validate_samples, keep_best, log_every.",
    "steps = 5": "steps = 5 sets a macro that nothing uses. Did you mean train.steps = 5?",
}


@pytest.mark.parametrize("binding", BINDINGS)
def test_bad_binding_of_the_command_line_gets_its_message(binding: str, checked: Checked, good: str) -> None:
    found = checked({"x.gin": good}, "train.compile = True", binding)
    assert found == [f"-b:2: error: {BINDINGS[binding]}"]


def test_binding_of_the_command_line_overrides_silently(checked: Checked, good: str) -> None:
    assert checked({"x.gin": good}, "train.steps = 5") == []
    twice = checked({"x.gin": good}, "train.steps = 5", "train.steps = 6")
    assert twice == ["-b:2: warning: train.steps was already set to 5 at -b:1. Leave one of the two out."]


FILES = {
    b"": "The file is empty. Write at least train.data, train.backbone, train.loss, train.sampler and train.steps.",
    b" \n\n": "The file is empty. Write at least train.data, train.backbone, train.loss, train.sampler and train.steps.",
    b"train.steps = '\xff'\n": "The file is not UTF-8 text: byte 15 is 0xff (x.gin). Save it as UTF-8.",
    b"# x\n" * 20_000: "The file is not a text file of at most 64 KiB (x.gin). Name a gin file.",
    b"# " + b"x" * 5000: "The file has more than 4000 characters in line 1 (x.gin). Write shorter lines.",
}


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_odd_file_gets_its_message(content: bytes, checked: Checked) -> None:
    assert checked({"x.gin": content}) == [f"x.gin:1: error: {FILES[content]}"]


def test_byte_order_mark_and_foreign_line_ends_are_read(checked: Checked, good: str) -> None:
    assert checked({"x.gin": b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode()}) == []


def test_missing_file_names_its_neighbours(checked: Checked, good: str, problems_of: Checked) -> None:
    checked({"pretrain.gin": good, "other.gin": good})
    assert problems_of("pretrian.gin") == [
        "pretrian.gin:1: error: The file does not exist: pretrian.gin. Did you mean pretrain.gin?"
    ]
    assert problems_of("zzz/a.gin") == [
        "zzz/a.gin:1: error: The file does not exist: zzz/a.gin. The directory zzz does not exist either."
    ]


def test_directory_is_no_experiment(checked: Checked, good: str, problems_of: Checked) -> None:
    checked({"folder/pretrain.gin": good})
    message = "folder:1: error: The file is a directory (folder). Name a gin file in it, such as pretrain.gin."
    assert problems_of("folder") == [message]


def test_includes_deeper_than_the_limit_are_refused(checked: Checked, good: str) -> None:
    files = {"x.gin": good + "include '0.gin'\n", **{f"{n}.gin": f"include '{n + 1}.gin'\n" for n in range(40)}}
    message = "30.gin:1: error: include '31.gin' lies more than 32 includes deep. Include fewer files in each other."
    assert checked(files) == [message]


def test_includes_that_multiply_are_refused(checked: Checked, good: str) -> None:
    files = {"x.gin": good + "include '0.gin'\n", **{f"{n}.gin": f"include '{n + 1}.gin'\n" * 2 for n in range(25)}}
    assert "makes this experiment longer than 256 KiB" in checked({**files, "25.gin": ""})[0]


def test_include_is_relative_to_the_including_file(checked: Checked, good: str) -> None:
    files = {"a/x.gin": "include '../b/y.gin'\n", "b/y.gin": "include 'z.gin'\n", "b/z.gin": good}
    assert checked(files) == []


def test_include_read_twice_may_undo_what_stood_between(checked: Checked, good: str) -> None:
    files = {
        "x.gin": "include 'a.gin'\ninclude 'b.gin'\n",
        "a.gin": "include 'base.gin'\ntrain.steps = 3\n",
        "b.gin": "include 'base.gin'\n",
        "base.gin": good,
    }
    message = "This include sets train.steps to 10 (base.gin:5) and undoes 3 of a.gin:2. Move the include above it."
    assert checked(files) == [f"b.gin:1: warning: {message}"]


def test_include_read_twice_may_undo_what_a_file_beside_it_set(checked: Checked, good: str) -> None:
    files = {
        "x.gin": "include 'base.gin'\ninclude 'mix.gin'\ninclude 'b.gin'\n",
        "mix.gin": "STEPS = 4\ntrain.compile = False\ntrain.clip_norm = 2.0\n",
        "b.gin": "include 'base.gin'\ntrain.clip_norm = 3.0\n",
        "base.gin": good.replace("10", "%STEPS") + "STEPS = 3\ntrain.compile = False\n",
    }
    message = "This include sets %STEPS to 3 (base.gin:6) and undoes 4 of mix.gin:1. Move the include above it."
    assert checked(files) == [f"b.gin:1: warning: {message}"]


def test_what_an_override_leaves_without_effect_is_no_mistake(checked: Checked, good: str) -> None:
    base = "S = 0.5\n" + good.replace("@LogitNormal", "@Shifted") + "Shifted.inner = @LogitNormal()\nLogitNormal.std = %S\n"
    assert checked({"x.gin": "include 'base.gin'\ntrain.sampler = @Uniform()\n", "base.gin": base}) == []
    assert checked({"x.gin": base}, "train.sampler = @Uniform()") == []


def test_value_for_a_part_that_the_same_file_gives_up_has_no_effect(checked: Checked, good: str) -> None:
    text = "include 'base.gin'\ntrain.sampler = @Uniform()\nLogitNormal.std = 3.0\n"
    found = checked({"x.gin": text, "base.gin": good + "LogitNormal.mean = 1.0\n"})
    message = "sampler.LogitNormal.std has no effect: train does not reach sampler.LogitNormal. Use it or leave it out."
    assert found == [f"x.gin:3: warning: {message}"]


def test_all_problems_come_in_one_pass(checked: Checked) -> None:
    text = "train.los = 3\ntrain.precision = fp8\ntrain..x = 1\ninclude 'no.gin'\nDiT.widht = 3\ntrain.backbone = @DiTT()\n"
    found = checked({"x.gin": text})
    assert [line.split(": ")[0] for line in found] == [f"x.gin:{n}" for n in range(1, 7)]


def test_macros_that_multiply_are_refused(checked: Checked, good: str) -> None:
    lines = ["M0 = [1, 1]", *(f"M{n + 1} = [%M{n}, %M{n}]" for n in range(15)), "train.keep_best = %M15"]
    message = "The macros of this value make it too large. Use fewer of them in each other."
    assert checked({"x.gin": good + "\n".join(lines)}) == [f"x.gin:19: error: {message}"]


def test_value_nested_beyond_the_parser_is_refused(checked: Checked, good_but: Callable[[str], str]) -> None:
    found = checked({"x.gin": good_but("train.metrics = " + "[" * 1500 + "]" * 1500)})
    assert [line.partition(" is nested")[2] for line in found] == [" more than 20 deep. Write it flatter."]


def test_number_too_long_to_be_written_is_refused(checked: Checked, good: str) -> None:
    message = "train.steps: a whole number of 16000 bits is too large. Write one of at most 1000 bits."
    assert checked({"x.gin": good}, f"train.steps = 0x{'f' * 4000}") == [f"-b:1: error: {message}"]


def test_control_characters_are_shown_escaped(checked: Checked, good: str) -> None:
    found = checked({"x.gin": good + "train.keep_best = 'a\0b'\n"})
    assert found == [
        "x.gin:6: error: \"'a\\x00b'\" in \"train.keep_best = 'a\\x00b'\" is not a value. "
        "A text needs quotes, a part '@Name()', a macro '%NAME'."
    ]
