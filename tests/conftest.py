"""What every test gets: types and shapes of our parts checked as they run, no hub, and the same luck each time."""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings
from jaxtyping import install_import_hook

assert not any(name.startswith("genever_plugins.") for name in sys.modules), "imported before its types could be checked"
# An int may stand where a float is asked for, as in gin.
install_import_hook("genever_plugins", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

settings.register_profile("genever", deadline=None, derandomize=True, database=None)
settings.load_profile("genever")
