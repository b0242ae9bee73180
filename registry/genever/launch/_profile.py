"""Where and how jobs run: a profile, read from YAML files in layers and resolved once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genever.errors import UserError, did_you_mean
from genever.launch._layers import Layer, first_line, given_layers, layers

__all__ = ["Profile", "SlurmSettings", "read_profile"]


@dataclass(frozen=True, kw_only=True)
class SlurmSettings:
    """What only SLURM knows; None = as the cluster sets it.

    Args:
        signal_before_s: seconds before the time limit at which a run is asked to save and queue again.
        max_array_size: the most jobs in one array; the cluster's MaxArraySize - 1 or less.
        options: any other option of sbatch by its long name, None for one without a value: {exclusive: null}.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    signal_before_s: int = 120
    max_array_size: int = 1000
    options: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What a profile's file may say."""

    kind: Literal["local", "slurm"] = "local"
    nodes: int = 1
    processes: int = 1
    gpus_per_process: int = 0
    cpus_per_process: int = 1
    memory_gb: float | None = None
    minutes: int = 60
    retries: int = 1
    limit: int | None = None
    interface: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    setup: list[str] = field(default_factory=list)
    slurm: SlurmSettings = field(default_factory=SlurmSettings)


@dataclass(frozen=True, kw_only=True)
class Profile(_Settings):
    """Where and how a job runs.

    Args:
        kind: 'local' = a queue on this machine.
        nodes: machines of one job.
        processes: on each node; one process trains on one GPU, or on the CPU.
        gpus_per_process: 1, or 0 to train on the CPU.
        cpus_per_process: CPU cores; also the threads that torch may use.
        memory_gb: of each node. None = as the cluster sets it.
        minutes: time limit of one start; a run that needs longer saves and queues again. A local queue has none.
        retries: restarts in a row after failures that saved nothing new between them.
        limit: jobs at once, on SLURM of a sweep, locally of all. None = on SLURM as many as it lets; locally as many as the
            GPUs are for, without GPUs one.
        interface: network interface between nodes, such as 'ib0'. None = the host's name decides.
        environment: variables of the job.
        setup: shell lines before it starts, such as 'module load cuda'.
        name: as it was asked for.
        places: file:line of every setting that a file or --set gave.
    """

    name: str = "local"
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_processes(self) -> int:
        """Of all nodes together."""
        return self.nodes * self.processes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Profile:
        """What `to_dict` gave."""
        return cls(**{**values, "slurm": SlurmSettings(**values["slurm"])})


#: What a setting holds, in words.
_KINDS: Mapping[str, str] = {
    "kind": "'local' or 'slurm'",
    **dict.fromkeys(("nodes", "processes", "gpus_per_process", "cpus_per_process", "minutes", "retries"), "a whole number"),
    "limit": "a whole number, or null for no limit",
    "memory_gb": "a number, or null",
    "interface": "a text, or null",
    "environment": "a mapping from names to texts",
    "setup": "a list of shell lines",
    "slurm": "a mapping",
    **dict.fromkeys(("slurm.signal_before_s", "slurm.max_array_size"), "a whole number"),
    "slurm.options": "a mapping from names to texts",
}
_AT_LEAST: Mapping[str, float] = {
    "nodes": 1,
    "processes": 1,
    "gpus_per_process": 0,
    "cpus_per_process": 1,
    "memory_gb": 0.001,
    "minutes": 1,
    "retries": 0,
    "limit": 1,
    "slurm.signal_before_s": 0,
    "slurm.max_array_size": 1,
}


