"""The one trainer: rounds of updates, read top to bottom. It knows no method's name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genever.errors import UserError
from genever.runs import RunDirectory
from genever.slots import Writer
from genever.training._averages import Averages
from genever.training._checkpoint import Saver, load_progress, load_weights, read_index
from genever.training._compose import Composition
from genever.training._draws import derived_seed
from genever.training._layout import lay_out
from genever.training._learner import Learner
from genever.training._method import Method
from genever.training._monitor import Monitor
from genever.training._nonfinite import NonFinite
from genever.training._record import Record, due
from genever.training._saved import Live, kept
from genever.training._scalars import Scalars
from genever.training._world import Agreement

__all__ = ["Stopped", "Trainer"]


class Stopped(Exception):
    """Somebody asked the run to stop; it saved a checkpoint first.

    Args:
        asked: what `Trainer.should_stop` said.
    """

    def __init__(self, asked: int) -> None:
        super().__init__(asked)
        self.asked = asked


@dataclass
class Trainer:
    """Runs a composition's rounds in a run's directory, from its newest checkpoint if it has one.

    Args:
        writers: open trackers.
        should_stop: asked after every step: 0 = go on. Of what several processes say the largest counts, one step later.
        progress: told (step, scalars) after every step; scalars are None between two log points.
    """

    composition: Composition
    run: RunDirectory
    writers: Sequence[Writer] = ()
    should_stop: Callable[[], int] = lambda: 0
    progress: Callable[[int, Mapping[str, float] | None], None] = lambda step, scalars: None
    record: Record = field(init=False)
    nonfinite: NonFinite = field(init=False)
    saver: Saver = field(init=False)
    agreement: Agreement = field(init=False)

    def train(self) -> None:
        """Trains every round that is left.

        Raises:
            UserError: `train.group_optimizers` names a group that the method does not have.
            Stopped: `should_stop` said so in one of the processes; the checkpoint is saved.
            NonFiniteError: more steps than `train.skip_nonfinite` had a loss or gradient that is not finite.
        """
        stage, world = self.composition.stage, self.composition.world
        saved = self.run.saved_steps()
        index = read_index(self.run, saved[-1]) if saved else {"step": 0, "round": 0, "round_step": 0, "best": {}}
        self.record = Record(self.run, stage, world, self.writers, index["best"])
        self.nonfinite = NonFinite(stage.skip_nonfinite, self.composition.device, index.get("bad_steps", 0))
        self.saver, self.agreement = Saver(self.run, world), Agreement(world)
        try:
            for number in range(index["round"], len(self.composition.rounds())):
                fresh = number > index["round"] or not saved
                if fresh and number > 0:
                    self.composition = self.composition.again()  # A round begins as it is resumed: from what was saved.
                self.train_round(number, first=0 if fresh else index["round_step"], resumed=not fresh)
                self.saver.finish()
                world.wait()
            self.agreement.end()
        finally:
            self.saver.close()

    def begin(self, number: int) -> Method:
        """The method of a round, in this process alone, with the weights that the newest checkpoint has for it."""
        rounds, saved = self.composition.rounds(), self.run.saved_steps()
        saved_round = read_index(self.run, saved[-1])["round"] if saved else None
        method = rounds[0].start({})
        for earlier in range(number + 1):
            method = rounds[earlier].start(method.roles) if earlier else method
            if earlier == saved_round:
                load_weights(self.run, saved[-1], kept(method, self.composition.codec)[0])
        return method

    def train_round(self, number: int, *, first: int, resumed: bool) -> None:
        """Trains one round from its step `first` on; `resumed` says that the newest checkpoint lies in this round."""
        stage, device, world = self.composition.stage, self.composition.device, self.composition.world
        round_ = self.composition.rounds()[number]
        num_steps, offset = stage.steps, number * stage.steps

        # The weights are loaded as one process sees them, then laid out over all.
        method = self.begin(number)
        layout = lay_out(method, stage, world)

        # Every group has its own optimizer; the averages follow the weights of "model" that learn.
        optimizers = stage.group_optimizers or {}
        unknown = set(optimizers) - set(layout.groups)
        if unknown:
            raise UserError(
                f"train.group_optimizers names {sorted(unknown)}; this stage's groups are {sorted(layout.groups)}."
            )
        learners = {
            name: Learner(group, optimizers.get(name, stage.optimizer), stage.clip_norm)
            for name, group in layout.groups.items()
        }
        learning = {key: p for key, p in layout.groups.get("model", {}).items() if key.startswith("model.")}
        averages = Averages(stage.averages or {}, learning)
        roles, frozen = kept(method, self.composition.codec)
        live = Live(roles=roles, frozen=frozen, groups=layout.groups, averages=averages, learners=learners)

        # A resumed round goes on from its checkpoint; a new one first makes and writes down what will never change in it.
        if resumed:
            method.load_state_dict(load_progress(self.run, self.run.saved_steps()[-1], live))
        else:
            if round_.prepare is not None:
                round_.prepare(method)
            self.saver.save_constants(number, live)
        for role, module in method.roles.items():
            module.train(role not in method.frozen)

        monitor = Monitor(
            composition=self.composition,
            model=method.roles["model"],
            averages=averages,
            solver=round_.solver or stage.solver,
            guidance=self.composition.guidance if round_.solver is None else round_.guidance,
            samples=self.run.samples,
        )
        everything = [p for module in method.roles.values() for p in module.parameters()]
        feed, scalars = self.composition.feed(), Scalars(world)
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=stage.precision == "bf16", cache_enabled=False)
        frozen_for, started, num_seen = None, time.perf_counter(), 0

        for step in range(first, num_steps):
            now = offset + step
            torch.manual_seed(derived_seed(stage.seed, now, world.rank, "step"))
            for learner in learners.values():
                learner.set_rate(step, num_steps)

            # The method asks for gradients; rollouts run between its yields, under the same autocast.
            losses_finite: dict[str, Tensor] = {}
            moved: set[str] = set()
            with autocast:
                for update in method.updates(feed.at(now), step):
                    learner = learners[update.group]
                    if frozen_for != update.group:
                        for parameter in everything:
                            parameter.requires_grad_(id(parameter) in learner.names)
                        frozen_for = update.group
                    layout.synchronise(update.group, step=update.step)
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
                    self.saver.copied()
                    norm, taken = learner.learn(world.all_true(losses_finite.pop(update.group)))
                    self.nonfinite.note(taken, now, update.group)
                    scalars.add(update.group, {"grad_norm": norm})
                    moved.add(update.group)
                    method.after(update.group, step)
            if "model" in moved:
                averages.update(step)
            num_seen += len(feed.indices(now))
            last, steps_taken, shown = step == num_steps - 1, now + 1, None
            asked = self.agreement(self.should_stop())

            # Only here, every `log_every` steps, does anything wait for the device.
            every = (stage.log_every, stage.save_every, stage.validate_every, stage.sample_every, stage.evaluate_every)
            if last or asked or any(due(one, steps_taken) for one in every):
                self.saver.collect()
                self.nonfinite.check(self.run, feed)
                shown = scalars.take()
                shown |= {f"{name}/lr": one.optimizers[0].param_groups[0]["lr"] for name, one in learners.items()}
                shown["images_per_s"] = num_seen / (time.perf_counter() - started)
                self.record.scalars(steps_taken, shown)
            self.progress(steps_taken, shown)

            looked = time.perf_counter()
            improved = self.record.look(monitor, steps_taken, last=last)
            if last or asked or improved or due(stage.save_every, steps_taken):
                self._save(steps_taken, number, step + 1, method, live)
            started += time.perf_counter() - looked
            if asked and steps_taken < num_steps * len(self.composition.rounds()):
                self.saver.finish()
                world.wait()
                raise Stopped(asked)
            if shown is not None:
                started, num_seen = time.perf_counter(), 0

    def _save(self, step: int, number: int, round_step: int, method: Method, live: Live) -> None:
        index = {
            "step": step,
            "round": number,
            "round_step": round_step,
            "best": self.record.best,
            "bad_steps": int(self.nonfinite.count.item()),
            "averages": [*live.averages.copies],
            "processes": self.composition.world.size,
        }
        keep, best = self.composition.stage.keep_checkpoints, self.record.best
        self.saver.save(live, index, method.state_dict(), keep=keep, always={best["step"]} if best else set())
