"""The base method: loss, sampler and backbone together regress a stop-gradient target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from genever.slots import Loss, Sampler
from genever.training._feed import Batch, Feed
from genever.training._method import Stateless, Update, named_parameters
from genever.values import TimeContext

__all__ = ["Forward", "Regression", "Term"]


@dataclass(frozen=True, kw_only=True)
class Forward:
    """One training forward pass: what went in and what came out.

    Args:
        x_0: noise; x_1: data; x_t: between them at t [batch].
        cond: the condition, after dropout.
        features: of the taps that this term asked for, in its order.
        roles: the method's networks; a term calls its own from here, as the trainer may have wrapped them.
        step: the training step of this round.
    """

    x_0: Tensor
    x_1: Tensor
    x_t: Tensor
    t: Tensor
    cond: Tensor
    output: Tensor
    features: tuple[Tensor, ...]
    roles: Mapping[str, nn.Module]
    batch: Batch
    step: int


@runtime_checkable
class Term(Protocol):
    """A term added to the base method's loss, reading features of the same forward pass.

    Attributes:
        taps: blocks whose features it reads, counted from 1.
        roles: networks that it brings along.
        learning: the roles that learn together with the model.
        frozen: the roles whose weights never change. The roles in neither are changed by `after` alone.
    """

    @property
    def taps(self) -> Sequence[int]: ...
    @property
    def roles(self) -> Mapping[str, nn.Module]: ...
    @property
    def learning(self) -> frozenset[str]: ...
    @property
    def frozen(self) -> frozenset[str]: ...
    def active(self, step: int) -> bool:
        """Whether it counts at this step; a step without it is bit-identical to one that never had it."""
        ...

    def __call__(self, forward: Forward) -> Mapping[str, Tensor]: ...
    def after(self, roles: Mapping[str, nn.Module], step: int) -> None:
        """Called once the model took an optimizer step: what follows the model, such as a moving average of it.

        Args:
            roles: the method's networks, as they lie now.
            step: counted from 0 in this round.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Regression(Stateless):
    """Regress what the loss asks of the model at times that the sampler draws: pre-training, continued training, SFT.

    Args:
        learns: the parameters of "model" that the tuner lets learn, by 'model.name'.
    """

    roles: Mapping[str, nn.Module]
    learns: Mapping[str, nn.Parameter]
    loss: Loss
    sampler: Sampler
    terms: tuple[Term, ...] = ()
    frozen: frozenset[str] = field(default_factory=frozenset)

    @property
    def model(self) -> nn.Module:
        return self.roles["model"]

    def adding(self, term: Term) -> Regression:
        """The same method with one more term.

        Raises:
            ValueError: it brings along a network whose name another one bears.
        """
        taken = [role for role, module in term.roles.items() if self.roles.get(role, module) is not module]
        if taken:
            raise ValueError(f"Two aligners of this stage bring along a network called {taken[0]!r}. Leave one of them out.")
        return replace(self, roles={**self.roles, **term.roles}, terms=(*self.terms, term), frozen=self.frozen | term.frozen)

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        brought = [role for term in self.terms for role in term.roles if role in term.learning]
        return {"model": {**self.learns, **named_parameters(self.roles, *brought)}}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates(lambda batch: self.losses(batch, step))

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The mean error of a batch, and each active term."""
        terms = [term for term in self.terms if term.active(step)]
        taps = sorted({tap for term in terms for tap in term.taps})
        forward = self.forward(batch, step, taps)
        found: dict[str, Tensor] = {"loss": self.errors(forward).mean()}
        for term in terms:
            mine = tuple(forward.features[taps.index(tap)] for tap in term.taps)
            named = term(replace(forward, features=mine))
            assert found.keys().isdisjoint(named), f"two terms bear the names {sorted(found.keys() & named.keys())}"
            found.update(named)
        return found

    def forward(self, batch: Batch, step: int = 0, taps: Sequence[int] = ()) -> Forward:
        """Corrupt a batch at drawn times and show it to the model."""
        x_0, t, cond = batch.noise(), self.times(batch), batch.training_cond()
        x_t = self.corrupt(batch.x_1, x_0, t)
        output, features = self.model(*self.loss.inputs(x_t, t), cond, taps)
        return Forward(
            x_0=x_0,
            x_1=batch.x_1,
            x_t=x_t,
            t=t,
            cond=cond,
            output=output.float(),
            features=features,
            roles=self.roles,
            batch=batch,
            step=step,
        )

    def errors(self, forward: Forward) -> Tensor:
        """The loss's error of each sample [batch]."""
        return self.loss.errors(forward.output, x_t=forward.x_t, t=forward.t, x_1=forward.x_1, x_0=forward.x_0)

    def times(self, batch: Batch, name: str = "time") -> Tensor:
        """Drawn times [batch], within what the path can show."""
        context = TimeContext(latent=batch.latent, step=batch.step)
        t = batch.draws.each(name, lambda num, generator: self.sampler(num, generator=generator, context=context))
        return t.clamp(self.loss.path.start, self.loss.path.stop)

    def corrupt(self, x_1: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha(t) x_1 + sigma(t) x_0."""
        path, times = self.loss.path, t.view(-1, *[1] * (x_1.ndim - 1))
        return path.alpha(times) * x_1 + path.sigma(times) * x_0

    def after(self, group: str, step: int) -> None:
        for term in self.terms:
            term.after(self.roles, step)
