"""The experiment language: gin files, read without a gin global, checked in one pass, frozen, built by gin itself."""

from genever.errors import Place, Problem, UserError
from genever.language._build import build, config_str
from genever.language._check import check
from genever.language._config import Binding, Config, Key, NamedRun
from genever.language._explain import Explanation, explain
from genever.language._measured import better_end
from genever.language._placed import place_named
from genever.language._read import Experiment, read
from genever.language._resolve import Resolved, resolve
from genever.language._start import experiment_name

__all__ = [
    "Binding",
    "Config",
    "Experiment",
    "Explanation",
    "Key",
    "NamedRun",
    "Place",
    "Problem",
    "Resolved",
    "UserError",
    "better_end",
    "build",
    "check",
    "config_str",
    "experiment_name",
    "explain",
    "place_named",
    "read",
    "resolve",
]
