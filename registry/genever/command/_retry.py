"""`genever retry SWEEP|RUN`: what failed is submitted again."""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import replace
from pathlib import Path

from genever.command._sweep import report
from genever.command._train import submit
from genever.errors import UserError
from genever.launch import Profile, RunJob, look, read_profile
from genever.parts import load_catalog
from genever.runs import RunDirectory
from genever.sweeps import Composer, Submitter, SweepDirectory, alone_in, find_sweep, retries

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="SWEEP|RUN", help="a sweep's name, directory or file, or a run's directory")
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")
    parser.add_argument("--on", metavar="PROFILE", help="the profile to run on, in place of the one before")
    parser.add_argument(
        "--set", action="append", default=[], metavar="'KEY=VALUE'", help="overrides a setting of the profile; repeatable"
    )


def run(arguments: argparse.Namespace) -> int:
    """Submits what failed or was lost, and what could not start because of that; a run goes on from what it saved."""
    sweep = find_sweep(arguments.name, arguments.root)
    directory = RunDirectory(Path(arguments.name))
    if sweep:
        _retry_sweep(sweep, arguments)
        print(sweep.path)
    elif directory.is_legible:
        _retry_run(directory, arguments)
        print(directory.path)
    else:
        raise UserError(f"{arguments.name!r} is neither a sweep in {arguments.root!r} nor a run's directory.")
    return 0


def _retry_sweep(sweep: SweepDirectory, arguments: argparse.Namespace) -> None:
    with alone_in(sweep.root):
        manifest = SweepDirectory(sweep.path).manifest
        stages = [
            replace(stage, profile=_profile(arguments, Profile.from_dict(stage.profile), Path(manifest.file)).to_dict())
            for stage in manifest.stages
        ]
        sweep = sweep.write(replace(manifest, stages=tuple(stages)))
        submitter = Submitter(Composer(load_catalog(), sweep.root, manifest.starts))
        submission = submitter.submit(sweep, retries)
    report(submission)


def _retry_run(run: RunDirectory, arguments: argparse.Namespace) -> None:
    [found] = look([run])
    if found.is_live or found.kind == "finished":
        raise UserError(f"{run.path} is {found.kind}; there is nothing to try again.")
    folder = RunJob(run.path).folder
    if folder is None and arguments.on is None:
        raise UserError(
            f"{run.path} was never submitted. Name a profile with --on, or go on here: genever resume {run.path}."
        )
    profile = _profile(arguments, folder.profile if folder else None, Path.cwd())
    root = run.path.resolve().parents[len(Path(run.facts["experiment"]).parts)]
    submit(run, load_catalog(), profile, root)


def _profile(arguments: argparse.Namespace, before: Profile | None, near: Path) -> Profile:
    """The profile that was asked for, else the one before, with what --set changes."""
    said = dict.fromkeys(arguments.set, "--set")
    if arguments.on is not None or before is None:
        return read_profile(arguments.on or "local", said, near=near)
    return read_profile(before.kind, {**_settings(before), **said}, near=near) if said else before


def _settings(profile: Profile) -> dict[str, str]:
    """A profile as the settings that --set would take, each with its place."""
    values = {key: value for key, value in profile.to_dict().items() if key not in ("name", "places", "slurm")}
    values |= {f"slurm.{key}": value for key, value in dataclasses.asdict(profile.slurm).items()}
    return {f"{key}={json.dumps(value)}": profile.places.get(key, profile.name) for key, value in values.items()}
