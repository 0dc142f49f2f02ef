"""A report on runs of protocols: one HTML page, with JSON and CSV beside it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EDTalkError
from ..wording import counted
from .charts import confusion_table, dot_chart, line_chart
from .metrics import Metric
from .page import html_page, inline_picture
from .paper_metrics import metric_table
from .paper_protocols import PROTOCOLS
from .paper_tables import PAPER_FIGURES
from .results import RunResults, confidence_interval, read_run
from .runs import RUN, ClipResult
from .text_files import write_text
from .time_series import FPS

WORST = 10
"""Clips that are shown."""
_ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Comparison:
    """Difference of a figure between two runs."""

    other: float
    """Mean of the other run."""
    difference: float
    """Mean of ours minus the other's over the clips that both have; of a pooled figure, the plain difference."""
    low: float
    """Lower end of its 95 % confidence interval, by bootstrap over those clips; nan for a pooled figure."""
    high: float


def read_runs(folder: Path) -> dict[str, RunResults]:
    """The runs in a folder by protocol, in the order of PROTOCOLS. Raises EDTalkError when there are none."""
    runs = {name: read_run(folder / name) for name in PROTOCOLS if (folder / name / RUN).is_file()}
    if not runs:
        raise EDTalkError(f"{folder} holds no results: make some with edtalk evaluate --protocol NAME --out {folder}.")
    return runs


def write_report(folder: Path, page: Path, compare: Path | None = None) -> list[Path]:
    """Write the report on the runs in a folder: the page, and a .json and .csv file of the same name beside it.

    `compare`: folder of other runs, whose figures are shown beside ours.

    Returns the three paths. Raises EDTalkError when there are no results or a file cannot be written.
    """
    runs = read_runs(folder)
    others = read_runs(compare) if compare is not None else {}
    content = {name: run.as_dict() for name, run in runs.items()}
    if others:
        for name in content.keys() & others.keys():
            content[name]["compared"] = {
                metric: vars(comparison) for metric, comparison in compare_runs(runs[name], others[name]).items()
            }
    files = {
        page: report_page(runs, others),
        page.with_suffix(".json"): json.dumps(_finite(content), indent=1, ensure_ascii=False),
        page.with_suffix(".csv"): _table_csv(runs),
    }
    for path, text in files.items():
        write_text(path, text)
    return list(files)


def compare_runs(ours: RunResults, other: RunResults) -> dict[str, Comparison]:
    """Differences of the figures that both runs have, by metric."""
    comparisons = {}
    theirs = {clip.name: clip.figures for clip in other.clips}
    for metric in ours.figures.keys() & other.figures.keys():
        pairs = [
            clip.figures[metric] - theirs[clip.name][metric]
            for clip in ours.clips
            if metric in clip.figures and metric in theirs.get(clip.name, {})
        ]
        if pairs:
            differences = np.array(pairs)
            interval = confidence_interval(differences)
            comparisons[metric] = Comparison(other.figures[metric].mean, float(differences.mean()), *interval)
        elif metric_table()[metric].pool is not None:
            difference = ours.figures[metric].mean - other.figures[metric].mean
            comparisons[metric] = Comparison(other.figures[metric].mean, difference, float("nan"), float("nan"))
    return comparisons


