"""Stands in for `python -m genever.execution RUN`: the same variables, signals, exit codes and files, without torch."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from genever.runs import RunDirectory

run = RunDirectory(Path(sys.argv[1]))
rank = int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
attempt = os.environ["GENEVER_ATTEMPT"]
asked: list[int] = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda kind, frame: asked.append(kind))

#: steps, seconds of each, and what happens: {"rank": 1, "step": 3, "how": "raise", "times": 1}.
planned = run.path / "plan.json"
said = planned.read_text() if planned.exists() else os.environ.get("FAKE_PLAN", "{}")
plan = {"steps": 3, "seconds": 0.02, **json.loads(said)}
with open(run.path / f"env.{rank}.jsonl", "a") as told:
    told.write(json.dumps({**os.environ, "argv": sys.argv[2:], "file": __file__, "pid": os.getpid()}) + "\n")
if (run.failure or {}).get("attempt") not in (attempt, None):
    run.forget_failure()
starts = len((run.path / f"env.{rank}.jsonl").read_text().splitlines())


def save(step: int, **facts: object) -> None:
    if rank == 0:
        run.checkpoint(step).mkdir(exist_ok=True)
        run.update_facts(**facts)


def fail(how: str) -> None:
    if how == "leave":  # before anything is saved
        sys.exit(75)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    reason = f"rank {rank} on here: " + {"nan": "NonFiniteError: loss"}.get(how, "RuntimeError: planned")
    if how != "silent":
        run.note_failure(rank=rank, host="here", reason=reason, wrong=how == "wrong", attempt=attempt, time=time.time())
    sys.exit(2 if how == "wrong" else 1)


def main() -> int:
    if rank == 0:
        run.update_facts(status="running")
    for step in range(max(run.saved_steps(), default=0), plan["steps"]):
        time.sleep(plan["seconds"])
        death = plan.get("death", {})
        if (death.get("rank"), death.get("step")) == (rank, step) and starts <= death.get("times", 99):
            fail(death["how"])
        if (run.failure or {}).get("attempt") == attempt:  # Without the other, no step can be taken.
            return 1
        if asked:
            leaves = {signal.SIGUSR1, signal.SIGUSR2} & set(asked)
            time.sleep(plan.get("linger", 0))
            save(step + 1, status="preempted" if leaves else "stopped")
            return 75 if leaves else 76
    save(plan["steps"], status="finished", results={"fd": 1.0})
    return 0


sys.exit(main())
