"""A stage, composed and trained: the protocol of every method, and the one trainer."""

from genever.training._checkpoint import (
    Saver,
    load_average,
    load_codec_state,
    load_model_state,
    load_progress,
    load_weights,
    prune_checkpoints,
    read_index,
)
from genever.training._compose import Composition, Runs, Tuned, build_seeded, compose, frozen_copy
from genever.training._denoiser import Denoiser, Field
from genever.training._draws import Draws, derived_seed, normal_of_numbers
from genever.training._evaluation import Evaluation, asked_for, sample
from genever.training._feed import Batch, Feed, indices_at, planned_indices
from genever.training._following import follow
from genever.training._label_reader import LabelReader
from genever.training._layout import blocks_of
from genever.training._loop import Stopped, Trainer
from genever.training._method import Method, Round, Stateless, Update, named_parameters
from genever.training._monitor import Monitor, save_grid
from genever.training._nonfinite import NonFiniteError
from genever.training._planned import batches_of
from genever.training._posthoc import Mixture, Snapshot, mix, mixed_weights
from genever.training._protocol import better_ends, declared, named, protocol_of, sampling
from genever.training._regression import Forward, Regression, Term
from genever.training._resize import resized
from genever.training._scorer import Scorer
from genever.training._stage import Stage
from genever.training._world import Agreement, World

__all__ = [
    "Agreement",
    "Batch",
    "Composition",
    "Denoiser",
    "Draws",
    "Evaluation",
    "Feed",
    "Field",
    "Forward",
    "LabelReader",
    "Method",
    "Mixture",
    "Monitor",
    "NonFiniteError",
    "Regression",
    "Round",
    "Runs",
    "Saver",
    "Scorer",
    "Snapshot",
    "Stage",
    "Stateless",
    "Stopped",
    "Term",
    "Trainer",
    "Tuned",
    "Update",
    "World",
    "asked_for",
    "batches_of",
    "better_ends",
    "blocks_of",
    "build_seeded",
    "compose",
    "declared",
    "derived_seed",
    "follow",
    "frozen_copy",
    "indices_at",
    "load_average",
    "load_codec_state",
    "load_model_state",
    "load_progress",
    "load_weights",
    "mix",
    "mixed_weights",
    "named",
    "named_parameters",
    "normal_of_numbers",
    "planned_indices",
    "protocol_of",
    "prune_checkpoints",
    "read_index",
    "resized",
    "sample",
    "sampling",
    "save_grid",
]
