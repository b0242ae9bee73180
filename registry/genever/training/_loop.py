"""The one trainer: rounds of updates, read top to bottom. It knows no method's name."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genever.errors import UserError
from genever.runs import RunDirectory
from genever.slots import Writer
from genever.training._averages import Averages
from genever.training._checkpoint import load_checkpoint, prune_checkpoints, read_index, save_checkpoint, save_constants
from genever.training._compose import Composition
from genever.training._draws import derived_seed
from genever.training._learner import Learner
from genever.training._method import Method, Round
from genever.training._monitor import Monitor
from genever.training._nonfinite import NonFinite
from genever.training._scalars import Scalars

__all__ = ["Stopped", "Trainer"]

logger = logging.getLogger("genever")


class Stopped(Exception):
    """Somebody asked the run to stop; it saved a checkpoint first."""


@dataclass
class Trainer:
    """Runs a composition's rounds in a run's directory, from its newest checkpoint if it has one.

    Args:
        writers: open trackers.
        should_stop: asked after every step.
        progress: told (step, scalars) after every step; scalars are None between two log points.
    """

    composition: Composition
    run: RunDirectory
    writers: Sequence[Writer] = ()
    should_stop: Callable[[], bool] = lambda: False
    progress: Callable[[int, Mapping[str, float] | None], None] = lambda step, scalars: None
    best: dict[str, Any] = field(default_factory=dict)
    nonfinite: NonFinite = field(init=False)

    def train(self) -> None:
        """Trains every round that is left.

        Raises:
            UserError: `train.group_optimizers` names a group that the method does not have.
            Stopped: `should_stop` said so; the checkpoint is saved.
            NonFiniteError: more steps than `train.skip_nonfinite` had a loss or gradient that is not finite.
        """
        saved = self.run.saved_steps()
        index = read_index(self.run, saved[-1]) if saved else {"step": 0, "round": 0, "round_step": 0, "best": {}}
        self.best = index["best"]
        self.nonfinite = NonFinite(self.composition.stage.skip_nonfinite, self.composition.device, index.get("bad_steps", 0))
        roles: Mapping[str, nn.Module] = {}
        for number, round_ in enumerate(self.composition.rounds()):
            method = round_.start(roles)
            roles = method.roles
            if number == index["round"]:
                self.train_round(number, round_, method, first=index["round_step"], resumed=index["step"] if saved else None)
            elif number > index["round"]:
                self.train_round(number, round_, method, first=0, resumed=None)

    def train_round(self, number: int, round_: Round, method: Method, *, first: int, resumed: int | None) -> None:
        """Trains one round from its step `first` on; `resumed` is the checkpoint to load, if any."""
        stage, device = self.composition.stage, self.composition.device
        num_steps, offset = stage.steps, number * stage.steps

        # Every group has its own optimizer; the averages follow the weights of "model" that learn.
        groups = method.groups()
        optimizers = stage.group_optimizers or {}
        unknown = set(optimizers) - set(groups)
        if unknown:
            raise UserError(f"train.group_optimizers names {sorted(unknown)}; this stage's groups are {sorted(groups)}.")
        learners = {
            name: Learner(group, optimizers.get(name, stage.optimizer), stage.clip_norm) for name, group in groups.items()
        }
        learning = {key: p for key, p in groups.get("model", {}).items() if key.startswith("model.")}
        averages = Averages(stage.averages or {}, learning)

        # A resumed round goes on from its checkpoint; a new one first writes down what will never change in it.
        if resumed is None:
            save_constants(self.run, number, method)
        else:
            load_checkpoint(self.run, resumed, method=method, learners=learners, averages=averages)
        for role, module in method.roles.items():
            module.train(role not in method.frozen)

        monitor = Monitor(
            composition=self.composition,
            model=method.roles["model"],
            averages=averages,
            solver=round_.solver or stage.solver,
            guidance=stage.guidance if round_.solver is None else round_.guidance,
            samples=self.run.samples,
        )
        everything = [p for module in method.roles.values() for p in module.parameters()]
        feed, scalars = self.composition.feed(), Scalars()
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=stage.precision == "bf16", cache_enabled=False)
        frozen_for, started, done = None, time.perf_counter(), 0

        for step in range(first, num_steps):
            now = offset + step
            torch.manual_seed(derived_seed(stage.seed, now, "step"))
            for learner in learners.values():
                learner.set_rate(step, num_steps)

            # The method asks for gradients; rollouts run between its yields, under the same autocast.
            losses_finite: dict[str, Tensor] = {}
            with autocast:
                for update in method.updates(feed.at(now), step):
                    learner = learners[update.group]
                    if frozen_for != update.group:
                        for parameter in everything:
                            parameter.requires_grad_(id(parameter) in learner.ids)
                        frozen_for = update.group
                    terms = update.loss()
                    loss = torch.stack([term.float() for term in terms.values()]).sum()
                    with torch.autocast(device.type, enabled=False):
                        (loss * update.scale).backward()
                    scalars.add(update.group, terms)
                    if update.report is not None:
                        scalars.add(update.group, update.report())
                    finite = loss.detach().isfinite()
                    losses_finite[update.group] = losses_finite.get(update.group, finite) & finite
                    if not update.step:
                        continue
                    norm, taken = learner.learn(losses_finite.pop(update.group))
                    self.nonfinite.note(taken, now, update.group)
                    scalars.add(update.group, {"grad_norm": norm})
                    if update.group == "model":
                        averages.update(step)
                    method.after(update.group, step)
            done += 1
            last, steps_taken, shown = step == num_steps - 1, now + 1, None
            stopping = self.should_stop()

            # Only here, every `log_every` steps, does anything wait for the device.
            every = (stage.log_every, stage.save_every, stage.validate_every, stage.sample_every, stage.evaluate_every)
            if last or stopping or any(_due(one, steps_taken) for one in every):
                self.nonfinite.check(self.run, feed)
                shown = scalars.take()
                shown |= {f"{name}/lr": one.optimizers[0].param_groups[0]["lr"] for name, one in learners.items()}
                shown["images_per_s"] = done * stage.batch_size / (time.perf_counter() - started)
                self._record(steps_taken, shown)
            self.progress(steps_taken, shown)

            looked = time.perf_counter()
            improved = self._look(monitor, steps_taken, last=last)
            if last or stopping or improved or _due(stage.save_every, steps_taken):
                self._save(steps_taken, number, step + 1, method, learners, averages)
            started += time.perf_counter() - looked
            if stopping and steps_taken < num_steps * len(self.composition.rounds()):
                raise Stopped
            if shown is not None:
                started, done = time.perf_counter(), 0

    def _record(self, step: int, values: Mapping[str, float]) -> None:
        self.run.append_metrics(step, values)
        for writer in self.writers:
            writer.scalars(values, step)

    def _look(self, monitor: Monitor, step: int, *, last: bool) -> bool:
        """Validation loss, samples and metrics, where they are due. Returns whether `keep_best` improved."""
        stage = self.composition.stage
        found: dict[str, float] = {}
        if last or _due(stage.validate_every, step):
            found |= monitor.validation()
        if last or _due(stage.sample_every, step):
            for name, file in monitor.grid(step):
                for writer in self.writers:
                    writer.image(name, file, step)
        if last or _due(stage.evaluate_every, step):
            found |= monitor.metrics(step)
        if not found:
            return False
        self._record(step, found)
        for name, value in found.items():
            if "_t0." not in name:
                logger.info("step %d  %s %.4f", step, name, value)
        return self._is_best(found, step)

    def _is_best(self, found: Mapping[str, float], step: int) -> bool:
        wanted = self.composition.stage.keep_best
        if wanted is None:
            return False
        sign, name = (-1.0, wanted[1:]) if wanted.startswith("-") else (1.0, wanted)
        values = [value for key, value in found.items() if name in (key, key.partition("/")[2])]
        if not values and any("validation_loss" not in key for key in found):
            logger.warning("train.keep_best = %r is none of what was measured: %s", wanted, ", ".join(found))
        if not values or not math.isfinite(values[0]):
            return False
        if self.best and sign * values[0] >= sign * self.best["value"]:
            return False
        self.best = {"value": values[0], "step": step}
        return True

    def _save(
        self,
        step: int,
        number: int,
        round_step: int,
        method: Method,
        learners: Mapping[str, Learner],
        averages: Averages,
    ) -> None:
        stage = self.composition.stage
        save_checkpoint(
            self.run,
            step=step,
            round_index=number,
            round_step=round_step,
            method=method,
            learners=learners,
            averages=averages,
            best=self.best,
            bad_steps=int(self.nonfinite.count.item()),
        )
        prune_checkpoints(self.run, keep=stage.keep_checkpoints, always={self.best["step"]} if self.best else set())


def _due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0
