"""What the tests of faults read, and how patient they are."""

import random

from avcorr.shards.store import RetryPolicy
from tests.support.proxy import Fault, Plan

SIZE = 4_000_000
DATA = random.Random(3).randbytes(SIZE)
POLICY = RetryPolicy(
    attempts=5,
    first_wait=0.01,
    longest_wait=0.05,
    connect_seconds=2,
    stall_seconds=0.6,
    slow_seconds=0.5,
    outage_seconds=1,
)


def first(fault: Fault) -> Plan:
    """Return the plan that makes a fault of the first answer alone."""
    return lambda request: fault if request.number == 0 else None
