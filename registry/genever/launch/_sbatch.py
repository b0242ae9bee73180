"""One submission to SLURM: submitit writes the batch file and calls sbatch."""

from __future__ import annotations

import contextlib
import io
import shlex
from collections.abc import Sequence

from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.slurm.slurm import SlurmExecutor

from genever.errors import UserError
from genever.launch._folder import JobFolder
from genever.launch._profile import Profile

__all__ = ["sbatch"]

#: What sbatch says (in lower case) when it refuses, and the settings that it speaks of; the first that fits.
_REFUSALS: Sequence[tuple[str, Sequence[str]]] = (
    ("account", ("slurm.account", "slurm.partition", "slurm.qos")),
    ("node configuration", ("nodes", "processes", "cpus_per_process", "gpus_per_process", "memory_gb", "slurm.constraint")),
    ("partition", ("slurm.partition",)),
    ("qos", ("slurm.qos",)),
    ("reservation", ("slurm.reservation",)),
    ("feature", ("slurm.constraint",)),
    ("node name", ("slurm.nodelist", "slurm.exclude")),
    ("array", ("slurm.max_array_size",)),
    ("gres", ("gpus_per_process",)),
    ("resource", ("gpus_per_process", "slurm.options")),
    ("memory", ("memory_gb",)),
    ("time limit", ("minutes",)),
    ("option", ("slurm.options",)),
    ("node count", ("nodes",)),
    ("processors", ("processes", "cpus_per_process")),
    ("limit", ("minutes", "nodes", "limit", "slurm.qos", "slurm.partition")),
)


class _Executor(SlurmExecutor):
    """Submits arrays that read what to do from a folder: nothing is pickled, so nothing has to be moved once they are in."""

    @property
    def _submitit_command_str(self) -> str:
        return f"{self.python} -P -m genever.launch {shlex.quote(str(self.folder))}"

    def submit_elements(self, num: int) -> str:
        """Submits an array of so many jobs. Returns its id."""
        self.parameters["map_count"] = num
        return self._submit_command(self._submitit_command_str).job_id


def sbatch(folder: JobFolder, num: int, *, after: Sequence[str] = (), earlier: Sequence[str] = ()) -> str:
    """Submits the jobs of a folder as one array. Returns its id.

    Args:
        num: jobs.
        after: jobs that must have succeeded.
        earlier: jobs or arrays that must be over.

    Raises:
        UserError: SLURM refuses; the message names the settings that it speaks of.
    """
    profile, slurm = folder.profile, folder.profile.slurm
    further: dict[str, object] = {
        "requeue": True,
        "kill-on-invalid-dep": "yes",
        **({"reservation": slurm.reservation} if slurm.reservation else {}),
        **{name: value or True for name, value in slurm.options.items()},
    }
    waits = [f"{kind}:{':'.join(ids)}" for kind, ids in (("afterok", after), ("afterany", earlier)) if ids]
    try:
        executor = _Executor(folder.path, python=shlex.quote(folder.told["python"]))
        executor.update_parameters(
            job_name=folder.name,
            nodes=profile.nodes,
            ntasks_per_node=profile.processes,
            cpus_per_task=profile.cpus_per_process,
            gpus_per_node=profile.processes * profile.gpus_per_process or None,
            mem=f"{round(profile.memory_gb * 1024)}M" if profile.memory_gb else None,
            time=profile.minutes,
            signal_delay_s=slurm.signal_before_s,
            **{name: getattr(slurm, name) for name in ("partition", "account", "qos", "constraint", "nodelist", "exclude")},
            dependency=",".join(waits) or None,
            array_parallelism=profile.limit or num,
            setup=folder.shell_lines(),
            additional_parameters=further,
            stderr_to_stdout=True,
            use_srun=False,
            wckey=None,
        )
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises, too.
            return executor.submit_elements(num)
    except (FailedJobError, FailedSubmissionError) as error:
        raise _refusal(str(error), profile) from error
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"SLURM's sbatch and srun are not on this machine's path ({error}). Submit from a machine that has them."
        ) from error


def _refusal(said: str, profile: Profile) -> UserError:
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in said.splitlines() if line.strip()]
    reason = " ".join(lines).rstrip(".")
    values = {**vars(profile), **{f"slurm.{key}": value for key, value in vars(profile.slurm).items()}}
    options = [f"slurm.options.{name}" for name in profile.slurm.options if name in reason]
    values |= {key: profile.slurm.options[key.removeprefix("slurm.options.")] for key in options}
    keys = options or next((keys for word, keys in _REFUSALS if word in reason.lower()), ())
    given = [f"{key} = {values[key]!r} ({profile.places.get(key, 'by default')})" for key in keys if values[key] is not None]
    unset = [key for key in keys if values[key] is None]
    hint = f" Look at {', '.join(given)}." if given else f" Not set in the profile: {', '.join(unset)}." if unset else ""
    return UserError(f"SLURM refuses the job: {reason}.{hint} Nothing was submitted.")
