"""Runs on disk: their directories, and how to find them. Nothing here imports torch."""

from genever.runs._directory import RunDirectory, find_run, finished_runs, git_state, write_whole

__all__ = ["RunDirectory", "find_run", "finished_runs", "git_state", "write_whole"]
