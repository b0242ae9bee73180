"""Runs on disk, brought to life: trained from their directory, or opened to be sampled and judged."""

from genever.execution._contest import Contest, Judged
from genever.execution._execute import FAILED, FINISHED, REQUEUE, STOPPED, WRONG, execute
from genever.execution._mixed import mixed
from genever.execution._open import Measured, Opened, RunsUnder, Start, measure, open_run, pick_device, set_in_vain
from genever.execution._ranks import Place

__all__ = [
    "FAILED",
    "FINISHED",
    "REQUEUE",
    "STOPPED",
    "WRONG",
    "Contest",
    "Judged",
    "Measured",
    "Opened",
    "Place",
    "RunsUnder",
    "Start",
    "execute",
    "measure",
    "mixed",
    "open_run",
    "pick_device",
    "set_in_vain",
]