def report_page(runs: dict[str, RunResults], others: dict[str, RunResults]) -> str:
    """The HTML page of runs by protocol, beside others' where there are any."""
    links = "".join(f'<a href="#{name}">{escape(PROTOCOLS[name].title)}</a>' for name in runs)
    first = next(iter(runs.values()))
    weights = ", ".join(first.run["sha256"]) or ", ".join(first.run["settings"]["weights"])
    body = [
        f'<h1>EDTalk: {escape(weights)}</h1><p class="quiet">Measured by edtalk {escape(first.run["version"])}, split '
        f"{escape(first.run['settings']['split'])} of {escape(Path(first.run['settings']['data']).name)}. Intervals: "
        f"95 %, bootstrap over clips.</p><nav>{links}<a href='#settings'>Settings</a></nav>"
    ]
    body += [_protocol(name, run, others.get(name)) for name, run in runs.items()]
    body.append('<h2 id="settings">Settings and hashes</h2>')
    labelled = [("this", runs), *([("compared with", others)] if others else [])]
    for label, group in labelled:
        for name, run in group.items():
            rows = {**run.run["settings"], "networks": run.run["networks"], **run.run["sha256"]}
            cells = "".join(
                f"<tr><th>{escape(k)}</th><td><code>{escape(_text(v))}</code></td></tr>" for k, v in rows.items()
            )
            body.append(f"<details><summary>{label}: {escape(name)}</summary><table>{cells}</table></details>")
    return html_page(f"EDTalk report: {weights}", "".join(body))


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _protocol(name: str, run: RunResults, other: RunResults | None) -> str:
    protocol, measured = PROTOCOLS[name], [clip for clip in run.clips if "all" not in clip.missing]
    parts = [
        f'<h2 id="{name}">{escape(protocol.title)}</h2><p class="quiet">{escape(protocol.about)}. '
        f"{len(measured)} of {counted(len(run.run['clips']), 'clip')}"
        f"{_because(run.reasons)}.</p>"
    ]
    parts.append(_figure_table(name, run, other))
    for metric, row in metric_table().items():
        if row.classify is not None and (counts := run.confusion(metric)):
            parts.append(f"<h3>{escape(row.title)}: labels and what is seen</h3>{confusion_table(counts)}")
    worst = worst_clips(measured)
    if worst:
        parts.append(
            f"<h3>Worst {len(worst)} clips</h3><p class='quiet'>By the mean rank over all figures that have a "
            "better direction. Pictures: portrait; true frames above rendered ones.</p>"
        )
        parts += [_clip(run, clip) for clip in worst]
    return "".join(parts)


def _because(reasons: Counter[str]) -> str:
    return "".join(f"; {count}: {escape(reason)}" for reason, count in sorted(reasons.items()))


