"""Runs on disk, brought to life: trained from their directory, or opened to be sampled and judged."""

from genever.execution._execute import execute
from genever.execution._open import Opened, Start, measure, open_run, pick_device

__all__ = ["Opened", "Start", "execute", "measure", "open_run", "pick_device"]
