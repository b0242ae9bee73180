"""The slots: what a part of each kind does.

A part is a plain Python class (or function) whose keyword-only, typed constructor is its gin surface. It says what a user
chooses; what follows from other parts (channels, number of classes, widths) is handed to its `build` when the stage is
composed. The protocol of a slot has the slot's name: `Loss` is what fills `loss`. The others say what parts build.

What a part can do that not all of its slot can, it says in its class attribute `provides`; what it asks of others, in
`needs`. `genever check` refuses a stage in which a need is not met. The protocols here name the abilities that there are; a
plugin may add its own.

    provides = ("taps", "path.*", "unconditional if dropout")   # each of these words is an ability
    needs = ("backbone.taps", "train.start", "loss.velocity | self.scale=1")

'path.*' passes on whatever the part that `path` names provides, 'path.straight' that one ability of it, 'path.* but a, b'
all but these two; 'a if b' is provided where the parameter b is neither 0 nor None. A need is an ability of a slot; of a
slot in a stage that this one goes back to ('start.conditioner.unconditional'); a parameter that is set ('train.start',
'self.utility') or has a value ('self.scale=1'); or one of several, with '|' between them.

Time runs from noise to data: t = 0 is noise x_0, t = 1 is data x_1.
"""

from __future__ import annotations

from genever.slots._conditioner import (
    Conditioner,
    ConditionerModule,
    ImageConditionerModule,
    NumberConditionerModule,
    OuterConditionerModule,
    Rewriter,
    RewriterModel,
    TeachableConditionerModule,
)
from genever.slots._data import (
    Codec,
    CodecModule,
    Data,
    Dataset,
    LearnableCodecModule,
    PlannedDataset,
    ResizableDataset,
    VerifiableDataset,
)
from genever.slots._flow import Distance, Loss, Path, Sampler, Weighting
from genever.slots._judging import (
    Better,
    ClassifierModule,
    Encoder,
    EncoderModule,
    ExplainedMetric,
    Judge,
    JudgeModel,
    Measures,
    Metric,
    PerceptualModule,
    Reward,
    RewardModel,
)
from genever.slots._method import Aligner, Distiller, Head, HeadedAligner, Tuner
from genever.slots._network import Backbone, Network, NumberedNetwork
from genever.slots._sampling import ComposedGuidance, Guidance, Solver, StochasticSolver, ToldGuidance
from genever.slots._training import Average, Optimizer, Parallel, ProfiledAverage, Schedule, Tracker, Writer

__all__ = [
    "SLOTS",
    "Aligner",
    "Average",
    "Backbone",
    "Better",
    "ClassifierModule",
    "Codec",
    "CodecModule",
    "ComposedGuidance",
    "Conditioner",
    "ConditionerModule",
    "Data",
    "Dataset",
    "Distance",
    "Distiller",
    "Encoder",
    "EncoderModule",
    "ExplainedMetric",
    "Guidance",
    "Head",
    "HeadedAligner",
    "ImageConditionerModule",
    "Judge",
    "JudgeModel",
    "LearnableCodecModule",
    "Loss",
    "Measures",
    "Metric",
    "Network",
    "NumberConditionerModule",
    "NumberedNetwork",
    "Optimizer",
    "OuterConditionerModule",
    "Parallel",
    "Path",
    "PerceptualModule",
    "PlannedDataset",
    "ProfiledAverage",
    "ResizableDataset",
    "Reward",
    "RewardModel",
    "Rewriter",
    "RewriterModel",
    "Sampler",
    "Schedule",
    "Solver",
    "StochasticSolver",
    "TeachableConditionerModule",
    "ToldGuidance",
    "Tracker",
    "Tuner",
    "VerifiableDataset",
    "Weighting",
    "Writer",
]

#: Every slot, in the order in which a stage is read.
SLOTS: tuple[str, ...] = (
    "loss",
    "path",
    "weighting",
    "distance",
    "sampler",
    "backbone",
    "aligner",
    "tuner",
    "distiller",
    "data",
    "codec",
    "conditioner",
    "rewriter",
    "encoder",
    "reward",
    "solver",
    "guidance",
    "metric",
    "judge",
    "optimizer",
    "schedule",
    "average",
    "parallel",
    "tracker",
)
