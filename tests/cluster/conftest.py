"""A real SLURM for every test that asks for `cluster`: started once in each pytest process, put right after each test."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).parents[2] / "tools/cluster"


class Cluster:
    """Two nodes, n1 and n2, and the partitions `normal` and `urgent`. SLURM_CONF is set: sbatch, submitit... find it.

    Args:
        folder: where everything of it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`tools/cluster ARGUMENTS --folder ...`, whatever its exit code."""
        command = [sys.executable, TOOL, *arguments, "--folder", self.folder]
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    def run(self, *command: str | Path, **options: Any) -> str:
        """The standard output of a command that must succeed. Options are those of subprocess.run."""
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options)
        assert done.returncode == 0, f"{command} -> {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def sbatch(self, script: str, *options: str | Path) -> str:
        """Submits the lines of a bash script; its job's id. Without `--output` the job writes nowhere."""
        lines = f"#!/bin/bash\n{script}\n"
        done = subprocess.run(
            ["sbatch", "--parsable", "--output=/dev/null", *options],
            input=lines,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().split(";")[0]

    def squeue(self) -> dict[str, str]:
        """The state of every job that waits or runs: {"7": "RUNNING", "8_0": "PENDING"}."""
        lines = self.run("squeue", "-h", "-r", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def nodes(self) -> dict[str, str]:
        """The state of every node: {"n1": "idle", "n2": "mixed"}."""
        lines = self.run("sinfo", "-h", "-N", "-p", "normal", "-o", "%N %T").splitlines()
        return dict(line.split() for line in lines)

    def show(self, job: str) -> dict[str, str]:
        """What the controller says of a job, ended ones too: JobState, Restarts, BatchHost, Reason..."""
        words = self.run("scontrol", "show", "-o", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, condition: Callable[[], Any], seconds: float = 180) -> Any:
        """What `condition` returns as soon as that is true; an AssertionError with the queue when it never is."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s\n{self._picture()}"
            time.sleep(0.2)
        return found

    def wait_for_saved_state(self) -> None:
        """Waits until the controller has written down every job of now: killed before that, it forgets the newest."""
        now = time.time()
        self.run("scancel", self.sbatch("true", "--hold"))  # Where nothing changes, nothing is written.
        saved = self.folder / "spool/controller/job_state"
        self.wait_for(lambda: saved.exists() and saved.stat().st_mtime > now)

    def kill(self, name: str, *, jobs: bool = False) -> None:
        """SIGKILL for n1, n2, controller, database, mariadb or munge; with `jobs`, for all that runs on the node as well."""
        done = self.tool("kill", name, *["--jobs"] * jobs)
        assert done.returncode == 0, done.stderr

    def revive(self, name: str) -> None:
        """Starts it again, and waits until it answers. Where it runs already, nothing happens."""
        done = self.tool("revive", name)
        assert done.returncode == 0, done.stderr

    def put_right(self) -> None:
        """Every daemon runs, every node is in service, no job is left."""
        done = self.tool("start")
        assert done.returncode == 0, done.stderr
        if jobs := self.squeue():
            self.run("scancel", *jobs)
        self.wait_for(lambda: not self.squeue())
        self.wait_for(self._is_in_service)

    def _is_in_service(self) -> bool:
        """SLURM drains a node that comes back with processes of a job that meanwhile runs elsewhere."""
        states = self.nodes()
        for node in [node for node, state in states.items() if state.startswith(("drain", "down"))]:
            subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=False)
        return set(states.values()) == {"idle"}

    def _picture(self) -> str:
        shown = [["squeue"], ["sinfo"], ["tail", "-n", "20", str(self.folder / "log/controller.log")]]
        return "\n".join(subprocess.run(command, capture_output=True, text=True, check=False).stdout for command in shown)


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of this pytest process, for fixtures of a wider scope than a test; tests ask for `cluster`."""
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    started = cluster.tool("start")
    if started.returncode == 2:
        pytest.skip(started.stderr)
    assert started.returncode == 0, started.stderr
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SRUN_"))]:
            patch.delenv(name)
        patch.setenv("SLURM_CONF", str(cluster.folder / "etc/slurm.conf"))
        yield cluster
    stopped = cluster.tool("stop")
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture
def cluster(session_cluster: Cluster) -> Iterator[Cluster]:
    """A cluster that is idle; afterwards its jobs are cancelled, and what was killed runs again."""
    yield session_cluster
    session_cluster.put_right()
