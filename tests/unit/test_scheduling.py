"""Tasks on processes and on a cluster, whose workers are killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from scheduled_tasks import killed_once, slow_pid, square

from edtalk_core.errors import ArgumentError, EDTalkError
from edtalk_core.scheduling import run_tasks

SUPPORT = Path(__file__).resolve().parents[1] / "support"


@pytest.fixture
def importable_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets other processes import the tasks."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)


def test_one_process_works_in_order():
    assert list(run_tasks(square, [3, 1, 2])) == [(0, 9), (1, 1), (2, 4)]
    with pytest.raises(EDTalkError, match="-1 is negative"):
        list(run_tasks(square, [1, -1]))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.usefixtures("importable_tasks")
def test_killed_process_loses_nothing(tmp_path: Path):
    tasks = [(str(tmp_path), number) for number in range(4)]
    assert sorted(run_tasks(killed_once, tasks, workers=2)) == [(i, i * i) for i in range(4)]
    assert (tmp_path / "killed").exists()


def test_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("edtalk_core.scheduling.CONNECTION_TIMEOUT", 1)
    with pytest.raises(ArgumentError, match="does not respond"):
        list(run_tasks(square, [1], scheduler="tcp://127.0.0.1:1"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.usefixtures("importable_tasks")
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
