"""`genever sweep FILE --dry-run`: every run of a sweep, and what it would cost."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from genever.command._columns import columns
from genever.launch import Condition, Profile, look
from genever.sweeps import Cost, Prepared, Search, Speedometer, cost_of

__all__ = ["dry_run"]


def dry_run(prepared: Prepared, *, as_json: bool) -> str:
    """The runs as a table, then what each stage would cost; or both as JSON."""
    conditions = _conditions(prepared)
    costs = _costs(prepared, conditions)
    if as_json:
        return json.dumps(_answer(prepared, conditions, costs), indent=1)
    blocks = [_table(prepared, conditions)] if prepared.plans else []
    blocks += [_search(prepared.sweep.search, prepared.metric)] if prepared.sweep.search and prepared.metric else []
    blocks += ["\n".join(_cost(stage, prepared.profiles[stage], cost) for stage, cost in costs.items())]
    return "\n\n".join([*blocks, *([prepared.missing] if prepared.missing else [])])


def _conditions(prepared: Prepared) -> dict[int, Condition]:
    """How the runs are that there are already, by the number of the variant."""
    runs = [plan.run for plan in prepared.plans if plan.run]
    found = dict(zip([run.path for run in runs], look(runs), strict=True))
    return {plan.variant.number: found[plan.run.path] for plan in prepared.plans if plan.run}


def _costs(prepared: Prepared, conditions: Mapping[int, Condition]) -> dict[str, Cost]:
    """What is left to do would cost, by stage."""
    speedometer, found = Speedometer(prepared.directory.root), {}
    for stage in prepared.sweep.stages:
        plans = prepared.to_do(stage.name, conditions)
        found[stage.name] = cost_of(plans, prepared.profiles[stage.name], stage.runs_per_job, speedometer)
    return found


def _table(prepared: Prepared, conditions: Mapping[int, Condition]) -> str:
    keys = list(dict.fromkeys(key for stage in prepared.sweep.stages for key in stage.keys))
    named = len(prepared.sweep.stages) > 1
    head = ["#", *(["stage", "from"] if named else []), *keys, "is", "run"]
    rows = [head]
    for plan in prepared.plans:
        element, condition = plan.element, conditions.get(plan.variant.number)
        lineage = [element.stage, ", ".join(map(str, element.after))] if named else []
        varied = [element.varied.get(key, "") for key in keys]
        rows.append([str(element.number), *lineage, *varied, condition.kind if condition else "new", element.run or ""])
    return columns(rows, indent=0)


def _search(search: Search, metric: tuple[str, str]) -> str:
    name, direction = metric
    over = "\n".join(f"  {key}: {one}" for key, one in search.over.items())
    runs = _counted(search.num, "run")
    return f"Searches {runs} to {direction} {name}, each proposed once another is over, over\n{over}"


def _cost(stage: str, profile: Profile, cost: Cost) -> str:
    """Such as 'on local: 12 runs to do, each on 1 CPU for 60 min, 4 jobs at once; at most 12.0 CPU hours'."""
    num = profile.num_processes
    device, hours = ("GPU", cost.gpu_hours) if profile.gpus_per_process else ("CPU", cost.cpu_hours)
    cores = num * (profile.gpus_per_process or profile.cpus_per_process)
    words = [
        f"{stage} on {profile.name}: " if stage else f"on {profile.name}: ",
        f"{_counted(cost.num_runs, 'run')} to do",
        f" in {_counted(cost.num_jobs, 'job')}" if cost.num_jobs < cost.num_runs else "",
        f", each on {cores} {device}{'s' * (cores > 1)} for {profile.minutes} min",
        f", {_counted(profile.limit, 'job')} at once" if profile.limit else "",
        f"; at most {hours:.1f} {device} hours",
    ]
    if cost.hours is not None:
        words.append(f"; probably {_time(cost.hours)} of training, as {_counted(cost.num_measured, 'finished run')} took")
    return "".join(words)


def _counted(num: int, what: str) -> str:
    return f"{num} {what}{'s' * (num != 1)}"


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} min"


def _answer(prepared: Prepared, conditions: Mapping[int, Condition], costs: Mapping[str, Cost]) -> dict[str, object]:
    return {
        "sweep": prepared.sweep.name,
        "runs": [
            {**dataclasses.asdict(plan.element), "is": _kind(conditions.get(plan.variant.number))} for plan in prepared.plans
        ],
        "cost": {stage: dataclasses.asdict(cost) for stage, cost in costs.items()},
        "resources": {stage: profile.to_dict() for stage, profile in prepared.profiles.items()},
        "missing": prepared.missing,
        "warnings": list(prepared.warnings),
    }


def _kind(condition: Condition | None) -> str:
    return condition.kind if condition else "new"
