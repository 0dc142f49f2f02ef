"""User studies: what is in the page, what is not, and the table of answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edtalk_core.cli import main
from edtalk_core.errors import ArgumentError, EDTalkError
from edtalk_core.evaluation.study import choose_items, read_answers, read_key, study_table, write_study


@pytest.fixture
def methods(tmp_path: Path) -> dict[str, Path]:
    """Two methods with six clips each, one of which only the first has."""
    folders = {"Ours": tmp_path / "secret_a", "Theirs": tmp_path / "secret_b"}
    for method, folder in folders.items():
        folder.mkdir()
        for number in range(6):
            (folder / f"clip{number}.mp4").write_bytes(f"{method} {number}".encode())
    (folders["Ours"] / "alone.mp4").write_bytes(b"")
    return folders


def answer_all(items, lip: dict[str, int], emotion: str = "happy") -> dict:
    return {id: {"lip": lip[item.method], "real": 3, "emotion": emotion} for id, item in items.items()}


def test_clips_are_those_that_all_methods_have(methods: dict[str, Path]):
    items = choose_items(methods, clips=4, seed=1)
    assert len(items) == 8
    assert {item.clip for item in items if item.method == "Ours"} == {i.clip for i in items if i.method == "Theirs"}
    assert choose_items(methods, clips=4, seed=1) == items
    assert len(choose_items(methods, clips=0)) == 12
    assert len({item.id for item in items}) == 8


def test_page_does_not_say_who_made_what(methods: dict[str, Path], tmp_path: Path):
    key = write_study(methods, tmp_path / "study.html", title="A <study>")
    page = (tmp_path / "study.html").read_text("utf-8")
    for word in ("Ours", "Theirs", "secret", "clip0", "<study>"):
        assert word not in page
    assert "A &lt;study&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:video/mp4;base64,") == 12
    study, items = read_key(key)
    assert study in page
    assert all(id in page for id in items)


def test_table_of_answers(methods: dict[str, Path], tmp_path: Path):
    labels = {f"clip{number}": "happy" if number < 3 else "sad" for number in range(6)}
    key = write_study(methods, tmp_path / "study.html", labels=labels)
    study, items = read_key(key)
    files = []
    for person, score in enumerate((3, 4, 5)):
        answers = answer_all(items, {"Ours": score, "Theirs": 2})
        content = {"format": "edtalk-study", "study": study, "participant": str(person), "answers": answers}
        files.append(tmp_path / f"{person}.json")
        files[-1].write_text(json.dumps(content))
    table = study_table(items, read_answers(files, study, items))
    ours, theirs = table["Ours"], table["Theirs"]
    assert ours["lip"].mean == 4
    assert 3 <= ours["lip"].low < 4 < ours["lip"].high <= 5
    assert theirs["lip"].mean == theirs["lip"].low == theirs["lip"].high == 2
    assert ours["lip"].answers == 18
    assert ours["emotion"].mean == 0.5
    # Exported twice: the later file counts.
    files.append(files[-1].with_name("again.json"))
    again = {"format": "edtalk-study", "study": study, "participant": "2", "answers": {}}
    files[-1].write_text(json.dumps(again))
    assert study_table(items, read_answers(files, study, items))["Ours"]["lip"].mean == 3.5


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"study": "other"}, "another study"),
        ({"format": "x"}, "not answers of a study"),
        ({"participant": None}, "no participant"),
        ({"answers": {"nobody": {}}}, "none of the choices"),
        ({"lip": 6}, "none of the choices"),
        ({"emotion": "hungry"}, "hungry"),
    ],
)
def test_wrong_answers_are_named(change: dict, word: str, methods: dict[str, Path], tmp_path: Path):
    study, items = read_key(write_study(methods, tmp_path / "study.html"))
    answers = answer_all(items, {"Ours": 3, "Theirs": 3})
    for question in ("lip", "emotion"):
        if question in change:
            next(iter(answers.values()))[question] = change.pop(question)
    content = {"format": "edtalk-study", "study": study, "participant": "a", "answers": answers, **change}
    file = tmp_path / "answers.json"
    file.write_text(json.dumps(content))
    with pytest.raises(EDTalkError, match=word):
        read_answers([file], study, items)


def test_wrong_studies_are_named(methods: dict[str, Path], tmp_path: Path):
    with pytest.raises(ArgumentError, match="no folder"):
        choose_items({"A": tmp_path / "nothing"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match="same name"):
        choose_items({**methods, "C": tmp_path / "empty"})
    with pytest.raises(ArgumentError, match="hungry"):
        choose_items(methods, labels={"clip0": "hungry"})


def test_command(methods: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    labels = tmp_path / "labels.csv"
    labels.write_text("clip,emotion\nclip0,happy\n")
    page, sources = tmp_path / "study.html", [f"{name}={folder}" for name, folder in methods.items()]
    assert main(["study", *sources, "-o", str(page), "--clips", "0", "--labels", str(labels), "--json"]) == 0
    key = Path(json.loads(capsys.readouterr().out)["key"])
    study, items = read_key(key)
    answers = tmp_path / "a.json"
    content = {"format": "edtalk-study", "study": study, "participant": "a"}
    answers.write_text(json.dumps({**content, "answers": answer_all(items, {"Ours": 5, "Theirs": 1})}))
    assert main(["study", "results", str(answers), "--key", str(key)]) == 0
    out = capsys.readouterr().out
    assert "1 participant" in out
    assert "100.00 %" in out
    assert main(["study", "results", str(answers), "--key", str(key), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["methods"]["Ours"]["lip"]["mean"] == 5
    assert main(["study", "nonsense", "-o", str(page)]) == 2
    assert main(["study", *sources]) == 2
    assert main(["study", "results", str(answers)]) == 2
