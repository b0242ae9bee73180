"""Runs that draw the same prompts from the same noise, and who judges what they draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genever.arena import Bout, bouts_of_scores
from genever.errors import UserError, did_you_mean
from genever.execution._open import Opened
from genever.slots import JudgeModel, Metric, RewardModel
from genever.training import Composition, Evaluation, asked_for, declared, named, sample, save_grid
from genever.values import ConditionSpec, Samples

__all__ = ["Contest", "Judged"]

#: Images that are judged together.
_BATCH_SIZE = 100

_NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What came of a contest.

    Args:
        by: who judged, in words.
        consistency: the share of pairs that a judge of pairs saw alike from both sides. None = the judge sees one at a time.
    """

    bouts: Sequence[Bout]
    by: str
    consistency: float | None = None


@dataclass(kw_only=True)
class Contest:
    """What several runs draw when all are asked for the same.

    Args:
        first: the first run, by whose parts all are judged and from whose noise all draw.
        wanted: what is asked for, one for each of `numbers`.
        labels, captions: those of `wanted` that somebody named, in turn; all others are of the first run's validation split.
        made: samples of each run.
    """

    first: Opened
    numbers: range
    wanted: Samples
    labels: Sequence[int] = ()
    captions: Sequence[str] = ()
    made: dict[str, Samples] = field(default_factory=dict)

    @classmethod
    def of(cls, first: Opened, numbers: range, *, labels: Sequence[int] = (), captions: Sequence[str] = ()) -> Contest:
        wanted = asked_for(first.composition, numbers, labels=labels, captions=captions)
        return cls(first=first, numbers=numbers, wanted=wanted, labels=labels, captions=captions)

    def enter(self, name: str, opened: Opened) -> Samples:
        """Has a run draw.

        Raises:
            UserError: it cannot be compared with the first.
        """
        composition, first = opened.composition, self.first.composition
        _check_alike(name, opened, self)
        own = asked_for(composition, self.numbers, labels=self.labels, captions=self.captions)
        # The same luck for all, whatever each was trained with.
        composition.stage = replace(composition.stage, seed=first.seed)
        drawn = sample(
            composition,
            opened.model,
            self.numbers,
            solver=opened.solver,
            guidance=opened.guidance,
            # An image to go by is that of the run's own data.
            wanted=replace(own, labels=self.wanted.labels, captions=self.wanted.captions),
        )
        self.made[name] = replace(self.wanted, images=drawn.images)
        return self.made[name]

    @torch.no_grad()
    def by_part(self) -> Judged:
        """By `train.judge`: every pair of runs on every sample."""
        part = self.first.composition.stage.judge
        assert part is not None
        model = part.build(self.first.composition)
        if isinstance(model, JudgeModel):
            bouts, consistency = self._by_pairs(model)
            return Judged(bouts=bouts, by=named(part), consistency=consistency)
        return Judged(
            bouts=self._bouts({name: self._rewards(model, made) for name, made in self.made.items()}), by=named(part)
        )

    @torch.no_grad()
    def by_metric(self, name: str, *, block: int) -> Judged:
        """By a number of `train.metrics`: every pair of runs on every `block` samples. The metric says what is better.

        Raises:
            UserError: no metric has that number, neither end of it is better, or it does not tell what is drawn here.
        """
        metric, highest = self._metric(name)
        starts = range(0, len(self.numbers) - block + 1, block)
        if not starts:
            raise UserError(f"--block is {block}, but there are {len(self.numbers)} samples. Give fewer, or raise --num.")
        scores = {
            run: [self._measured(metric, name, made.rows(slice(start, start + block))) for start in starts]
            for run, made in self.made.items()
        }
        each = "each sample" if block == 1 else f"each {block} samples"
        return Judged(bouts=self._bouts(scores, highest), by=f"the {'highest' if highest else 'lowest'} {name} of {each}")

    def pictures(self, folder: Path) -> dict[str, list[Path]]:
        """Writes every sample as a PNG, which does not tell whose it is."""
        found: dict[str, list[Path]] = {}
        for place, (run, made) in enumerate(self.made.items()):
            found[run] = [folder / f"{place}_{number}.png" for number in range(len(made))]
            for image, file in zip(made.images.split(1), found[run], strict=True):
                save_grid(image, file, columns=1, height=512)
        return found

    def asked(self) -> list[str]:
        """What each sample was asked for, in words."""
        wanted = self.wanted
        if wanted.captions is not None and self.first.composition.conditioner.spec.text_width is not None:
            return list(wanted.captions)
        if wanted.labels is not None and self.first.composition.conditioner.spec.num_classes is not None:
            return [f"label {label}" for label in wanted.labels.tolist()]
        return [f"sample {number}" for number in self.numbers]

    def draws(self) -> list[str]:
        """From whose noise each sample is drawn, and for what: with the run and the number, what it looks like."""
        return [" ".join(filter(None, (f"seed {self.first.composition.seed}", one))) for one in _conditions(self.wanted)]

    def _by_pairs(self, judge: JudgeModel) -> tuple[list[Bout], float]:
        bouts, agreed = list[Bout](), list[Tensor]()
        for one, other in combinations(self.made, 2):
            a, b = self.made[one], self.made[other]
            seen, turned = self._preferences(judge, a, b), -self._preferences(judge, b, a)
            # Whoever changes sides with the places of two images prefers none of them.
            scores = torch.where(seen == turned, 0.5 + 0.5 * seen, 0.5).tolist()
            agreed.append(seen == turned)
            bouts += [
                Bout(first=one, second=other, number=number, score=score)
                for number, score in zip(self.numbers, scores, strict=True)
            ]
        return bouts, torch.cat(agreed).double().mean().item()

    def _preferences(self, judge: JudgeModel, first: Samples, second: Samples) -> Tensor:
        """1 = the first, -1 = the second, 0 = neither."""
        device, found = self.first.composition.device, list[Tensor]()
        for start in range(0, len(first), _BATCH_SIZE):
            a, b = (made.rows(slice(start, start + _BATCH_SIZE)) for made in (first, second))
            found.append((judge.prefers(a.images.to(device), b.images.to(device), a).double().cpu() - 0.5).sign())
        return torch.cat(found)

    def _rewards(self, model: RewardModel, made: Samples) -> list[float]:
        chunks = [made.rows(slice(start, start + _BATCH_SIZE)) for start in range(0, len(made), _BATCH_SIZE)]
        device = self.first.composition.device
        return torch.cat([model(one.images.to(device), one).double().cpu() for one in chunks]).tolist()

    def _bouts(self, scores: Mapping[str, Sequence[float]], highest: bool = True) -> list[Bout]:
        try:
            return bouts_of_scores(scores, highest=highest)
        except ValueError as error:
            raise UserError(str(error)) from error

    def _metric(self, name: str) -> tuple[Metric, bool]:
        """Who measures a number, and whether the highest is best."""
        metrics = self.first.composition.stage.metrics
        known = {number: (metric, better) for metric in metrics for number, better in declared(metric).items()}
        if name not in known:
            raise UserError(
                f"--metric is {name!r}, which no metric of train.metrics measures.{did_you_mean(name, [*known])} "
                f"There are: {', '.join(known) or 'none'}. Others are named by -b 'train.metrics = [@Name()]'."
            )
        metric, better = known[name]
        if better is None:
            raise UserError(f"--metric is {name!r}, of which neither end is the better one. Name another.")
        return metric, better == "higher"

    def _measured(self, metric: Metric, name: str, made: Samples) -> float:
        asked = list[Any]()

        def make(evaluation: Evaluation) -> Samples:
            asked.append(evaluation.composition)
            return made

        opened, first = self.first, self.first.composition
        evaluation = Evaluation(
            composition=first, model=opened.model, solver=opened.solver, guidance=opened.guidance, num_samples=len(made)
        )
        try:
            found = metric.measure(evaluation.made_by(make))[name]
        except ValueError as error:
            raise UserError(f"{error} Here that is --block, which is {len(made)}.") from error
        if not asked or any(composition is not first for composition in asked):
            whose = "samples of its own" if not asked else "samples for other data"
            raise UserError(
                f"--metric is {name!r}, but that looks at {whose}, not at those that all runs draw. Name another."
            )
        return found


