"""Reports on runs whose results are known."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from protocol_runs import write_run

from edtalk_core.cli import main
from edtalk_core.errors import EDTalkError
from edtalk_core.evaluation.charts import confusion_table, dot_chart, line_chart
from edtalk_core.evaluation.report import compare_runs, read_runs, worst_clips, write_report


class Parsed(HTMLParser):
    """Tags that are open, addresses that the page loads, and its text."""

    VOID = ("meta", "img", "br", "polyline", "circle", "line")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            while self.open and self.open[-1] != tag and self.open[-1] in ("tr", "td", "th"):
                self.open.pop()
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_whole_and_loads_nothing(tmp_path: Path):
    write_run(tmp_path / "runs", 20)
    write_run(tmp_path / "runs", 20, "ground-truth")
    page, values, table = write_report(tmp_path / "runs", tmp_path / "report.html")
    parsed = Parsed(page.read_text("utf-8"))
    assert parsed.open == []
    assert all(address.startswith(("data:", "#")) for address in parsed.addresses)
    assert sum(address.startswith("data:") for address in parsed.addresses) == 20  # the worst ten of each
    text = " ".join(parsed.text.split())
    assert "13 of 14 clips; 1: no face in the first frame" in text
    assert "13 clips: fewer than 50 frames" in text
    assert "26 frames: no face in the rendered frame" in text
    assert "<b>bold" in text
    assert "MEAD, Table 4" in text
    assert "21.63" in text
    content = json.loads(values.read_text("utf-8"))["mead-a"]
    assert content["figures"]["psnr"]["mean"] == pytest.approx(26)
    assert content["figures"]["psnr"]["clips"] == 13
    assert content["missing"]["blink_rate"] == {"fewer than 50 frames with faces": 13}
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len([row for row in rows if row["metric"] == "psnr" and row["protocol"] == "mead-a"]) == 13
    assert rows[0]["person"] == "'=person"  # no formula for a spreadsheet
    assert {row["missing"] for row in rows if row["clip"] == "faceless"} == {"no face in the first frame"}


def test_comparison_is_paired(tmp_path: Path):
    write_run(tmp_path / "a", 21.5)
    write_run(tmp_path / "b", 20)
    comparison = compare_runs(read_runs(tmp_path / "a")["mead-a"], read_runs(tmp_path / "b")["mead-a"])
    # Clips differ by far more than the models, and every clip by the same.
    assert comparison["psnr"].difference == pytest.approx(1.5)
    assert comparison["psnr"].low == comparison["psnr"].high == pytest.approx(1.5)
    assert comparison["l1"].difference == 0
    assert comparison["frechet_face_mesh"].difference == pytest.approx(0)
    page, values, _ = write_report(tmp_path / "a", tmp_path / "report.html", tmp_path / "b")
    assert "+1.5 better" in page.read_text("utf-8")
    assert json.loads(values.read_text("utf-8"))["mead-a"]["compared"]["psnr"]["other"] == pytest.approx(26)


def test_worst_clips_come_first(tmp_path: Path):
    write_run(tmp_path, 20)
    clips = [clip for clip in read_runs(tmp_path)["mead-a"].clips if "all" not in clip.missing]
    worst = worst_clips(clips[::-1])
    assert len(worst) == 10
    assert worst[0].figures["psnr"] == 20


def test_charts_name_what_they_show():
    chart = line_chart("yaw <deg>", [0, 1], {"true": [1, 2], "rendered": [2, 4]}, "degrees")
    assert "&lt;deg&gt;" in chart
    assert chart.count("<polyline") == 2
    assert dot_chart("PSNR", {"a": 1.0, "b": 1.0}, 1.0).count("<circle") == 2
    table = confusion_table({"sad": {"happy": 3, "sad": 1}})
    assert "--share:0.75" in table
    assert "<th>happy</th>" in table


def test_command_writes_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_run(tmp_path / "runs", 20)
    assert main(["report", str(tmp_path / "runs"), "-o", str(tmp_path / "r.html"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 3
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "r.html")]) == 1
    assert "edtalk evaluate --protocol" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "runs"), "-o", str(tmp_path / "r.txt")]) == 2
    with pytest.raises(EDTalkError, match="holds no results"):
        read_runs(tmp_path / "nothing")
