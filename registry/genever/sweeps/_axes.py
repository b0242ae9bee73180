"""What varies: grid, zip, list, random and seeds, each read into axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from genever.errors import Place
from genever.sweeps._distributions import Distribution, quantile
from genever.sweeps._document import Fields, Items, Scalar
from genever.sweeps._drawn import over
from genever.sweeps._gin_text import gin_text, values_by_key
from genever.sweeps._section import Mistakes, Section
from genever.sweeps._sweep import Axis, Point, Setting

__all__ = ["MAX_RUNS", "axes", "drawn", "point"]

MAX_RUNS = 100_000
SEED = "train.seed"
_TABLE = "{AdamW.lr: [1e-3, 3e-3]}"


def axes(node: Fields, name: str, mistakes: Mistakes) -> tuple[Axis, ...]:
    """The axes in the order in which their blocks are written.

    Args:
        name: of the mapping in messages, such as 'vary'.
    """
    section = Section(node, name, tuple(_BLOCKS), mistakes)
    return tuple(axis for block in section.nodes if block in _BLOCKS for axis in _BLOCKS[block](section))


def point(node: Fields, name: str, mistakes: Mistakes) -> Point:
    """What is set together."""
    values = values_by_key(node, name, mistakes)
    return tuple(Setting(key, gin_text(value, mistakes), value.place) for key, value in values.items())


def drawn(distributions: Mapping[str, Distribution], seed: int, index: int, places: Mapping[str, Place]) -> Point:
    """The index-th point that is drawn; it depends neither on how many are, nor on the other keys."""
    return tuple(Setting(key, one.at(quantile(seed, index, key)), places[key]) for key, one in distributions.items())


def _grid(section: Section) -> Iterator[Axis]:
    for key, settings in _columns(section, "grid").items():
        yield _different([(setting,) for setting in settings], f"{section.label('grid')}.{key}", section.mistakes)


def _zip(section: Section) -> Iterator[Axis]:
    columns = _columns(section, "zip")
    if len({len(settings) for settings in columns.values()}) > 1:
        counted = " and ".join(f"{key} has {len(settings)}" for key, settings in columns.items())
        message = f"{section.label('zip')} pairs lists of unequal length: {counted}. Make them equally long."
        section.mistakes.add(section.places["zip"], message)
    elif columns:
        yield _different(list(zip(*columns.values(), strict=True)), section.label("zip"), section.mistakes)


def _columns(section: Section, block: str) -> dict[str, list[Setting]]:
    """The values that are listed under each key."""
    node, mistakes = section.fields(block, _TABLE), section.mistakes
    found: dict[str, list[Setting]] = {}
    for key, value in (values_by_key(node, section.label(block), mistakes) if node else {}).items():
        label = f"{section.label(block)}.{key}"
        if not isinstance(value, Items):
            mistakes.add(
                value.place, f"{label} is {value}, which does not vary. Write a list, or put the key under 'fixed'."
            )
        elif not value.items:
            mistakes.add(value.place, f"{label} is an empty list. List at least one value.")
        else:
            found[key] = [Setting(key, gin_text(item, mistakes), item.place) for item in value.items]
    return found


def _list(section: Section) -> Iterator[Axis]:
    label = section.label("list")
    node = section.items("list", "[{AdamW.lr: 1e-3}, {AdamW.lr: 3e-3, train.steps: 500}]")
    points: list[Point] = []
    for item in node.items if node else ():
        if isinstance(item, Fields) and item.fields:
            points.append(point(item, label, section.mistakes))
        else:
            section.mistakes.add(item.place, f"{label} holds {item}. Write a mapping, such as {{AdamW.lr: 1e-3}}.")
    if points:
        yield _different(points, label, section.mistakes)


def _seeds(section: Section) -> Iterator[Axis]:
    node = section.nodes["seeds"]
    if isinstance(node, Scalar):
        num = node.value if isinstance(node.value, int) and not isinstance(node.value, bool) else 0
        seeds = [(str(seed), node.place) for seed in range(num if num <= MAX_RUNS else 0)]
    else:
        items = node.items if isinstance(node, Items) else ()
        usable = all(isinstance(item, Scalar) and type(item.value) is int for item in items)
        seeds = [(str(item), item.place) for item in items] if usable else []
    if not seeds:
        section.wrong("seeds", "Write how many, counted from 0, such as 3, or list them, such as [0, 7].")
        return
    yield _different([(Setting(SEED, text, place),) for text, place in seeds], section.label("seeds"), section.mistakes)


def _random(section: Section) -> Iterator[Axis]:
    node = section.fields("random", "{num: 20, over: {AdamW.lr: {log_uniform: [1e-4, 1e-2]}}}")
    if node is None:
        return
    block = Section(node, section.label("random"), ("num", "seed", "over"), section.mistakes)
    distributions, places = over(block)
    num, seed = block.integer("num"), block.integer("seed", least=0) or 0
    if "num" not in block.nodes:
        block.missing("num", "Say how many runs are drawn, such as num: 20.")
    elif num is not None and num > MAX_RUNS:
        block.wrong("num", f"A sweep has at most {MAX_RUNS:,} runs.")
    elif num is not None and distributions:
        yield tuple(drawn(distributions, seed, index, places) for index in range(num))


def _different(points: Sequence[Point], label: str, mistakes: Mistakes) -> Axis:
    seen: set[tuple[str, ...]] = set()
    for one in points:
        texts = tuple(sorted(map(str, one)))
        if texts in seen:
            mistakes.add(one[0].place, f"{label} holds {' and '.join(texts)} twice. Leave one out.")
        seen.add(texts)
    return tuple(points)


_BLOCKS: dict[str, Callable[[Section], Iterator[Axis]]] = {
    "grid": _grid,
    "zip": _zip,
    "list": _list,
    "random": _random,
    "seeds": _seeds,
}
