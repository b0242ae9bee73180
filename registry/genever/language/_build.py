"""Real gin injects a frozen file into plain classes, and is left as it was found."""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import gin
from gin import config as gin_config

from genever.language._parse import Assignment, parse
from genever.language._parts import ROOT
from genever.language._values import Reference, leaves
from genever.parts import Catalog

if TYPE_CHECKING:
    from genever.training import Stage

__all__ = ["build", "config_str"]

_DICTS = ("_CONFIG", "_SINGLETONS", "_OPERATIVE_CONFIG", "_INVERSE_REGISTRY", "_RENAMED_SELECTORS", "_ARG_SPEC_CACHE")
_LISTS = ("_FINALIZE_HOOKS", "_FILE_READERS", "_LOCATION_PREFIXES", "_PARSE_CONTEXTS")
_GIN_OWN = ("gin.macro", "gin.constant", "gin.singleton")
_LOCK = threading.RLock()


def build(resolved: str | Path, catalog: Catalog) -> Stage:
    """Builds the stage of a resolved.gin: exact instances of plain classes, with no trace of gin.

    What a part's constructor raises arrives as it was raised, with a note that names the part.

    Args:
        resolved: the text, or the path of a file or of a run's directory.
    """
    try:
        with _loaded(text_of(resolved), catalog) as train:
            return cast("Stage", train())
    except _EscapeError as error:
        escaped = error.original
    # Outside of the handler, so that the original keeps its own context.
    raise escaped


def config_str(resolved: str | Path, catalog: Catalog) -> str:
    """What gin itself holds after it read a resolved.gin."""
    with _loaded(text_of(resolved), catalog):
        return gin.config_str()


def text_of(resolved: str | Path) -> str:
    """The text of a resolved.gin that is given as text, as a file or as a run's directory."""
    if isinstance(resolved, str) and "\n" in resolved:
        return resolved
    path = Path(resolved)
    return (path / "resolved.gin" if path.is_dir() else path).read_text("utf-8")


class _EscapeError(BaseException):
    """Carries a constructor's exception past gin, which replaces every Exception by a proxy of it."""

    def __init__(self, original: Exception) -> None:
        super().__init__(original)
        self.original = original


def _escaping(name: str, target: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(target, updated=())
    def construct(**values: object) -> object:
        try:
            return target(**values)
        except Exception as error:
            error.add_note(f"while building {name}")
            raise _EscapeError(error) from None

    # With these, gin would look for parameters in the class itself, and put the module in front of the full name.
    del construct.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]
    construct.__module__ = None  # pyright: ignore[reportAttributeAccessIssue]
    return construct


@contextlib.contextmanager
def _loaded(text: str, catalog: Catalog) -> Iterator[Callable[[], object]]:
    """Gin with the parts that a text names and with its bindings, and nothing else."""
    names = _parts_in(text)
    targets = {name: cast("Callable[..., object]", catalog.load(name)) for name in names}
    with isolated_gin():
        for name, target in targets.items():
            gin.external_configurable(_escaping(name, target), name=name)
        gin.parse_config(text)
        yield gin.get_configurable(ROOT)


def _parts_in(text: str) -> tuple[str, ...]:
    names = {ROOT: None}
    for statement in parse(text, "resolved.gin"):
        assert isinstance(statement, Assignment), statement
        names[statement.part] = None
        names.update({leaf.part: None for leaf in leaves(statement.value) if isinstance(leaf, Reference)})
    return tuple(names)


@contextlib.contextmanager
def isolated_gin() -> Iterator[None]:
    """An empty gin, for one thread at a time; at the end every global of gin is as it was, whatever happened."""
    with _LOCK, gin.config_scope(None):
        saved_dicts = {name: dict(getattr(gin_config, name)) for name in _DICTS}
        saved_lists = {name: list(getattr(gin_config, name)) for name in _LISTS}
        saved_maps = [(found, _map_state(found)) for found in (gin_config._REGISTRY, gin_config._CONSTANTS)]
        imports, locked = set(gin_config._IMPORTS), gin_config.config_is_locked()
        try:
            _empty()
            yield
        finally:
            for name, saved in saved_dicts.items():
                _put_back(getattr(gin_config, name), saved)
            for name, saved in saved_lists.items():
                getattr(gin_config, name)[:] = saved
            for found, (tree, by_name) in saved_maps:
                _put_back(found._selector_tree, tree)
                _put_back(found._selector_map, by_name)
            gin_config._IMPORTS.clear()
            gin_config._IMPORTS.update(imports)
            gin_config._set_config_is_locked(locked)


def _map_state(found: object) -> tuple[dict, dict]:
    # SelectorMap.copy() shares its inner dictionaries; its keys and values are texts, so a deep copy of the tree is right.
    return copy.deepcopy(found._selector_tree), dict(found._selector_map)  # pyright: ignore[reportAttributeAccessIssue]


def _put_back(target: dict, saved: dict) -> None:
    target.clear()
    target.update(saved)


def _empty() -> None:
    gin_config._set_config_is_locked(False)
    for name in ("_CONFIG", "_SINGLETONS", "_OPERATIVE_CONFIG"):
        getattr(gin_config, name).clear()
    gin_config._IMPORTS.clear()
    gin_config._FINALIZE_HOOKS.clear()
    gin_config._PARSE_CONTEXTS[:] = [gin_config.ParseContext()]
    own = {name: gin_config._REGISTRY[name] for name in _GIN_OWN}
    gin_config._REGISTRY.clear()
    for name, configurable in own.items():
        gin_config._REGISTRY[name] = configurable
    gin_config._CONSTANTS.clear()
    gin_config._CONSTANTS["gin.REQUIRED"] = gin_config.REQUIRED
