"""The files of a profile: where they are looked for, and in which order they are laid over each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genever.errors import UserError, did_you_mean, shown_path

if TYPE_CHECKING:
    from omegaconf import DictConfig

__all__ = ["Layer", "first_line", "given_layers", "layers"]

#: Profiles that exist without a file, as the defaults of their kind.
BUILT_IN = ("local", "slurm")


@dataclass(frozen=True)
class Layer:
    """The values of one file, and the place of each."""

    values: DictConfig
    places: Mapping[str, str]


def layers(name: str, start: Path, asked: Sequence[str] = ()) -> Iterator[Layer]:
    """A profile's files as layers, the strongest last.

    Args:
        start: where looking begins.
        asked: the profiles whose base this is.
    """
    if name in asked:
        raise UserError(f"the profiles {' -> '.join([*asked, name])} are each other's base. Take one `base` out.")
    files = _files(name, start)
    if name in BUILT_IN:
        yield Layer(_plain({"kind": name}), {})
    elif not files:
        known = _known(start)
        raise UserError(
            f"there is no profile {name!r}{f', the base of {asked[-1]!r}' if asked else ''}."
            f"{did_you_mean(name, known)} There are: {', '.join(known)}; or give a file's path."
        )
    found = [(file, _read(file)) for file in files]
    for file, layer in found:
        base = layer.values.pop("base", None)
        if base is not None:
            yield from layers(str(base), file, [*asked, name])
    yield from (layer for _, layer in found)


def _plain(values: dict[str, Any]) -> DictConfig:
    from omegaconf import OmegaConf

    return OmegaConf.create(values)


def _files(name: str, start: Path) -> list[Path]:
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        return [Path(name)]
    folders = [*_shipped(start), _own()]
    return [file for folder in folders if (file := folder / f"{name}.yaml").is_file()]


def _shipped(start: Path) -> list[Path]:
    """The `clusters` folder next to a file or nearest above it; also that of `experiments`, where one works beside it."""
    around = [start, *start.parents]
    found = (folder for one in around for folder in (one / "clusters", one / "experiments/clusters") if folder.is_dir())
    return [folder for folder in [next(found, None)] if folder]


def _own() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "genever" / "clusters"


def _known(start: Path) -> list[str]:
    found = {file.stem for folder in [*_shipped(start), _own()] for file in folder.glob("*.yaml")}
    return sorted(found | {*BUILT_IN})


def _read(file: Path) -> Layer:
    import yaml
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    shown = shown_path(file)
    try:
        text = file.read_text(encoding="utf-8")
        places = {key: f"{shown}:{line}" for key, line in _lines(yaml.compose(text, Loader=yaml.SafeLoader))}
        values = OmegaConf.create(text or "{}")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(
            f"{shown}:{line}: this is no YAML: {error.problem}. Correct that line or the one above it."
        ) from error
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        raise UserError(f"{shown} cannot be read as a profile: {reason}.") from error
    if not isinstance(values, DictConfig) or any(not isinstance(key, str) for key in values):
        raise UserError(f"{shown}:1: a profile is lines of the form 'key: value', such as 'minutes: 30'.")
    return Layer(values, places)


def given_layers(overrides: Mapping[str, str]) -> Iterator[Layer]:
    """Settings of the form KEY=VALUE, each with the place where it was said."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for override, place in overrides.items():
        key, equals, _ = override.partition("=")
        if not equals or not key.strip():
            raise UserError(
                f"{place}: {override!r} is not of the form KEY=VALUE, such as 'minutes=30' or 'slurm.partition=long'."
            )
        try:
            values = OmegaConf.from_dotlist([override])
        except (yaml.YAMLError, ValueError, OmegaConfBaseException) as error:
            raise UserError(f"{place}: the value of {override!r} cannot be read: {first_line(error)}.") from error
        yield Layer(values, {key.strip(): place})


def _lines(node: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Each key of a YAML file, in dots, and its line."""
    for key, value in getattr(node, "value", ()) if getattr(node, "id", "") == "mapping" else ():
        dotted = f"{prefix}{key.value}"
        yield dotted, key.start_mark.line + 1
        yield from _lines(value, f"{dotted}.")


def first_line(error: Exception) -> str:
    """An error of OmegaConf or YAML, without the lines that speak of its own insides."""
    return str(error).strip().partition("\n")[0].rstrip(".")
