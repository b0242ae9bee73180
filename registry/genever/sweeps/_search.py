"""The next run of a search, from all that is known of those before it. Optuna proposes; the manifest is all its memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from genever.sweeps._distributions import Choice, Distribution, Int, LogUniform, Uniform, number
from genever.sweeps._sweep import Point, Search, Setting

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

__all__ = ["Direction", "Trial", "measured", "probes", "propose"]

Direction: TypeAlias = Literal["minimize", "maximize"]

_LEAST = 1e-9


@dataclass(frozen=True)
class Trial:
    """A run of a search.

    Args:
        drawn: gin text by key.
        is_over: whether nothing more is to come of it.
        value: of the metric. None = it failed, or is not over.
    """

    drawn: Mapping[str, str]
    is_over: bool
    value: float | None = None


def propose(search: Search, direction: Direction, trials: Sequence[Trial]) -> Point:
    """What to try after these: a function of the search and the trials alone, so a search that was killed goes on as if not.

    Args:
        direction: of what is better.
        trials: in the order in which they were proposed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {key: _distribution(one) for key, one in search.over.items()}
    # What was random in a trial follows from its number, so that nothing has to be remembered of a generator.
    digest = hashlib.sha256(f"{search.seed}/{len(trials)}".encode()).digest()
    study = optuna.create_study(
        direction=direction,
        sampler=optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big")),
    )
    study.add_trials([told for trial in trials if (told := _told(trial, distributions))])
    found = study.ask(fixed_distributions=distributions).params
    return tuple(Setting(key, _text(one, found[key]), search.places[key]) for key, one in search.over.items())


def probes(search: Search) -> list[Point]:
    """Points that show whether all that may be proposed can be composed: each key at its ends, or at each of its choices."""
    found: list[Point] = []
    for key, one in search.over.items():
        num = len(one.values) if isinstance(one, Choice) else 0
        quantiles = [(index + 0.5) / num for index in range(num)] or [_LEAST, 1 - _LEAST]
        for quantile in quantiles:
            drawn = {other: search.over[other].at(0.5) for other in search.over} | {key: one.at(quantile)}
            found.append(tuple(Setting(name, text, search.places[name]) for name, text in drawn.items()))
    return found


def measured(results: Mapping[str, float | None], metric: str) -> float | None:
    """A run's value of a metric, named with or without the weights' name; None where it has none that is finite."""
    for name, value in results.items():
        if metric in (name, name.partition("/")[2]) and value is not None and math.isfinite(value):
            return value
    return None


def _distribution(one: Distribution) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match one:
        case Uniform(low, high):
            return FloatDistribution(low, high)
        case LogUniform(low, high):
            return FloatDistribution(low, high, log=True)
        case Int(low, high):
            return IntDistribution(low, high)
        case Choice(values):
            return CategoricalDistribution(values)
    raise AssertionError(one)


def _text(one: Distribution, value: Any) -> str:
    match one:
        case Uniform(low, high) | LogUniform(low, high):
            return number(value, low, high)
        case Choice():
            return str(value)
    return str(int(value))


def _told(trial: Trial, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial | None:
    """A trial as Optuna knows it; None where an earlier version of the file drew it otherwise."""
    from optuna.distributions import CategoricalDistribution, IntDistribution
    from optuna.trial import TrialState, create_trial

    state = TrialState.RUNNING if not trial.is_over else TrialState.FAIL if trial.value is None else TrialState.COMPLETE
    params: dict[str, Any] = dict(trial.drawn)
    try:
        for key, one in distributions.items():
            if not isinstance(one, CategoricalDistribution):
                params[key] = (int if isinstance(one, IntDistribution) else float)(params[key])
        return create_trial(state=state, value=trial.value, params=params, distributions=dict(distributions))
    except (KeyError, ValueError):
        return None
