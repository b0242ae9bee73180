"""Sweeps: many runs of one experiment, or of several in a row, from one file. Nothing here imports torch."""

from genever.sweeps._manifest import Element, Manifest, StageRecord, SweepDirectory, known_sweeps, open_sweep

__all__ = ["Element", "Manifest", "StageRecord", "SweepDirectory", "known_sweeps", "open_sweep"]
