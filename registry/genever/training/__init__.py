"""A stage, composed and trained: the protocol of every method, and the one trainer."""

from genever.training._compose import Composition, Tuned, build_seeded, compose, frozen_copy
from genever.training._denoiser import Denoiser, Field
from genever.training._draws import Draws, derived_seed
from genever.training._evaluation import Evaluation, sample
from genever.training._feed import Batch, Feed
from genever.training._method import Method, Round, Update, named_parameters
from genever.training._regression import Forward, Regression, Term
from genever.training._stage import Stage

__all__ = [
    "Batch",
    "Composition",
    "Denoiser",
    "Draws",
    "Evaluation",
    "Feed",
    "Field",
    "Forward",
    "Method",
    "Regression",
    "Round",
    "Stage",
    "Term",
    "Tuned",
    "Update",
    "build_seeded",
    "compose",
    "derived_seed",
    "frozen_copy",
    "named_parameters",
    "sample",
]
