"""Runs of hostile cases in folders of their own, and verdicts on them."""

from __future__ import annotations

import shutil
from pathlib import Path

from command_runs import Command, CommandRun
from hostile_cases import Bench, Case, digest, is_clean

COLUMNS = ("tried", "right", "untyped", "hang", "memory", "slow", "lost", "raw", "other")


def judge(case: Case, run: CommandRun, changed: list[str]) -> str:
    """The verdict on a run: "right", or what is wrong with it, one of COLUMNS."""
    if changed:
        return "lost"
    if run.ending in ("untyped", "hang", "memory"):
        return run.ending
    if run.memory > case.memory:
        return "memory"
    if run.seconds > case.seconds:
        return "slow"
    if case.group == "shown" and not is_clean(run.stdout + run.stderr):
        return "raw"
    return "right" if run.ending in case.endings else "other"


def verdict_text(verdict: str, run: CommandRun) -> str:
    """What a wrong run did, for messages."""
    printed = (run.stderr or run.stdout)[-1500:]
    return f"{verdict}: {run.ending}, {run.code}, {run.seconds:.1f} s, {run.memory:.0f} MiB, printed {printed!r}"


def judge_in(place: Path, case: Case, edtalk: Command, good: Path) -> tuple[str, CommandRun]:
    """Run a case in new folders below `place`, with the model and a copy of the store in `good`, and judge it."""
    folder = place / "work"
    folder.mkdir()
    store = place / "store"
    shutil.copytree(good / "store", store)
    arguments = [str(part) for part in case.arguments(Bench(folder, good / "model.safetensors", store))]
    before = digest(folder)
    run = edtalk.run(
        arguments,
        folder,
        seconds=case.seconds * 2,
        memory=max(case.memory, 1024) + 512,
        environment=case.environment,
        stdout=case.stdout,
    )
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    after = digest(folder)
    changed = [name for name, value in before.items() if after.get(name) != value and "report.json" not in name]
    return judge(case, run, changed), run