def _figure_table(name: str, run: RunResults, other: RunResults | None) -> str:
    paper = PAPER_FIGURES.get(name, {})
    comparisons = compare_runs(run, other) if other is not None else {}
    heads = [
        "metric",
        "figure",
        "95 %",
        "clips",
        *paper,
        *(["compared with", "difference"] if other else []),
        "clip by clip",
    ]
    head = "".join(
        f"<th{'' if i in (0, len(heads) - 1) else ' class=number'}>{escape(h)}</th>" for i, h in enumerate(heads)
    )
    rows = []
    missing, left_out = run.missing, run.left_out
    for metric, row in metric_table().items():
        figure = run.figures.get(metric)
        if figure is None and metric not in missing:
            continue
        notes = [f"stands in for {row.stands_in_for}"] if row.stands_in_for else []
        notes += [f"{counted(count, 'clip')}: {reason}" for reason, count in missing.get(metric, Counter()).items()]
        notes += [f"{counted(count, 'frame')}: {reason}" for reason, count in left_out.get(metric, Counter()).items()]
        title = f"<span title='{escape(row.source, quote=True)}'>{escape(row.title)} {_direction(row)}</span>"
        cells = [f"<td>{title}<br><small>{escape('; '.join(notes))}</small></td>"]
        if figure is None:
            cells += ['<td class="number">none</td>', "<td></td>", '<td class="number">0</td>']
        else:
            interval = f"{figure.low:.4g} to {figure.high:.4g}" if np.isfinite(figure.low) else ""
            cells += [
                f'<td class="number"><b>{figure.mean:.4g}</b> {escape(row.unit)}</td>',
                f'<td class="number"><small>{interval}</small></td>',
                f'<td class="number">{figure.clips}</td>',
            ]
        cells += [f'<td class="number">{_or_blank(values.get(metric))}</td>' for values in paper.values()]
        if other is not None:
            cells += _comparison(row, comparisons.get(metric))
        values = {clip.name: clip.figures[metric] for clip in run.clips if metric in clip.figures}
        chart = dot_chart(row.title, values, figure.mean) if figure is not None and len(values) > 1 else ""
        rows.append(f"<tr>{''.join(cells)}<td>{chart}</td></tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>{"".join(rows)}</table></div>'


def _direction(row: Metric) -> str:
    return _ARROWS.get(row.better, f"({row.better})")


def _or_blank(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _comparison(row: Metric, comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return ["<td></td>", "<td></td>"]
    mark = ""
    if np.isfinite(comparison.low) and comparison.low * comparison.high > 0 and row.better in _ARROWS:
        mark = "better" if (comparison.difference > 0) == (row.better == "higher") else "worse"
    interval = (
        f"<br><small>{comparison.low:+.3g} to {comparison.high:+.3g}</small>" if np.isfinite(comparison.low) else ""
    )
    return [
        f'<td class="number">{comparison.other:.4g}</td>',
        f'<td class="number {mark}">{comparison.difference:+.3g} {mark}{interval}</td>',
    ]


def worst_clips(clips: Sequence[ClipResult]) -> list[ClipResult]:
    """The WORST clips by their mean rank over all metrics whose direction is higher or lower, worst first."""
    ranks: dict[str, list[float]] = {clip.name: [] for clip in clips}
    for metric, row in metric_table().items():
        own = [clip for clip in clips if metric in clip.figures]
        if row.better not in _ARROWS or len(own) < 2:
            continue
        goodness = np.array([clip.figures[metric] for clip in own]) * (1 if row.better == "higher" else -1)
        for clip, value in zip(own, goodness, strict=True):
            # Equal figures have the middle of their places.
            ranks[clip.name].append(float(np.mean(goodness < value) + np.mean(goodness <= value)) / 2)
    ranked = [clip for clip in clips if ranks[clip.name]]
    return sorted(ranked, key=lambda clip: float(np.mean(ranks[clip.name])))[:WORST] or list(clips[:WORST])


def _clip(run: RunResults, clip: ClipResult) -> str:
    table = metric_table()
    figures = ", ".join(f"{table[m].title} {value:.4g}" for m, value in clip.figures.items() if m in table)
    seen = "".join(f"; {table[m].title} sees {name}" for m, name in clip.classes.items() if m in table)
    charts = []
    if clip.curves:
        seconds = [frame / FPS for frame in clip.curves["frame"]]
        for title, series, unit in (("mouth opening", "opening", ""), ("yaw", "yaw", "degrees")):
            lines = {kind: clip.curves[f"{series}_{kind}"] for kind in ("true", "rendered")}
            charts.append(line_chart(title, seconds, lines, unit))
        if "level" in clip.curves:
            charts.append(
                line_chart("loudness of the sound", seconds, {"mean of the mel window": clip.curves["level"]})
            )
    label = f" ({clip.emotion})" if clip.emotion else ""
    return (
        f'<div class="clip"><b>{escape(clip.name)}</b>{escape(label)} <span class="quiet">'
        f"{counted(clip.frames, 'frame')}</span>"
        f"{inline_picture(run.folder / f'{clip.name}.jpg', clip.name)}<small>{escape(figures + seen)}</small>"
        f"{''.join(charts)}</div>"
    )


def _table_csv(runs: dict[str, RunResults]) -> str:
    """A row for each clip and metric of each protocol, with its figure or the reason why there is none."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["protocol", "clip", "person", "emotion", "metric", "figure", "missing"])
    for name, run in runs.items():
        for clip in run.clips:
            start = [name, *map(_harmless, (clip.name, clip.person, clip.emotion))]
            writer.writerows([*start, metric, value, ""] for metric, value in clip.figures.items())
            writer.writerows([*start, metric, "", reason] for metric, reason in clip.missing.items())
    return file.getvalue()


def _harmless(text: str) -> str:
    """Text that spreadsheets do not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _finite(value: Any) -> Any:
    """The same content with None for numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
