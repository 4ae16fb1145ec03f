"""What the speed of pairs means, for a person: rates, where the time went, what to do about it."""

from collections.abc import Iterator
from textwrap import fill

from .speed import Speed

_BAR = 20
_NEGLIGIBLE = 0.1
"""Share of waiting that no training would feel."""
_CROWDED = 0.7
_WITH_RATE = ("draw", "read", "decode")


def describe(speed: Speed) -> str:
    """Return it as lines of text."""
    stages = speed.stages
    order = f"blocks of {speed.block_clips} clips" if speed.block_clips else "a global shuffle"
    source = "the store" if speed.remote else "the folder, or from memory where it was read before"
    asked = f", {speed.rate:,.0f} a second asked for" if speed.rate else ""
    bad = f", {_count(speed.bad_shards, 'bad shard')} passed over" if speed.bad_shards else ""
    return "\n".join([
        f"{speed.root}, {speed.split}: {_count(speed.clips, 'clip')} in {_count(speed.shards, 'shard')}{bad}",
        f"batches of {speed.batch_size}, {_count(speed.per_clip, 'pair')} a clip, {order}; "
        f"{_count(speed.workers, 'worker')}, {_count(speed.cores, 'core')}",
        f"{speed.pairs:,} pairs in {speed.seconds:.1f} s{asked}; "
        f"before that {speed.start_seconds:.1f} s for the first batch",
        "",
        f"{speed.pairs_per_second:8,.0f} pairs/s",
        f"{speed.pairs_per_core:8,.0f} pairs/s a core, {1e6 / speed.pairs_per_core:,.0f} us of CPU time each",
        f"{speed.bytes_per_second / 1e6:8,.1f} MB/s from {source}",
        f"{stages.read_bytes / speed.pairs / 1e3:8,.0f} kB a pair, {speed.needed_bytes / 1e3:,.0f} of them needed",
        "",
        *_table(speed),
        "",
        *(fill(line, 100, initial_indent="- ", subsequent_indent="  ") for line in advise(speed)),
    ])  # fmt: skip


def _table(speed: Speed) -> Iterator[str]:
    """Yield a line for each stage. Rates are those of all workers together, had they nothing else to do."""
    stages, shares = speed.stages, speed.shares()
    moved = f"{stages.read_bytes / 1e6:,.0f} MB, {_count(stages.read_requests, 'request')}, "
    under_way = f"{stages.in_flight_seconds / speed.seconds:.1f} under way, " if speed.remote else ""
    notes = {
        "draw": "which clips, frames and windows",
        "read": f"{moved}{under_way}{_count(stages.read_retries, 'retry', 'retries')}",
        "read_wait": "nothing to decode before bytes came",
        "decode": f"JPEG and PCM, {_count(stages.decode_errors, 'error')}",
        "assemble": "room in shared memory" if speed.workers else "room for a batch",
        "idle": "enough was ready",
    }
    whose = "workers' time" if speed.workers else "time"
    yield f"{'stage':10} {'seconds':>8} {'pairs/s':>9}  {whose}"
    for name in [*(stage for stage in ("draw", "read") if stage not in shares), *shares]:
        seconds = getattr(stages, f"{name}_seconds")
        rate = f"{max(speed.workers, 1) * stages.pairs / seconds:,.0f}" if name in _WITH_RATE and seconds else ""
        share = f"{shares[name]:4.0%} {'#' * round(_BAR * shares[name])}" if name in shares else "beside the others"
        yield f"{name.replace('_', ' '):10} {seconds:8.1f} {rate:>9}  {share:{_BAR + 5}} {notes[name]}"
    if speed.workers:
        yield (
            f"{'queue':10} {stages.wait_seconds:8.1f} {'':9}  {f'waited {speed.wait:.0%} of the time':{_BAR + 5}} "
            f"{speed.queue:.1f} of at most {speed.ahead} batches were ready"
        )
    if stages.device_seconds:
        rate = f"{stages.pairs / stages.device_seconds:,.0f}"
        share = f"{stages.device_seconds / speed.seconds:.0%} of this process"
        yield f"{'device':10} {stages.device_seconds:8.1f} {rate:>9}  {share:{_BAR + 5}} frames are decoded there"


