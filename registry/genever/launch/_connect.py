"""From a profile to the cluster that it describes."""

from __future__ import annotations

from pathlib import Path

from genever.launch._cluster import Cluster
from genever.launch._local import LocalQueue
from genever.launch._profile import Profile
from genever.launch._slurm import Slurm

__all__ = ["connect"]


def connect(profile: Profile, root: Path, *, code: Path | None = None) -> Cluster:
    """The cluster that a profile describes.

    Args:
        root: where runs live; every machine of the cluster sees it under the same path.
        code: the snapshot that jobs run from, from `freeze_code`. None = what is installed.
    """
    return (LocalQueue if profile.kind == "local" else Slurm)(profile, root, code)
