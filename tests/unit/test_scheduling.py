"""Tasks on processes and on a cluster, whose workers are killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from edtalk_core.errors import ArgumentError, EDTalkError
from edtalk_core.scheduling import run_tasks


def square(number: int) -> int:
    if number < 0:
        raise EDTalkError(f"{number} is negative")
    return number * number


def killed_once(task: tuple[str, int]) -> int:
    """Kills its own process the first time that it is called with a folder."""
    folder, number = task
    if number == 2:
        marker = Path(folder) / "killed"
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def slow_pid(task: tuple[str, int]) -> int:
    """Writes who works on a task, takes a moment, and appends that it is finished."""
    folder, number = task
    (Path(folder) / f"{number}.started").write_text(str(os.getpid()))
    time.sleep(0.5)
    with (Path(folder) / f"{number}.done").open("a") as file:
        file.write("x")
    return number


def test_one_process_works_in_order():
    assert list(run_tasks(square, [3, 1, 2])) == [(0, 9), (1, 1), (2, 4)]
    with pytest.raises(EDTalkError, match="-1 is negative"):
        list(run_tasks(square, [1, -1]))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_process_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    tasks = [(str(tmp_path), number) for number in range(4)]
    assert sorted(run_tasks(killed_once, tasks, workers=2)) == [(i, i * i) for i in range(4)]
    assert (tmp_path / "killed").exists()


def test_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("edtalk_core.scheduling.CONNECTION_TIMEOUT", 1)
    with pytest.raises(ArgumentError, match="does not respond"):
        list(run_tasks(square, [1], scheduler="tcp://127.0.0.1:1"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_cluster_of_two_one_of_which_is_killed(tmp_path: Path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:
        tasks = [(str(tmp_path), number) for number in range(8)]
        results = []
        for index, result in run_tasks(slow_pid, tasks, scheduler=cluster.scheduler_address):
            results.append((index, result))
            if len(results) == 1:
                running = next(
                    n
                    for n in range(8)
                    if not (tmp_path / f"{n}.done").exists() and (tmp_path / f"{n}.started").exists()
                )
                os.kill(int((tmp_path / f"{running}.started").read_text()), signal.SIGKILL)
    assert sorted(results) == [(number, number) for number in range(8)]
    assert all((tmp_path / f"{number}.done").exists() for number in range(8))
