"""Jobs: where and how runs are trained when it is not here and now. Nothing here imports torch."""

from genever.launch._cluster import Cluster, Job, JobState
from genever.launch._condition import Condition, cancel_runs, condition, look
from genever.launch._connect import connect
from genever.launch._folder import RunJob
from genever.launch._profile import Profile, SlurmSettings, read_profile
from genever.launch._ranks import spawn_here
from genever.launch._snapshot import freeze_code
from genever.launch._supervisor import supervise

__all__ = [
    "Cluster",
    "Condition",
    "Job",
    "JobState",
    "Profile",
    "RunJob",
    "SlurmSettings",
    "cancel_runs",
    "condition",
    "connect",
    "freeze_code",
    "look",
    "read_profile",
    "spawn_here",
    "supervise",
]
