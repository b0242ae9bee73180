"""Data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from genever.parts import passed_on
from genever.slots import Dataset, PlannedDataset, ResizableDataset, VerifiableDataset
from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.values import BatchShape, Samples


def images_are_what_the_spec_says(case: Case) -> None:
    for split in ("train", "validation"):
        dataset = case.part().build(split)
        spec, samples = dataset.spec, _first(dataset)
        assert len(dataset) > 0
        assert samples.images.shape == (len(samples), spec.channels, spec.height, spec.width)
        assert samples.images.dtype == torch.float32
        assert -1 <= float(samples.images.min()) < float(samples.images.max()) <= 1


def labels_and_captions_are_what_the_spec_says(case: Case) -> None:
    dataset = case.part().build("train")
    spec, samples = dataset.spec, _first(dataset)
    assert (samples.labels is None) == (spec.num_classes is None)
    assert (samples.captions is None) == (not spec.captions)
    if samples.labels is not None:
        assert samples.labels.shape == (len(samples),)
        assert 0 <= int(samples.labels.min()) <= int(samples.labels.max()) < spec.num_classes
    if samples.captions is not None:
        assert len(samples.captions) == len(samples)
        assert all(isinstance(caption, str) and caption for caption in samples.captions)


def abilities_are_what_the_spec_says(case: Case) -> None:
    part = case.part()
    spec = part.build("train").spec
    if spec.num_classes is not None:
        assert _provides(part, "labels"), "It has labels, but does not provide 'labels'."
    if spec.captions:
        assert _provides(part, "captions"), "It has captions, but does not provide 'captions'."


def same_index_gives_the_same_sample(case: Case) -> None:
    first, second = case.part().build("train"), case.part().build("train")
    last = len(first) - 1
    together, alone = first.fetch([last, 0, 1]), second.fetch([0])
    _assert_same(together, 1, alone, 0)
    _assert_same(together, 0, second.fetch([last]), 0)
    _assert_same(together, 2, first.fetch([1, 0]), 0)


def fetching_is_not_drawn(case: Case) -> None:
    with global_luck_untouched():
        _first(case.part().build("train"))


def samples_differ(case: Case) -> None:
    images = _first(case.part().build("train")).images
    assert len(images.flatten(1).unique(dim=0)) > 1


def splits_differ(case: Case) -> None:
    train, validation = (_first(case.part().build(split)).images for split in ("train", "validation"))
    num = min(len(train), len(validation))
    assert not torch.equal(train[:num], validation[:num]), "Both splits hold the same images."


def extras_have_an_entry_for_each_sample(case: Case) -> None:
    samples = _first(case.part().build("train"))
    assert all(len(entries) == len(samples) for entries in samples.extras.values())


def plans_hold_what_its_batches_say(case: Case) -> None:
    for dataset in _planned(case):
        shapes = dataset.batches(8)
        for step in range(6):
            indices = _plan(dataset, step)
            images = dataset.fetch(indices).images
            seen = BatchShape(num_samples=len(indices), height=images.shape[-2], width=images.shape[-1])
            assert seen in shapes, f"Step {step} sees {seen}, which `batches` does not say."


def plans_are_functions_of_the_step(case: Case) -> None:
    for dataset in _planned(case):
        forwards = [_plan(dataset, step) for step in range(6)]
        other = case.part().build("train")
        assert [_plan(other, step) for step in reversed(range(6))] == forwards[::-1], "A plan depends on those before."
        assert _plan(dataset, 0) != _plan(dataset, 0, seed=1), "The seed is not looked at."
        assert _plan(dataset, 0) != _plan(dataset, 0, stream=1), "The stream is not looked at."


def plans_go_on_after_the_last_step(case: Case) -> None:
    with global_luck_untouched():
        for dataset in _planned(case):
            assert len(_plan(dataset, 100)) > 0


def images_are_also_given_at_another_size(case: Case) -> None:
    for dataset in _able(case, "resizable"):
        spec, last = dataset.spec, len(dataset) - 1
        assert isinstance(dataset, ResizableDataset), _UNABLE.format("resizable", "sizes` and `fetch_at")
        assert len(dataset.sizes()) == len(dataset)
        _assert_same(dataset.fetch_at([last], height=spec.height, width=spec.width), 0, dataset.fetch([last]), 0)
        wide = dataset.fetch_at([last, 0], height=spec.height, width=2 * spec.width)
        assert wide.images.shape == (2, spec.channels, spec.height, 2 * spec.width)


def images_are_verified_one_by_one(case: Case) -> None:
    for dataset in _able(case, "verifiable"):
        assert isinstance(dataset, VerifiableDataset), _UNABLE.format("verifiable", "verify")
        samples = _first(dataset)
        shares = dataset.verify(samples.images, samples)
        assert shares.shape == (len(samples),)
        assert 0 <= float(shares.min()) <= float(shares.max()) <= 1
        places = [len(samples) - 1, 0]
        some = samples.rows(places)
        assert torch.equal(dataset.verify(some.images, some), shares[places]), "A share depends on other images."
        black = replace(samples, images=torch.full_like(samples.images, -1))
        assert dataset.verify(black.images, black).mean() < shares.mean(), "Black images show as much as its own."


_UNABLE = (
    "It provides '{0}', or passes it on, but its dataset has no `{1}`. Write one, leave '{0}' out, or pass on 'x.* but {0}'."
)


def _able(case: Case, ability: str) -> list[Dataset]:
    """Both splits, where the part has an ability."""
    part = case.part()
    return [part.build(split) for split in ("train", "validation")] if _provides(part, ability) else []


def _provides(part: object, ability: str) -> bool:
    """Whether a part has an ability, or those have it whose abilities it passes on."""
    said = getattr(part, "provides", ())
    inner = [one for name in passed_on(said, ability) for one in _named(getattr(part, name))]
    return ability in said or (bool(inner) and all(_provides(one, ability) for one in inner))


def _named(value: object) -> list[object]:
    """The parts that a parameter names."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _planned(case: Case) -> list[PlannedDataset]:
    """The training split, where it plans."""
    dataset = case.part().build("train")
    return [dataset] if isinstance(dataset, PlannedDataset) else []


def _plan(dataset: PlannedDataset, step: int, *, seed: int = 0, stream: int = 0) -> list[int]:
    return list(dataset.plan(step, num_steps=6, batch_size=8, seed=seed, stream=stream))


def _first(dataset: Dataset) -> Samples:
    return dataset.fetch(range(min(16, len(dataset))))


def _assert_same(one: Samples, place: int, other: Samples, its_place: int) -> None:
    assert torch.equal(one.images[place], other.images[its_place]), "The same index gives another image."
    if one.labels is not None and other.labels is not None:
        assert one.labels[place] == other.labels[its_place]
    if one.captions is not None and other.captions is not None:
        assert one.captions[place] == other.captions[its_place]
