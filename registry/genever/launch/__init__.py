"""Jobs: where and how runs are trained when it is not here and now. Nothing here imports torch."""

from genever.launch._cluster import Cluster, Job, JobState, connect
from genever.launch._profile import Profile, SlurmSettings, read_profile

__all__ = ["Cluster", "Job", "JobState", "Profile", "SlurmSettings", "connect", "read_profile"]
