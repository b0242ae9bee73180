"""The slots: what a part of each kind does.

A part is a plain Python class (or function) whose keyword-only, typed constructor is its gin surface. It says what a user
chooses; what follows from other parts (channels, number of classes, widths) is handed to its one verb when the stage is
composed. The name of a protocol here, in lower case, is the name of the slot it fills.

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
