"""Sweeps: many runs of one experiment, or of several in a row, from one file. Nothing here imports torch."""

from genever.sweeps._expand import Variant, expand
from genever.sweeps._manifest import Element, Manifest, StageRecord, SweepDirectory, known_sweeps, open_sweep
from genever.sweeps._read import read_sweep
from genever.sweeps._sweep import Search, Setting, Stage, Sweep

__all__ = [
    "Element",
    "Manifest",
    "Search",
    "Setting",
    "Stage",
    "StageRecord",
    "Sweep",
    "SweepDirectory",
    "Variant",
    "expand",
    "known_sweeps",
    "open_sweep",
    "read_sweep",
]
