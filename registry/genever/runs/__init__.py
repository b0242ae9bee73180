"""Runs on disk: their directories, and how to find them. Nothing here imports torch."""

from genever.runs._directory import RunDirectory, find_run, git_state, known_experiments, write_whole

__all__ = ["RunDirectory", "find_run", "git_state", "known_experiments", "write_whole"]