def read_profile(name: str, overrides: Sequence[str] | Mapping[str, str] = (), *, near: Path | None = None) -> Profile:
    """A profile by its name or its file's path.

    NAME is the file NAME.yaml of the `clusters` folder next to `near` or above it, and then the user's own in
    ~/.config/genever/clusters (or $XDG_CONFIG_HOME/genever/clusters), which is laid over it. A file may start from another
    profile: `base: NAME`. 'local' and 'slurm' exist without a file, as the defaults.

    Args:
        overrides: 'minutes=30' or 'slurm.partition=long'; they win. A mapping says where each was said, in place of --set.
        near: the experiment's file or any folder. None = the working directory.

    Raises:
        UserError: no such profile, or a key, a type or a value is wrong.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    said = overrides if isinstance(overrides, Mapping) else dict.fromkeys(overrides, "--set")
    merged: Any = OmegaConf.structured(_Settings)
    places: dict[str, str] = {}
    for layer in [*layers(name, Path(near or Path.cwd()).resolve()), *given_layers(said)]:
        try:
            merged = OmegaConf.merge(merged, layer.values)
        except (OmegaConfBaseException, TypeError) as error:
            raise _refusal(error, layer) from error
        places.update(layer.places)
    try:
        settings = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise _refusal(error, Layer(merged, places)) from error
    assert isinstance(settings, _Settings)
    profile = Profile(
        **{one.name: getattr(settings, one.name) for one in dataclasses.fields(_Settings)}, name=name, places=places
    )
    _check(profile)
    return profile


def _refusal(error: Exception, layer: Layer) -> UserError:
    """OmegaConf's error, in a sentence that says where it is."""
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigKeyError, InterpolationResolutionError

    key = str(getattr(error, "full_key", None) or _misshapen(layer))
    where = next((place for known, place in layer.places.items() if known == key or known.startswith(f"{key}.")), "")
    if isinstance(error, ConfigKeyError):
        prefix, _, own = key.rpartition(".")
        names = [one.name for one in dataclasses.fields(SlurmSettings if prefix else _Settings)]
        return UserError(f"{where}: there is no setting {key!r}.{did_you_mean(own, names)} There are: {', '.join(names)}.")
    value = OmegaConf.to_container(layer.values)
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else value
    reason = f" ({first_line(error)})" if isinstance(error, InterpolationResolutionError) else ""
    return UserError(f"{where}: {key} is {value!r}{reason}; it must be {_KINDS.get(key, 'a text, or null')}.")


def _misshapen(layer: Layer) -> str:
    """The setting whose value is a list where a mapping is wanted, or the other way round: OmegaConf does not say."""
    from omegaconf import DictConfig, OmegaConf

    mappings = [key for key, kind in _KINDS.items() if kind.startswith("a mapping")]
    found = ((key, OmegaConf.select(layer.values, key)) for key in [*mappings, *_KINDS])
    return next(key for key, value in found if value is not None and isinstance(value, DictConfig) != (key in mappings))


def _check(profile: Profile) -> None:
    """What OmegaConf's types do not say."""
    values = {**vars(profile), **{f"slurm.{key}": value for key, value in vars(profile.slurm).items()}}

    def wrong(key: str, what: str) -> UserError:
        return UserError(f"{profile.places.get(key, profile.name)}: {key} is {values[key]!r}; {what}.")

    for key, least in _AT_LEAST.items():
        if values[key] is not None and values[key] < least:
            raise wrong(key, f"it must be at least {least}")
    if profile.gpus_per_process > 1:
        raise wrong("gpus_per_process", "a process trains on one GPU or none: say 1 or 0, and ask for more processes")
    if profile.kind == "local" and profile.nodes > 1:
        raise wrong("nodes", "a local queue is one machine: leave it out, or say kind: slurm")
    if profile.kind == "slurm" and profile.slurm.signal_before_s >= profile.minutes * 60:
        raise wrong("slurm.signal_before_s", f"a start has {profile.minutes} minutes, which is no longer: ask for more")
    for key in ("environment", "slurm.options"):
        if any(not isinstance(value, str | None) for value in values[key].values()):
            raise wrong(key, "its values are texts")
    if any(not isinstance(line, str) for line in profile.setup):
        raise wrong("setup", "it is a list of shell lines, such as ['module load cuda']")
