"""Processes that must not outlive the one that started them."""

import os
import time


def wait_for_group(number: int, seconds: float = 10.0) -> None:
    """Wait until nobody of a process group is left; fail where somebody stays."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(number, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"processes of group {number} are left")
