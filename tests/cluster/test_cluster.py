"""What `tools/cluster` starts is SLURM: it schedules, requeues, preempts and accounts, and is gone when it is stopped."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/cluster"
# Writes a line when it starts and when USR2 comes, and never ends by itself.
PATIENT = 'trap "echo warned" USR2; echo "started on $SLURMD_NODENAME"; while true; do sleep 0.2; done'


@pytest.fixture
def other(cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A second cluster, without accounting, beside the first."""
    second = type(cluster)(tmp_path_factory.mktemp("other"))  # a short path: sockets need one
    started = second.tool("start", "--no-accounting")
    assert started.returncode == 0, started.stderr
    yield second
    assert second.tool("stop").returncode == 0


def test_step_runs_on_both_nodes(cluster) -> None:
    said = cluster.run("srun", "-N2", "-n2", "--gres=gpu:1", "--mem=100", "bash", "-c", "echo $SLURMD_NODENAME")
    assert sorted(said.split()) == ["n1", "n2"]


def test_all_daemons_listen_on_loopback_only(cluster) -> None:
    listening = cluster.run("ss", "-Hltnp")
    ours = re.findall(r"(\S+):\d+\s+\S+\s+users:\(\(\"(?:slurm|munge|mariadb)", listening)
    assert len(ours) >= 4
    assert all(address.startswith("127.") for address in ours)


def test_accounting_remembers_how_a_job_ended(cluster) -> None:
    job = cluster.sbatch("exit 3")
    query = ("sacct", "-n", "-X", "-j", job, "-o", "State,ExitCode")
    cluster.wait_for(lambda: cluster.run(*query).split() == ["FAILED", "3:0"])


def test_array_element_waits_for_the_element_it_depends_on(cluster) -> None:
    array = cluster.sbatch("exit $SLURM_ARRAY_TASK_ID", "--array=0-1")
    after = [cluster.sbatch("true", f"--dependency=afterok:{array}_{index}") for index in range(2)]
    cluster.wait_for(lambda: cluster.show(after[0])["JobState"] == "COMPLETED")
    cluster.wait_for(lambda: cluster.show(after[1])["Reason"] == "DependencyNeverSatisfied")


def test_job_is_requeued_when_its_node_dies(cluster, tmp_path: Path) -> None:
    job, said = _patient(cluster, tmp_path)
    cluster.kill("n1", jobs=True)
    cluster.wait_for(lambda: said.read_text().splitlines() == ["started on n1", "started on n2"])
    assert cluster.show(job)["Restarts"] == "1"


def test_requeued_job_starts_again_under_its_id(cluster, tmp_path: Path) -> None:
    job, said = _patient(cluster, tmp_path)
    cluster.run("scontrol", "requeue", job)
    cluster.wait_for(lambda: said.read_text().count("started") == 2)
    assert cluster.squeue() == {job: "RUNNING"}


def test_preempted_job_is_warned_and_comes_back(cluster, tmp_path: Path) -> None:
    job, said = _patient(cluster, tmp_path, "--nodes=2", "--exclusive", "--signal=B:USR2@30")
    cluster.sbatch("true", "--partition=urgent", "--nodes=2", "--exclusive")
    cluster.wait_for(lambda: said.read_text().count("started") == 2)
    assert [line for line in said.read_text().splitlines() if "slurm" not in line][:2] == ["started on n1", "warned"]
    assert cluster.show(job)["Restarts"] == "1"


def test_jobs_outlive_the_controller(cluster, tmp_path: Path) -> None:
    job, said = _patient(cluster, tmp_path)
    waiting = cluster.sbatch("true", "--begin=now+1hour")
    cluster.wait_for_saved_state()
    cluster.kill("controller")
    assert subprocess.run(["squeue"], capture_output=True, check=False, timeout=60).returncode != 0
    cluster.revive("controller")
    assert cluster.squeue() == {job: "RUNNING", waiting: "PENDING"}
    assert said.read_text().count("started") == 1


