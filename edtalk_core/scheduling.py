"""Independent tasks on this machine's processes or on a Dask cluster, each done again if its worker is lost."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

from .errors import ArgumentError, EDTalkError, MissingRequirement

Task = TypeVar("Task")
Result = TypeVar("Result")

CONNECTION_TIMEOUT = 15
"""Seconds until a scheduler must respond."""


def run_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int = 1, scheduler: str = ""
) -> Iterator[tuple[int, Result]]:
    """Call a function with each task; yield the index of the task and the result, in the order that they end.

    Args:
        function: at the top of a module, so that other processes can import it; the same task must give the same
            result wherever it runs. Exceptions propagate, and end the run.
        tasks: arguments, which can be pickled.
        workers: processes on this machine, of one thread each; 1: this process itself. Ignored with a scheduler.
        scheduler: address of a Dask scheduler, such as tcp://host:8786. Its workers need EDTalk, and the same folders
            under the same names. A task whose worker is lost runs again on another.

    Raises:
        MissingRequirement: a scheduler without the package.
        ArgumentError: the scheduler does not respond.
        EDTalkError: a worker of this machine was killed, or a task ended its workers several times.
    """
    if scheduler:
        yield from _on_cluster(function, tasks, scheduler)
    elif workers <= 1 or len(tasks) <= 1:
        for index, task in enumerate(tasks):
            yield index, function(task)
    else:
        yield from _on_this_machine(function, tasks, workers)


def _on_this_machine(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int
) -> Iterator[tuple[int, Result]]:
    from concurrent.futures.process import BrokenProcessPool

    pending = dict(enumerate(tasks))
    for attempt in range(3):
        # Spawned, not forked: forking a process that runs torch's threads can hang.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(workers, len(pending)), context, _one_thread)
        try:
            futures: dict[Future[Result], int] = {pool.submit(function, task): index for index, task in pending.items()}
            for future in as_completed(futures):
                result = future.result()
                del pending[futures[future]]
                yield futures[future], result
        except BrokenProcessPool:
            # The pool of a killed worker is lost with all that waited; what is finished is not done again.
            if attempt == 2:
                raise EDTalkError(
                    "A worker process was killed three times, perhaps for want of memory: use fewer workers."
                ) from None
        else:
            return
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cluster(
    function: Callable[[Task], Result], tasks: Sequence[Task], address: str
) -> Iterator[tuple[int, Result]]:
    try:
        import distributed
    except ImportError:
        raise MissingRequirement("--scheduler needs Dask: pip install 'edtalk[distributed]'.") from None
    try:
        client = distributed.Client(address, timeout=CONNECTION_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"The Dask scheduler {address} does not respond: {error}") from error
    with client:
        # Not pure: what a task writes belongs to this run, even if another run had the same task.
        futures: dict[Any, int] = {
            client.submit(function, task, pure=False, retries=0): index for index, task in enumerate(tasks)
        }
        try:
            for future, result in distributed.as_completed(futures, loop=client.loop, with_results=True):
                yield futures[future], result
        except distributed.KilledWorker as error:
            raise EDTalkError(
                f"A task ended the workers that it ran on, several times: {error}. Look at the workers' logs; they may "
                "lack memory."
            ) from error


def _one_thread() -> None:
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
