"""Do the next pieces of work while the last one is used, and hand on their results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
    cost: Callable[[Item], int] = lambda item: 1,
) -> Generator[Result, None, None]:
    """Yield function(item) in the order of the items, by an executor that stays the caller's.

    No item is taken while those that are begun and not yet handed on cost `ahead` or more: their number, unless `cost`
    says otherwise. What waits is cancelled when the iterator is closed or an error ends it.
    """
    waiting: deque[tuple[int, Future[Result]]] = deque()
    held = 0
    try:
        for item in items:
            waiting.append((cost(item), executor.submit(function, item)))
            held += waiting[-1][0]
            while held >= ahead:
                held -= waiting[0][0]
                yield waiting.popleft()[1].result()
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        for _, future in waiting:
            future.cancel()
