"""Runs on disk: their directories, and how to find them. Nothing here imports torch."""

from genever.runs._directory import RunDirectory, find_run, git_state, known_experiments, runs_below, write_whole
from genever.runs._freeze import create_run, surroundings
from genever.runs._list import list_runs

__all__ = [
    "RunDirectory",
    "create_run",
    "find_run",
    "git_state",
    "known_experiments",
    "list_runs",
    "runs_below",
    "surroundings",
    "write_whole",
]
