"""How the command ends on hostile, broken and huge inputs, in how long and with how much memory.

    python tools/measure_hostile.py [--only WORD ...] [--large] [--json FILE] [--before FILE]
    python tools/measure_hostile.py --signals 50 [--only WORD ...]

Prints a line for each case and counts by group. Time and memory over those of the case count as wrong, as does a good
file that changed. `--json` writes the results, and `--before` shows those of an earlier run beside them.

`--signals` ends each command that writes files by each signal at so many random times instead, and judges what is left:
files under their final names are complete, old or new, and others are removed or named.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import signal_runs
from command_runs import Command, command
from hostile_cases import all_cases, write_model, write_store
from hostile_runs import COLUMNS, judge_in, verdict_text


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def measure_cases(args: argparse.Namespace, edtalk: Command, good: Path) -> dict[str, Counter[str]]:
    """Run the cases, print a line for each, and return the counts by group."""
    earlier = json.loads(args.before.read_text()) if args.before else {}
    counts: dict[str, Counter[str]] = {}
    results = {}
    for case in all_cases():
        label = f"{case.group}: {case.name}"
        if (case.large and not args.large) or (args.only and not any(word in label for word in args.only)):
            continue
        with tempfile.TemporaryDirectory() as place:
            verdict, run = judge_in(Path(place), case, edtalk, good)
        counts.setdefault(case.group, Counter()).update(["tried", verdict])
        results[label] = {"verdict": verdict, "ending": run.ending, **asdict(run)}
        was = earlier.get(label)
        before = f" (before: {was['verdict']} {was['seconds']:.1f} s {was['memory']:.0f} MB)" if was else ""
        show(f"{verdict:<8}{run.ending:<8}{run.seconds:6.1f} s{run.memory:7.0f} MB  {label}{before}")
        if args.verbose and verdict != "right":
            show(f"    {verdict_text(verdict, run)}")
        if args.json:
            args.json.write_text(json.dumps(results, indent=1))
    return counts


def measure_signals(args: argparse.Namespace, edtalk: Command, good: Path) -> dict[str, Counter[str]]:
    """End commands by signals at random times, print what is wrong, and return the counts by command and signal."""
    counts: dict[str, Counter[str]] = {}
    for name, work in signal_runs.WORKS.items():
        if args.only and not any(word in name for word in args.only):
            continue
        with tempfile.TemporaryDirectory() as complete:
            seconds = signal_runs.complete_run(Path(complete), work, edtalk, good)
            for signal_name in signal_runs.SIGNALS:
                label = f"{name} {signal_name}"
                rng = np.random.default_rng([*label.encode()])
                for number in range(args.signals):
                    after, earlier = rng.uniform(0, seconds), Path(complete) if number % 2 else None
                    with tempfile.TemporaryDirectory() as place:
                        verdict, run = signal_runs.ended_run(
                            Path(place), work, signal_name, after, edtalk, good, earlier
                        )
                    words = ["tried", verdict.partition(":")[0], *(["ended by it"] if run.code else [])]
                    counts.setdefault(label, Counter()).update(words)
                    if verdict != "right":
                        show(f"{label} after {after:.2f} of {seconds:.2f} s: {verdict_text(verdict, run)}")
                row = ", ".join(f"{column} {counts[label][column]}" for column in signal_runs.COLUMNS)
                show(f"{label} within {seconds:.1f} s: {row}")
    return counts


def main() -> None:
    """Run the cases or the signals, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="cases whose group or name has a word")
    parser.add_argument("--large", action="store_true", help="also those of gigabytes and minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--before", type=Path, metavar="FILE", help="results of an earlier run, to compare")
    parser.add_argument("--verbose", action="store_true", help="show what wrong cases printed")
    parser.add_argument("--signals", type=int, default=0, metavar="N", help="end commands by N of each signal instead")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text, command() as edtalk:
        good = Path(text)
        write_store(good / "store")
        write_model(good / "model.safetensors")
        counts = (measure_signals if args.signals else measure_cases)(args, edtalk, good)
    columns = signal_runs.COLUMNS if args.signals else COLUMNS
    width = max(map(len, ["group", *counts])) + 2
    show(f"\n{'group':<{width}}" + "".join(f"{column:>12}" for column in columns))
    for group, row in counts.items():
        show(f"{group:<{width}}" + "".join(f"{row[column]:>12}" for column in columns))


if __name__ == "__main__":
    main()
