"""Training in several processes: who takes part, and how they meet and share tensors.

torchrun starts the processes and names them by RANK, WORLD_SIZE and LOCAL_RANK. Each trains on its share of every
batch; the gradients are averaged, so that all hold the same weights. One process alone needs none of this: `ALONE`
takes part in nothing and every method returns what it was given.
"""

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]

from ..errors import ModelError

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
LAUNCHERS = (
    ("srun", "SLURM_PROCID", "SLURM_NTASKS"), ("mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("mpirun", "PMI_RANK", "PMI_SIZE"), ("mpirun", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
)  # fmt: skip
"""What else starts several processes, and how each of them learns who it is."""
TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others, as while the first one reads its data."""


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as one of them sees them."""

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    """Number of this process on its machine: which of the machine's GPUs it computes on."""
    control: Any = field(default=None, repr=False)
    """A gloo group, so that agreeing on something never waits for a GPU."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes the run's files."""
        return self.rank == 0

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors (B, ...) of all processes, (ranks * B, ...), in order of rank; gradients flow back."""
        return tensor if self.ranks == 1 else _Gather.apply(tensor, self)

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean of all processes' tensors, without a gradient."""
        if self.ranks == 1:
            return tensor
        total = tensor.detach().clone()
        distributed.all_reduce(total)
        return total / self.ranks

    def agree(self, number: int) -> int:
        """Return the largest number of any process; all get the same answer at the same step."""
        if self.ranks == 1:
            return number
        largest = torch.tensor(number)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self.control)
        return int(largest)

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.ranks > 1:
            distributed.barrier(group=self.control)


ALONE = Processes()


def named(environment: Mapping[str, str] = os.environ) -> Processes:
    """Return who this process is by torchrun's names in the environment; without them, it is alone.

    Raises:
        ModelError: if some of the names are there and others are not, or are no numbers; if another program has
            started several processes, of which each would train alone in one folder.
    """
    given = {name: environment[name] for name in NAMES if name in environment}
    if len(given) not in (0, len(NAMES)):
        missing = ", ".join(name for name in NAMES if name not in given)
        raise ModelError(f"the environment names {', '.join(given)}, but not {missing}; start with torchrun")
    if not given:
        _refuse_launchers(environment)
        return ALONE
    rank, ranks, local_rank = (int(text) if text.isdecimal() else -1 for text in map(given.__getitem__, NAMES))
    if not (0 <= rank < ranks and local_rank >= 0):
        found = ", ".join(f"{name}={given[name]}" for name in NAMES)
        raise ModelError(f"the environment has {found}, which name no process of a group; start with torchrun")
    return ALONE if ranks == 1 else Processes(rank, ranks, local_rank)


def _refuse_launchers(environment: Mapping[str, str]) -> None:
    """Raise ModelError where srun or mpirun has started this process as one of several."""
    for program, rank, ranks in LAUNCHERS:
        # A batch script of Slurm is no task, although it has the names.
        is_script = (
            program == "srun" and "SLURM_STEP_ID" not in environment and environment.get("ENVIRONMENT") == "BATCH"
        )
        if rank in environment and environment.get(ranks, "1") not in ("", "1") and not is_script:
            raise ModelError(
                f"{program} has started {environment[ranks]} of these ({ranks}), and each would train alone; let it "
                "start torchrun once a machine (srun --ntasks-per-node 1 torchrun ..., docs/training.md), or set "
                "RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 where each is meant to be a training of its own"
            )


@contextmanager
def joined(processes: Processes, device: torch.device) -> Iterator[Processes]:
    """Meet the other processes: by nccl for tensors on GPUs, by gloo for others. Alone, there is nobody to meet."""
    if processes.ranks == 1:
        yield processes
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, ranks = next(rendezvous("env://", timeout=TIMEOUT))
    except (ValueError, distributed.DistError) as error:
        raise ModelError(f"the processes cannot meet ({str(error).splitlines()[0]}); start with torchrun") from error
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT, rank=rank, world_size=ranks,
        store=_store_of_this_start(store, rank, ranks),
    )  # fmt: skip
    yield replace(processes, control=distributed.new_group(backend="gloo", timeout=TIMEOUT))
    # Not after an error: the others may be in the middle of something, and to wait for them would hide it.
    distributed.destroy_process_group()


def _store_of_this_start(store: Any, rank: int, ranks: int) -> Any:
    """Return the processes' common store under a name that only those share that were started together.

    torchrun keeps one store over its restarts. There a process finds the addresses that the dead ones left, and waits
    for them until the timeout (torch 2.14, gloo). torchrun's count of restarts is each machine's own, so the first
    process makes up a name and replies with it to each request, which carries a name of its own, until all have joined.
    """
    name = secrets.token_hex(8)
    if rank > 0:
        store.set(f"request/{rank}", name)
        common = store.get(f"reply/{name}").decode()  # waits
        store.set(f"joined/{common}/{rank}", "")
        return PrefixStore(common, store)
    waiting, deadline = set(range(1, ranks)), time.monotonic() + TIMEOUT.total_seconds()
    while waiting:
        for other in sorted(waiting):
            if store.check([f"request/{other}"]):  # perhaps a dead one's request, so it is looked at again
                store.set(f"reply/{store.get(f'request/{other}').decode()}", name)
            if store.check([f"joined/{name}/{other}"]):
                waiting.discard(other)
        if time.monotonic() > deadline:
            raise ModelError(f"processes {sorted(waiting)} of {ranks} did not come within {TIMEOUT}")
        time.sleep(0.02)
    return PrefixStore(name, store)


class _Gather(torch.autograd.Function):
    """All processes' tensors forward; backward, the sum over processes of the gradient of one's own part.

    Each process then holds the gradient of the sum of all losses, and the mean that DistributedDataParallel takes of
    them is the gradient of the mean loss: that of one process with the whole batch.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        ctx.length = len(tensor)
        parts = [torch.empty_like(tensor) for _ in range(processes.ranks)]
        distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        start = ctx.processes.rank * ctx.length
        return total[start : start + ctx.length], None
