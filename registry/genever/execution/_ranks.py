"""Which of a run's processes this one is, and how they find each other."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.distributed_c10d import Store

from genever.errors import UserError
from genever.runs import RunDirectory, write_whole
from genever.training import World

__all__ = ["Place", "joined"]

#: Seconds after which one who finds nobody looks again where to go.
_TRY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """This process's place among those that train a run.

    Args:
        rank: its number. 0 speaks and writes.
        size: number of processes.
        local_rank: its number on this machine, which is that of its GPU.
        num_nodes: machines. On one, nothing listens but on loopback.
        attempt: names this start of the run's processes, unlike any other start's. '' = started by hand.
        interface: the network interface by which processes talk. '' = loopback on one machine, else the host's own.
        patience: seconds to wait for the others, at the start and in every exchange.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    num_nodes: int = 1
    attempt: str = ""
    interface: str = ""
    patience: float = 600.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Place:
        """As torch's launcher names it, or SLURM's srun; alone where neither does."""

        def number(torch_name: str, slurm_name: str, default: int) -> int:
            return int(environment.get(torch_name) or environment.get(slurm_name) or default)

        return cls(
            rank=number("RANK", "SLURM_PROCID", 0),
            size=number("WORLD_SIZE", "SLURM_NTASKS", 1),
            local_rank=number("LOCAL_RANK", "SLURM_LOCALID", 0),
            num_nodes=number("GENEVER_NODES", "SLURM_STEP_NUM_NODES", 1),
            attempt=environment.get("GENEVER_ATTEMPT", ""),
            interface=environment.get("GENEVER_INTERFACE", ""),
            patience=float(environment.get("GENEVER_PATIENCE", cls.patience)),
        )

    @property
    def world(self) -> World:
        return World(rank=self.rank, size=self.size)

    @property
    def talks_over(self) -> str:
        """The interface, '' = the host's own."""
        return self.interface or ("lo" if self.num_nodes == 1 else "")


@contextmanager
def joined(place: Place, run: RunDirectory, device: torch.device) -> Iterator[World]:
    """All processes of a run, joined through its directory; alone, there is nothing to join.

    Raises:
        RuntimeError: the others did not come in time.
        UserError: there is no such network interface.
    """
    if place.size == 1:
        yield place.world
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if place.talks_over:
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = place.talks_over
    meeting_point = run.path / f".meeting_{place.attempt}"
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=_host(place, meeting_point) if place.rank == 0 else _guest(place, meeting_point),
        rank=place.rank,
        world_size=place.size,
        timeout=timedelta(seconds=place.patience),
    )
    try:
        yield place.world
        dist.destroy_process_group()
    finally:
        if place.rank == 0:
            meeting_point.unlink(missing_ok=True)


def _host(place: Place, meeting_point: Path) -> Store:
    """Rank 0 listens on a free port and writes down where."""
    address = _address(place.talks_over)
    listening = socket.create_server((address, 0), backlog=place.size)
    port = listening.getsockname()[1]
    store = TCPStore(
        address,
        port,
        is_master=True,
        wait_for_workers=False,
        master_listen_fd=listening.detach(),
        timeout=timedelta(seconds=place.patience),
    )
    write_whole(meeting_point, f"{address} {port}\n")
    return store


def _address(interface: str) -> str:
    """This machine's address on an interface; '' = that by which others reach it."""
    if interface:
        found = psutil.net_if_addrs().get(interface, [])
        if not found:
            here = ", ".join(sorted(psutil.net_if_addrs()))
            raise UserError(f"there is no network interface {interface!r} on {platform.node()}. There are: {here}.")
        return next(one.address for one in found if one.family is socket.AF_INET)
    address = socket.gethostbyname(socket.gethostname())
    if not address.startswith("127."):
        return address
    with socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM
    ) as probe:  # Nothing is sent; the system says by which way it would.
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


def _guest(place: Place, meeting_point: Path) -> Store:
    """The others go where rank 0 is; what a start that was killed wrote down is written anew before long."""
    until = time.monotonic() + place.patience
    while True:
        missing = f"there is no {meeting_point}"
        with suppress(FileNotFoundError):
            address, port = meeting_point.read_text(encoding="utf-8").split()
            missing = f"nobody answers at {address}:{port}"
            with suppress(RuntimeError):
                store = TCPStore(address, int(port), timeout=timedelta(seconds=min(_TRY_S, place.patience)))
                store.set_timeout(timedelta(seconds=place.patience))
                return store
        if time.monotonic() > until:
            raise RuntimeError(f"rank 0 did not come within {place.patience:.0f} s: {missing}")
        time.sleep(0.05)