def test_scheduling_goes_on_without_the_database(cluster) -> None:
    cluster.kill("database")
    job = cluster.sbatch("true")
    cluster.wait_for(lambda: cluster.show(job)["JobState"] == "COMPLETED")


def test_second_start_says_that_it_runs(cluster) -> None:
    again = cluster.tool("start")
    assert (again.returncode, again.stderr) == (0, "runs already\n")
    assert (
        again.stdout.splitlines()[-1]
        == cluster.tool("env").stdout.strip()
        == f"export SLURM_CONF={cluster.folder}/etc/slurm.conf"
    )


def test_two_clusters_run_at_once(cluster, other) -> None:
    first, second = (folder / "etc/slurm.conf" for folder in (cluster.folder, other.folder))
    assert cluster.run("srun", "-N2", "-n2", "echo", "here", env={**os.environ, "SLURM_CONF": str(second)}) == "here\nhere"
    assert cluster.run("srun", "-N2", "-n2", "echo", "here", env={**os.environ, "SLURM_CONF": str(first)}) == "here\nhere"
    assert not (other.folder / "mariadb").exists()


def test_stop_leaves_no_process(cluster, other) -> None:
    there = {**os.environ, "SLURM_CONF": str(other.folder / "etc/slurm.conf")}
    cluster.run("sbatch", "--output=/dev/null", "--wrap=srun sleep 1000", env=there)
    cluster.wait_for(lambda: any("sleep" in process for process in _processes(other.folder)))
    other.tool("kill", "n1")  # whose job nobody ends then
    assert other.tool("stop").returncode == 0
    cluster.wait_for(lambda: not _processes(other.folder), seconds=10)


def test_stop_spares_a_process_that_got_the_number_of_a_daemon(cluster, other) -> None:
    other.tool("stop")
    with subprocess.Popen(["sleep", "100"]) as stranger:
        (other.folder / "run/munge.pid").write_text(f"{stranger.pid} 1\n")
        assert other.tool("stop").returncode == 0
        assert stranger.poll() is None
        stranger.kill()


def test_start_that_fails_names_the_daemon_and_stops_the_others(cluster, other) -> None:
    other.tool("stop")
    (other.folder / "etc/munge.key").write_bytes(b"short")
    failed = other.tool("start", "--no-accounting")
    assert failed.returncode == 1
    assert "'munge' ended" in failed.stderr
    assert "Keyfile" in failed.stderr or "key" in failed.stderr
    assert not _processes(other.folder)


def test_unknown_daemon_is_refused_with_the_names_there_are(cluster) -> None:
    refused = cluster.tool("kill", "n3")
    assert refused.returncode == 2
    assert "munge, mariadb, database, controller, n1, n2" in refused.stderr


def test_folder_that_holds_something_else_is_left_alone(cluster, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    refused = type(cluster)(tmp_path).tool("start")
    assert refused.returncode == 2
    assert "holds something else" in refused.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_missing_packages_are_named_to_those_who_may_not_install_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bare") / "slurm"
    script = f"""import os, runpy, shutil, sys
os.getuid = lambda: 1000
shutil.which = lambda *arguments, **options: None
sys.argv = ["tools/cluster", "start", "--folder", {str(folder)!r}]
runpy.run_path({str(TOOL)!r}, run_name="__main__")"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "sudo apt-get install mariadb-server munge slurm-wlm slurmdbd" in done.stderr
    assert not folder.exists()


def test_path_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    done = subprocess.run([TOOL, "start", "--folder", tmp_path / ("x" * 75)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "at most 75 characters" in done.stderr


def _patient(cluster, tmp_path: Path, *options: str) -> tuple[str, Path]:
    """A job that runs, and the file that it writes to."""
    said = tmp_path / "said.txt"
    said.touch()
    job = cluster.sbatch(PATIENT, "--requeue", "--open-mode=append", f"--output={said}", *options)
    cluster.wait_for(lambda: "started" in said.read_text())
    return job, said


def _processes(folder: Path) -> list[str]:
    """Command lines of whatever runs with this cluster's configuration: daemons, steps and jobs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            facts = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if bytes(folder) in facts:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