def _check_alike(name: str, opened: Opened, contest: Contest) -> None:
    """What makes a comparison one of the models alone."""
    here, there, remedy = opened.composition, contest.first.composition, ""
    specs = [(one.data.spec.channels, one.data.spec.height, one.data.spec.width) for one in (here, there)]
    if specs[0] != specs[1]:
        reason = f"its images are of channels x height x width = {specs[0]}, those of the first run of {specs[1]}"
    elif (told := _told(here.conditioner.spec)) != (others := _told(there.conditioner.spec)):
        reason = f"it is told {told}, and the first run {others}"
    elif _is_up_to_data(here.conditioner.spec, contest) and (found := _asked_differently(here, there, contest.numbers)):
        reason = found
        remedy = "" if here.conditioner.spec.image_channels else ", or say what to ask for by --label or --caption"
    else:
        return
    first = contest.first.run.path
    raise UserError(f"{name} cannot be compared with {first}: {reason}. Name runs of the same data and conditions{remedy}.")


def _is_up_to_data(spec: ConditionSpec, contest: Contest) -> bool:
    """Whether what a run is told follows from its data: images do, and all that nobody named."""
    told = _told(spec) != _NOTHING and not (contest.labels or contest.captions)
    return told or spec.image_channels is not None


def _asked_differently(here: Composition, there: Composition, numbers: range) -> str | None:
    """Where the data of two runs ask for different things by themselves."""
    own, theirs = _conditions(asked_for(here, numbers)), _conditions(asked_for(there, numbers))
    for number, a, b in zip(numbers, own, theirs, strict=True):
        if a != b:
            return f"its data asks for {a} in sample {number}, that of the first run for {b}"
    return None


def _told(spec: ConditionSpec) -> str:
    kinds = {"labels": spec.num_classes, "captions": spec.text_width, "an image": spec.image_channels}
    return " and ".join(name for name, found in kinds.items() if found is not None) or _NOTHING


def _conditions(samples: Samples) -> list[str]:
    labels = [] if samples.labels is None else [f"label {label}" for label in samples.labels.tolist()]
    captions = [] if samples.captions is None else [repr(caption) for caption in samples.captions]
    return [" ".join(found) for found in zip(*filter(None, (labels, captions)), strict=True)] or [""] * len(samples)
