"""Every kind of mistake of a sweep file, with the exact message."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from genever.errors import UserError
from genever.sweeps import read_sweep

#: Blocks of a file, and '> LINE: ' with all that is said of it.
BLOCKS = (Path(__file__).parent / "mistakes.txt").read_text("utf-8").strip().split("\n\n")
SHIPPED = sorted((Path(__file__).parents[3] / "experiments/sweeps").glob("*.yaml"))
FILE = "experiments/sweeps/a.yaml"
Write = Callable[[str], Path]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.replace("\n", " ")[:60])
def test_mistake_gets_its_message(block: str, sweep_file: Write) -> None:
    text = "\n".join(line for line in block.split("\n") if not line.startswith("> "))
    expected = [line[2:].split(": ", 1) for line in block.split("\n") if line.startswith("> ")]
    with pytest.raises(UserError) as caught:
        read_sweep(sweep_file(text + "\n"))
    num = f"{len(expected)} mistake{'s' * (len(expected) > 1)}"
    lines = [f"{FILE}:{line}: error: {message}" for line, message in expected]
    assert str(caught.value).split("\n") == [f"{FILE} has {num}; nothing was submitted.", *lines]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty. Write at least 'experiment:' and what to vary."),
        (b"a: \xff", "The file is not UTF-8 text: byte 3 is 0xff. Save it as UTF-8."),
        (b"a: \x00", "There is a character that YAML does not allow, 0x0. Take it out."),
        (b"a:\n\t- 1", "'- 1' is indented with a tab, which YAML does not allow. Use spaces."),
        (b"a: " + b"[" * 500 + b"]" * 500, "A value is nested more than 20 deep. Write it flatter."),
        (b"a: " + b"[" * 9000 + b"]" * 9000, "A value is nested more than 20 deep. Write it flatter."),
        (b"a: &a [*a]", "A value is nested more than 20 deep. Write it flatter."),
        (b"#" * (1 << 21), "The file is larger than 1 MiB. Name a sweep file."),
    ],
)
def test_odd_file_is_refused(content: bytes, message: str, sweep_file: Write) -> None:
    file = sweep_file("")
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_sweep(file)
    assert str(caught.value).partition("error: ")[2] == message


@pytest.mark.parametrize("num_digits", [400, 5000])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("vary: {{seeds: {}}}", "vary.seeds is '?9+"),
        ("search: {{metric: fd, num: 2, over: {{AdamW.lr: {{uniform: [0, {}]}}}}}}", "uniform takes"),
        ("vary: {{random: {{num: 2, over: {{AdamW.lr: {{int: [0, {}]}}}}}}}}", "int takes"),
    ],
)
def test_number_of_endless_digits_is_refused(line: str, message: str, num_digits: int, sweep_file: Write) -> None:
    text = f"experiment: ../digits/pretrain.gin\n{line.format('9' * num_digits)}\n"
    with pytest.raises(UserError, match=f":2: error: .*{message}"):
        read_sweep(sweep_file(text))


def test_aliases_of_aliases_do_not_fill_the_memory(sweep_file: Write) -> None:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [
        f"{one}: &{one} [{', '.join([f'*{before}'] * 10)}]" for before, one in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    with pytest.raises(UserError, match="more than 100,000 values"):
        read_sweep(sweep_file("\n".join(lines)))


def test_missing_file_names_the_nearest(folder: Path, sweep_file: Write) -> None:
    sweep_file("")
    with pytest.raises(UserError, match=r"There is no file 'b\.yaml' here\. Did you mean a\.yaml\?"):
        read_sweep("experiments/sweeps/b.yaml")


def test_folder_is_no_file(folder: Path, sweep_file: Write) -> None:
    with pytest.raises(UserError, match=r"experiments/sweeps:1: error: This is a folder\. Name a sweep file in it\."):
        read_sweep("experiments/sweeps")


PIECES = (
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "@A()",
    "%Z",
    "'",
    "null",
    "1e9",
    "-1",
    "[]",
    "\n",
    "  ",
    "# ",
    "&a ",
    "*a",
    "!x ",
    "~",
)
WORDS = (
    "grid",
    "seeds",
    "over",
    "stages",
    "vary",
    "search",
    "experiment",
    "train.seed",
    "1e400",
    "true",
    "\0",
    "(",
    "9" * 30,
)


@pytest.mark.parametrize("seed", range(200))
def test_mutated_file_is_read_or_refused(seed: int, sweep_file: Write) -> None:
    rng = random.Random(seed)
    text = rng.choice([block.partition("\n>")[0] for block in BLOCKS] + [file.read_text("utf-8") for file in SHIPPED])
    for _ in range(rng.randrange(1, 6)):
        begin = rng.randrange(len(text) + 1)
        text = text[:begin] + rng.choice((*PIECES, *WORDS)) + text[begin + rng.choice((0, 0, 1, 9)) :]
    with suppress(UserError):
        assert sum(read_sweep(sweep_file(text)).sizes.values()) >= 1


def test_table_holds_many_kinds_of_mistake() -> None:
    assert len(set(BLOCKS)) == len(BLOCKS) >= 40