def advise(speed: Speed) -> list[str]:
    """Return what to do, about the slowest stage first."""
    shares, stages = speed.shares(), speed.stages
    slowest = max(shares, key=lambda name: shares[name])
    lines = [f"{_TITLES[slowest]} {shares[slowest]:.0%} of the time: {_way_out(speed, slowest)}"]
    if speed.rate and speed.wait < _NEGLIGIBLE:
        lines = [f"{speed.rate:,.0f} pairs/s come as asked for; whoever takes them waits {speed.wait:.0%} of the time"]
    if speed.cpu_share < _CROWDED:
        lines.append(
            f"each second of work got {speed.cpu_share:.1f} seconds of a core: other programs use the cores, or there "
            f"are fewer of them ({speed.cores}) than workers and this process need"
        )
    if not speed.workers:
        lines.append("without workers the training process does all this between its steps; set pairs.workers")
    if speed.remote and stages.read_bytes > 2 * speed.needed_bytes * speed.pairs:
        lines.append(
            f"{stages.read_bytes / speed.needed_bytes / speed.pairs:.1f} times what is needed is moved; pairs of one "
            f"clip share what lies between them, so more of them (pairs.per_clip, now {speed.per_clip}) move less each"
        )
    if stages.read_retries > 0.01 * stages.read_requests:
        lines.append(
            f"{stages.read_retries:,} of {stages.read_requests:,} requests were repeated: the store is throttled or "
            "the network breaks off; fewer workers ask for less at once"
        )
    if stages.collate_seconds > 0.2 * speed.seconds:
        lines.append(
            f"{stages.collate_seconds / speed.seconds:.0%} of this process's time goes into putting "
            f"{_count(speed.parts, 'part')} a batch together; a number of workers with fewer parts does less of that"
        )
    if stages.device_seconds > 0.2 * speed.seconds:
        lines.append(
            f"{stages.device_seconds / speed.seconds:.0%} of this process's time goes into decoding on the device, "
            "which then does not train; pairs.decode: frame leaves it to the workers"
        )
    if stages.decode_errors or speed.bad_shards:
        lines.append("shards are damaged: avcorr verify ROOT --full says which and where")
    return lines


_TITLES = {
    "draw": "drawing takes", "read": "reading takes", "read_wait": "workers wait for bytes", "decode": "decoding takes",
    "assemble": "making room takes", "idle": "workers are idle",
}  # fmt: skip


def _way_out(speed: Speed, stage: str) -> str:
    stages, workers = speed.stages, speed.workers
    if stage == "decode":
        if workers < speed.cores:
            return f"more workers use more of the {_count(speed.cores, 'core')} (pairs.workers, now {workers})"
        return (
            f"all {speed.cores} cores have a worker; a smaller pairs.frame_size (now {speed.frame_size}) decodes less, "
            f"and each further core gives about {speed.pairs_per_core:,.0f} pairs/s"
        )
    if stage == "read_wait":
        latency = 1e3 * stages.in_flight_seconds / max(stages.read_requests, 1)
        return (
            f"a request takes {latency:,.0f} ms; more workers (pairs.workers, now {workers}) have more under way, as "
            "long as MB/s grow with them; --cache keeps what comes for the next epochs"
        )
    if stage == "read":
        return (
            "the disk is slow or far away; more workers have more reads under way, and a hard disk or a network's "
            f"folder prefers neighbours (pairs.block_clips 64, now {speed.block_clips})"
        )
    if stage == "idle":
        return "the pairs are not what is slow; fewer workers would do, or whoever takes them could take more"
    if stage == "draw":
        return f"chunks are largest where 16 divides the batch ({speed.batch_size} is it now)"
    return "memory is short or slow; smaller batches or fewer workers make less ahead"


def _count(number: int, what: str, plural: str = "") -> str:
    return f"{number:,} {what if number == 1 else plural or what + 's'}"
