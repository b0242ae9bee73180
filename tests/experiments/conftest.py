"""The files that some experiments read, made once for all tests: real images, and models that have hardly learned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/local-files"


@pytest.fixture(scope="session")
def local_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tools/local-files` in short form, called for where a call before it was killed."""
    folder = tmp_path_factory.mktemp("beside") / "files"
    (folder / ".clip.unfinished").mkdir(parents=True)
    (folder / ".clip.unfinished/config.json").write_text("half")
    subprocess.run([sys.executable, TOOL, folder, "--steps", "2"], check=True, capture_output=True)
    return folder
