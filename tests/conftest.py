"""What every test gets: types and shapes of our parts checked as they run, no hub, and the same luck each time."""

import os
import sys
from collections.abc import Callable
from itertools import chain, groupby, islice
from pathlib import Path

import pytest
from genever.language import read, resolve
from genever.parts import load_catalog
from genever.runs import RunDirectory, create_run

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings
from jaxtyping import install_import_hook

assert not any(name.startswith("genever_plugins.") for name in sys.modules), "imported before its types could be checked"
# An int may stand where a float is asked for, as in gin.
install_import_hook("genever_plugins", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

settings.register_profile("genever", deadline=None, derandomize=True, database=None)
settings.load_profile("genever")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begins every worker's share, a stretch of the collection, with whole files of tests/cluster, which mostly wait."""
    num_workers = getattr(config, "workerinput", {}).get("workercount", 1)
    waiting = [item for item in items if item.path.parent.name == "cluster"]
    files = [list(tests) for _, tests in groupby(waiting, key=lambda item: item.path)]
    others = (item for item in items if item.path.parent.name != "cluster")
    dealt = list[pytest.Item]()
    for worker in range(num_workers):
        first = list(chain(*files[worker::num_workers]))
        size = (len(items) - len(dealt)) // (num_workers - worker)
        dealt += [*first, *islice(others, max(size - len(first), 0))]
    items[:] = [*dealt, *others]


@pytest.fixture(scope="session")
def freeze() -> Callable[..., RunDirectory]:
    """Freezes a gin file, with further bindings, into a run's directory below a root; nothing is trained."""

    def make(file: Path, root: Path, *bindings: str) -> RunDirectory:
        catalog = load_catalog()
        return create_run(resolve(read(str(file), list(bindings), catalog=catalog, runs_root=str(root)), catalog), root, {})

    return make
