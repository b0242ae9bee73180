"""The rise that schedules start with."""

from __future__ import annotations

__all__ = ["decay_progress", "warmed"]


def warmed(step: int, warmup_steps: int) -> float:
    """(step + 1) / warmup_steps, at most 1: the first step learns, and step warmup_steps - 1 has the full rate."""
    return 1.0 if step >= warmup_steps else (step + 1) / warmup_steps


def decay_progress(step: int, num_steps: int, warmup_steps: int) -> float:
    """0 until warm-up ends, 1 at num_steps, which is one past the last step."""
    return min(1.0, max(0, step - warmup_steps) / max(1, num_steps - warmup_steps))
