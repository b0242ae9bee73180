"""Thousands of files that somebody's hand slipped on: an answer within a second, and never a traceback."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.command import main
from genever.parts import Catalog

BLOCKS = (Path(__file__).parent / "mistakes.txt").read_text("utf-8").strip().split("\n\n")
TEXTS = ["\n".join(line for line in block.split("\n") if not line.startswith("> ")) for block in BLOCKS]
TOKENS = [
    *"@%()[]{},:=\n'\"\\/.#$\t\r-;0\x00\x0c\u2028é€²𝔘",
    "'''",
    "\n  ",
    "1e9",
    "include 'x.gin'\n",
    "import a\n",
    "train.",
    "DiT",
    "%A",
    "@DiT()",
    "gin.",
    "None",
    "lambda",
    "\ufeff",
]


def mutated(text: str, rng: random.Random) -> bytes:
    """A text after a few slips of the hand."""
    for _ in range(rng.randint(1, 5)):
        start = rng.randrange(len(text) + 1)
        stop = min(len(text), start + rng.randint(0, 6))
        slips = (
            text[:start] + rng.choice(TOKENS) + text[start:],
            text[:start] + text[stop:],
            text[:start] + rng.choice(TOKENS) + text[stop:],
            text[:start] + text[start:stop] * rng.randint(2, 99) + text[stop:],
            "\n".join(rng.sample(lines := text.split("\n"), len(lines))),
        )
        text = rng.choice(slips)
    content = text.encode()
    cut = rng.randrange(len(content) + 1)
    return content[:cut] + b"\xff" + content[cut:] if rng.random() < 0.03 else content


@pytest.mark.parametrize("seed", range(6))
def test_mutated_file_gets_an_answer(
    seed: int,
    catalog: Catalog,
    good_but: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genever.command._check.load_catalog", lambda: catalog)
    monkeypatch.setattr("genever.command._explain.load_catalog", lambda: catalog)
    rng = random.Random(seed)
    for number in range(400):
        Path("x.gin").write_bytes(mutated(good_but(rng.choice(TEXTS)), rng))
        began = time.process_time()  # What others do at the same moment is not our time.
        code = main(["check", "x.gin"])
        seconds = time.process_time() - began
        said = capsys.readouterr()
        assert (code, seconds < 1) in ((0, True), (2, True))
        assert (code == 2) == (" error: " in said.err)
        if number % 10 == 0:
            assert main(["explain", "x.gin"]) == code
            capsys.readouterr()
