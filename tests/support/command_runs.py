"""Runs of the command in processes of their own, with limits: how they end, how long they take, how much memory.

A first process imports what the command needs and forks for each run, which then starts at once.
"""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1 << 20
IMPORTS = (
    "torch", "numpy", "av", "cv2", "PIL.Image", "safetensors.torch", "soxr", "yaml", "accelerate",
    "torch.utils.tensorboard", "torch._dynamo",
)  # fmt: skip


@dataclass(frozen=True)
class CommandRun:
    """One run of the command."""

    code: int
    """Its exit code; negative for the signal that ended it."""
    stdout: str
    stderr: str
    seconds: float
    """Of the processor, which do not depend on what else the machine does."""
    memory: float
    """Peak over the memory of the idle command, MiB."""
    limit: str
    """Limit that ended the run: "seconds" or "memory"; empty otherwise."""

    @property
    def ending(self) -> str:
        """How it ended: "ok", "typed" (an error in one line), "untyped", "hang" or "memory"."""
        if self.limit:
            return "hang" if self.limit == "seconds" else "memory"
        untyped = "Traceback" in self.stderr or "please report it" in self.stderr or "Exception ignored" in self.stderr
        if untyped or self.code not in (0, 1, 2, 129, 130, 143):
            return "untyped"
        if self.code == 0:
            return "ok"
        return "typed" if "edtalk: error: " in self.stderr else "untyped"


class Command:
    """Runs `edtalk`; see `command`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self,
        arguments: Sequence[str | bytes],
        folder: Path,
        *,
        seconds: float = 60.0,
        patience: float | None = None,
        memory: float = 1024.0,
        environment: Mapping[str, str | None] | None = None,
        stdout: str = "",
        signals: Sequence[tuple[float, int]] = (),
    ) -> CommandRun:
        """Run the command in a folder.

        Args:
            arguments: of the command, as text or bytes.
            folder: working directory.
            seconds: limit of the processor's time.
            patience: limit of real time, for what waits without computing; by default six times as much.
            memory: limit over the idle command, MiB.
            environment: variables to set, or to remove (None).
            stdout: "closed", a path to write to, or empty for a file that is read back.
            signals: (processor seconds, signal) to send when the command has used so many.
        """
        request = {
            "arguments": [os.fsdecode(argument) for argument in arguments],
            "folder": str(folder),
            "seconds": seconds,
            "patience": patience or 6 * seconds,
            "memory": memory,
            "environment": dict(environment or {}),
            "stdout": stdout,
            "signals": [list(pair) for pair in signals],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return CommandRun(**json.loads(self._process.stdout.readline()))


@contextmanager
def command() -> Iterator[Command]:
    """Context manager that gives a Command, whose first process lives as long as the block."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            yield Command(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def _serve() -> None:
    for name in IMPORTS:
        __import__(name)
    import edtalk_core.cli

    for module in pkgutil.walk_packages(edtalk_core.__path__, "edtalk_core."):
        __import__(module.name)
    edtalk_core.cli.build_parser()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(_run(json.loads(line))) + "\n")
        answers.flush()


def _run(request: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as texts:
        out, err = Path(texts, "stdout"), Path(texts, "stderr")
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            _become_command(request, out, err)
        idle, peak, limit = _resident(child), 0.0, ""
        started = time.monotonic()
        signals = list(request["signals"])
        while True:
            pid, status, usage = os.wait4(child, os.WNOHANG)
            passed = time.monotonic() - started
            if pid:
                break
            peak = max(peak, _resident(child))
            used = _processor_seconds(child)
            while signals and used >= signals[0][0]:
                os.kill(child, int(signals.pop(0)[1]))
            late = passed > request["patience"] or used > request["seconds"]
            if not limit and (late or peak - idle > request["memory"] * MIB):
                limit = "seconds" if late else "memory"
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.005)
        peak = max(peak, usage.ru_maxrss * 1024)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "stdout": out.read_text("utf-8", "replace") if out.exists() else "",
            "stderr": err.read_text("utf-8", "replace"),
            "seconds": usage.ru_utime + usage.ru_stime,
            "memory": max(0.0, peak - idle) / MIB,
            "limit": limit,
        }


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * float(resource.getpagesize())
    except (OSError, IndexError):
        return 0.0


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))
    except (OSError, IndexError):
        return 0.0


def _become_command(request: dict[str, Any], out: Path, err: Path) -> None:
    code = 99
    try:
        os.chdir(request["folder"])
        for name, value in request["environment"].items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        error_file = os.open(err, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(error_file, 2)
        if request["stdout"] == "closed":
            os.close(1)
        else:
            os.dup2(os.open(request["stdout"] or out, os.O_WRONLY | os.O_CREAT, 0o600), 1)
        encoding = os.environ.get("PYTHONIOENCODING") or "utf-8"
        closed = request["stdout"] == "closed"
        sys.stdout = None if closed else open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if hasattr(signal, "SIGHUP"):  # which nohup ignores
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
        import edtalk_core.cli

        code = edtalk_core.cli.main(request["arguments"])
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError:
            code = 120  # as the interpreter does at its end
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
