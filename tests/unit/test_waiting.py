"""Threads that wait sleep where the machine is busy, and the host's process stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from edtalk_core.process import WAIT_POLICIES
from edtalk_core.waiting import short_waits

CPU = torch.device("cpu")

gnu_openmp = pytest.mark.skipif(
    sys.platform != "linux"
    or "libgomp" not in Path("/proc/self/maps").read_text(errors="replace")
    or (os.cpu_count() or 1) < 2
    or any(name in os.environ for name in WAIT_POLICIES),
    reason="needs GNU's OpenMP with its own wait policy, and two cores",
)

WORK = """
import sys, time, torch
from contextlib import nullcontext
from edtalk_core.waiting import short_waits

def seconds(threads, context):
    torch.set_num_threads(threads)
    x = torch.ones(1 << 17)
    with context:
        x.add_(1)
        started = time.process_time()
        for _ in range(150):
            x.add_(1)
        return time.process_time() - started

alone = min(seconds(1, nullcontext()) for _ in range(3))
print(seconds(2, short_waits(torch.device("cpu"))) / alone)
"""


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@gnu_openmp
def test_a_busy_machine_costs_no_more_than_its_share():
    """Parallel loops beside processes that want the cores, in processor time: spinning costs ten times as much."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        found = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True, timeout=300)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert float(found.stdout) < 5


@gnu_openmp
@pytest.mark.usefixtures("two_threads")
def test_the_process_is_as_before():
    torch.zeros(1 << 20).add_(1)
    threads, tasks = torch.get_num_threads(), threads_of_this_process()
    with short_waits(CPU):
        inside = threads_of_this_process()
        with short_waits(CPU):
            assert threads_of_this_process() == inside
        assert threads_of_this_process() == inside
        assert torch.get_num_threads() == threads
    assert inside > tasks + (os.cpu_count() or 1) - 1
    deadline = time.monotonic() + 30
    while threads_of_this_process() > tasks and time.monotonic() < deadline:  # they end by themselves
        time.sleep(0.01)
    assert threads_of_this_process() <= tasks
    assert torch.get_num_threads() == threads


@gnu_openmp
@pytest.mark.usefixtures("two_threads")
def test_blocks_of_several_threads_overlap():
    barrier = threading.Barrier(3)

    def wait() -> None:
        with short_waits(CPU):
            barrier.wait(30)
            barrier.wait(30)

    workers = [threading.Thread(target=wait) for _ in range(2)]
    for worker in workers:
        worker.start()
    barrier.wait(30)
    assert [thread.name for thread in threading.enumerate()].count("edtalk-short-waits") == 1
    barrier.wait(30)
    for worker in workers:
        worker.join(30)
    assert "edtalk-short-waits" not in [thread.name for thread in threading.enumerate()]


def test_nothing_happens_for_another_device():
    with short_waits(torch.device("meta")):
        assert "edtalk-short-waits" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("setting", ["", "GOMP_SPINCOUNT=5000"], ids=["own", "of-the-user"])
def test_the_command_waits_passively_unless_the_user_has_chosen(setting: str):
    environment = {name: value for name, value in os.environ.items() if name not in WAIT_POLICIES}
    environment.update([setting.split("=")] if setting else [])
    code = (
        "import os, edtalk_core.process as process; process.prepare_process(); "
        "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.split() == (["None", "5000"] if setting else ["PASSIVE", "None"])


def test_a_host_that_has_torch_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    from edtalk_core.process import prepare_process

    for name in WAIT_POLICIES:
        monkeypatch.delenv(name, raising=False)
    prepare_process()
    assert "OMP_WAIT_POLICY" not in os.environ


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_the_command_keeps_the_memory_that_it_frees():
    """Pages that are used again are not faulted in again: counted over 10 tensors of 10,240 pages."""
    code = (
        "import resource\n{}\nimport torch\n"
        "def work(): torch.ones(10 << 20)\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "torch.set_num_threads(1)\n"
        "for _ in range(20): work()  # aligned blocks of a size move up until there is room for their slack\n"
        "before = faults()\n"
        "for _ in range(10): work()\n"
        "print(faults() - before)"
    )
    settings = ("", "from edtalk_core.process import prepare_process; prepare_process()")
    programs = [[sys.executable, "-c", code.format(setting)] for setting in settings]
    counts = [int(subprocess.run(program, capture_output=True, text=True, check=True).stdout) for program in programs]
    if counts[0] < 10_000:
        pytest.skip("this allocator keeps freed memory anyway")
    assert counts[1] < counts[0] / 10
