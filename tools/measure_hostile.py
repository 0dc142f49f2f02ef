"""How the command ends on hostile, broken and huge inputs, in how long and with how much memory.

    python tools/measure_hostile.py [--only WORD ...] [--large] [--json FILE] [--before FILE]

Prints a line for each case and counts by group. Time and memory over those of the case count as wrong, as does a good
file that changed. `--json` writes the results, and `--before` shows those of an earlier run beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from command_runs import command
from hostile_cases import all_cases, write_model, write_store
from hostile_runs import COLUMNS, judge_in, verdict_text


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the cases, and print the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="cases whose group or name has a word")
    parser.add_argument("--large", action="store_true", help="also those of gigabytes and minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--before", type=Path, metavar="FILE", help="results of an earlier run, to compare")
    parser.add_argument("--verbose", action="store_true", help="show what wrong cases printed")
    args = parser.parse_args()
    earlier = json.loads(args.before.read_text()) if args.before else {}
    counts: dict[str, Counter[str]] = {}
    results = {}
    with tempfile.TemporaryDirectory() as text, command() as edtalk:
        good = Path(text)
        write_store(good / "store")
        write_model(good / "model.safetensors")
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
    show(f"\n{'group':<10}" + "".join(f"{column:>9}" for column in COLUMNS))
    for group, row in counts.items():
        show(f"{group:<10}" + "".join(f"{row[column]:>9}" for column in COLUMNS))


if __name__ == "__main__":
    main()
