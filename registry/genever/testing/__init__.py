"""The conformance kit: one line in a test file, and every contract of a part's slot is tested.

    from genever.testing import conformance

    test_beta_times = conformance("sampler.BetaTimes")

Each contract is one test with a readable name. Required parameters that take a part get a toy one; any other value is given
by its name, as in `conformance("sampler.BetaTimes", a=0.5)`. The toys make a whole stage, so that methods are tested too
and no other plugin is needed.
"""

from genever.testing._case import Case, Contract
from genever.testing._conformance import conformance, contracts_of
from genever.testing._together import start_together, train_together
from genever.testing._toy_parts import (
    ToyAverage,
    ToyBackbone,
    ToyCodec,
    ToyConditioner,
    ToyData,
    ToyEncoder,
    ToyGuidance,
    ToyLearnableCodec,
    ToyLoss,
    ToyOptimizer,
    ToyPath,
    ToyReward,
    ToyRewriter,
    ToySampler,
    ToySolver,
    ToyTuner,
)
from genever.testing._toy_stage import take_steps, toy_composition, toy_stage

__all__ = [
    "Case",
    "Contract",
    "ToyAverage",
    "ToyBackbone",
    "ToyCodec",
    "ToyConditioner",
    "ToyData",
    "ToyEncoder",
    "ToyGuidance",
    "ToyLearnableCodec",
    "ToyLoss",
    "ToyOptimizer",
    "ToyPath",
    "ToyReward",
    "ToyRewriter",
    "ToySampler",
    "ToySolver",
    "ToyTuner",
    "conformance",
    "contracts_of",
    "start_together",
    "take_steps",
    "toy_composition",
    "toy_stage",
    "train_together",
]
