"""What every test gets: types and shapes of our parts checked as they run, no hub, and the same luck each time."""

import os
import sys
from typing import Any, Protocol

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from beartype import BeartypeConf, FrozenDict, beartype
from genever import slots
from hypothesis import settings
from jaxtyping import install_import_hook

# Slots are checked by the type checker: a test may put a stand-in there that offers no more than it is asked for.
_protocols = [found for found in vars(slots).values() if getattr(found, "_is_protocol", False) and found is not Protocol]
_conf = BeartypeConf(hint_overrides=FrozenDict(dict.fromkeys(_protocols, object)), is_pep484_tower=True)


def typechecked(function: Any) -> Any:
    """What jaxtyping puts around every function of our parts."""
    return beartype(function, conf=_conf)


assert not any(name.startswith("genever_plugins.") for name in sys.modules), "imported before its types could be checked"
install_import_hook("genever_plugins", f"{__name__}.typechecked")

settings.register_profile("genever", deadline=None, derandomize=True, database=None)
settings.load_profile("genever")
