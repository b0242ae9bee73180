"""Sweeps: many runs of one experiment, or of several in a row, from one file. Nothing here imports torch."""

from genever.sweeps._alone import alone_at, alone_in, is_driven
from genever.sweeps._compose import Composer
from genever.sweeps._cost import Cost, Speedometer, cost_of
from genever.sweeps._drive import Driver, trials_of
from genever.sweeps._expand import Variant, expand
from genever.sweeps._manifest import Element, Manifest, StageRecord, SweepDirectory, find_sweep, known_sweeps, open_sweep
from genever.sweeps._plan import Plan
from genever.sweeps._prepare import Prepared, prepare
from genever.sweeps._read import read_sweep
from genever.sweeps._search import Trial, measured
from genever.sweeps._state import conditions
from genever.sweeps._submit import Submission, Submitter, continues, retries
from genever.sweeps._sweep import Search, Setting, Stage, Sweep

__all__ = [
    "Composer",
    "Cost",
    "Driver",
    "Element",
    "Manifest",
    "Plan",
    "Prepared",
    "Search",
    "Setting",
    "Speedometer",
    "Stage",
    "StageRecord",
    "Submission",
    "Submitter",
    "Sweep",
    "SweepDirectory",
    "Trial",
    "Variant",
    "alone_at",
    "alone_in",
    "conditions",
    "continues",
    "cost_of",
    "expand",
    "find_sweep",
    "is_driven",
    "known_sweeps",
    "measured",
    "open_sweep",
    "prepare",
    "read_sweep",
    "retries",
    "trials_of",
]
