"""No command overwrites what it reads, and unfinished files take no other file's name."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from edtalk_core.cli import main
from edtalk_core.data.clips import ClipInfo, clip_file, encode_frame, write_clip
from edtalk_core.data.layouts import Video
from edtalk_core.data.prepare import REPORT, prepare
from edtalk_core.errors import EDTalkError
from edtalk_core.media.video_writer import VideoWriter

FILES = (
    "me.jpg",
    "talk.wav",
    "actor.mp4",
    "nod.json",
    "smile.json",
    "mine.safetensors",
    "EDTalk.pt",
    "store/a.safetensors",
)

COMMANDS = {
    "motion onto the preset": "animate me.jpg talk.wav --expression smile.json:0.8 --save-motion smile.json",
    "motion onto the model": "animate me.jpg talk.wav --model mine.safetensors --save-motion mine.safetensors",
    "motion onto the second model": "animate me.jpg talk.wav --model EDTalk.pt --model mine.safetensors "
    "--save-motion ./mine.safetensors",
    "motion onto the portrait": "animate me.jpg talk.wav --save-motion me.jpg",
    "video onto the pose video": "animate me.jpg talk.wav --pose-video actor.mp4 -o actor.mp4",
    "video onto the motion": "animate me.jpg --motion nod.json -o nod.json",
    "dub onto the motion": "dub actor.mp4 talk.wav --motion nod.json -o nod.json",
    "weights onto the model": "weights actor.mp4 --model mine.safetensors -o mine.safetensors",
    "weights onto the model by default": "weights mine.mp4 --model mine.safetensors",
    "sheet onto the portrait": "sheet bases me.jpg -o me.jpg",
    "bundle onto a source": "convert EDTalk.pt mine.safetensors -o mine.safetensors",
    "bundle onto a clip": "convert EDTalk.pt --presets store -o store/a.safetensors",
    "sheet onto a portrait": "evaluate --data store --portraits me.jpg --identity me.jpg",
}


@pytest.mark.parametrize("command", list(COMMANDS.values()), ids=list(COMMANDS))
def test_an_input_is_never_an_output(command: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("store").mkdir()
    for name in (*FILES, "mine.mp4"):
        Path(name).write_text(name)
    assert main(command.split()) == 2
    assert "one of the inputs" in capsys.readouterr().err
    assert {name: Path(name).read_text() for name in FILES} == {name: name for name in FILES}


def test_a_link_to_an_input_is_that_input(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("me.jpg").write_text("me")
    os.link("me.jpg", "other.jpg")
    assert main(["sheet", "bases", "me.jpg", "-o", "other.jpg"]) == 2
    assert "one of the inputs" in capsys.readouterr().err


def test_two_outputs_are_two_files(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["animate", "me.jpg", "talk.wav", "-o", "out.mp4", "--save-motion", "./out.mp4"]) == 2
    assert "written twice" in capsys.readouterr().err


def test_the_demo_weights_are_an_input_as_well(capsys):
    from edtalk_core.builtin_files import builtin_file

    demo = builtin_file("demo.safetensors")
    before = demo.stat()
    assert main(["weights", "actor.mp4", "-o", str(demo)]) == 2
    assert "one of the inputs" in capsys.readouterr().err
    assert demo.stat().st_mtime_ns == before.st_mtime_ns


def test_an_unfinished_video_takes_no_name_of_another_file(tmp_path: Path):
    others = [tmp_path / name for name in ("x.partial.mp4", "x.partial.mp4.tmp", "x.partial-2.mp4.tmp", "x.mp4.tmp")]
    for other in others:
        other.write_text(other.name)
    with VideoWriter(tmp_path / "x.mp4", 25, (64, 64)) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    assert [other.read_text() for other in others] == [other.name for other in others]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*(other.name for other in others), "x.mp4"])


# --- stores ----------------------------------------------------------------------------------------------------------


def a_clip(path: Path, name: str) -> Path:
    frames = [encode_frame(np.zeros((64, 64, 3), np.uint8))]
    write_clip(path, ClipInfo(name, "p", "train"), frames, np.zeros((1, 68, 2), np.float32), None, 64)
    return path


def report_of(*names: str) -> str:
    facts = {"person": "p", "split": "train", "emotion": "", "level": "", "license": "", "speech": False}
    facts |= {"frames": 1, "sound": False, "cropped": False, "size": 64}
    return json.dumps({"clips": {"v": [{"name": name, **facts} for name in names]}, "skipped": {}})


def test_a_report_does_not_reach_outside_its_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Outdated clips of a report are deleted: those of the store, and nothing else."""
    store, victim = tmp_path / "store", a_clip(tmp_path / "victim.safetensors", "victim")
    store.mkdir()
    absolute = a_clip(tmp_path / "absolute.safetensors", "absolute")
    model = store / "model.safetensors"
    model.write_text("weights")
    a_clip(store / "old.safetensors", "old")
    names = ("../victim", str(absolute.with_suffix("")), "model", "old")
    (store / REPORT).write_text(report_of(*names))
    video = Video(tmp_path / "gone.mp4", "v", "other", "train")
    with caplog.at_level(logging.WARNING, logger="edtalk"):
        report = prepare([video], store)
    assert "v" in report.skipped
    assert victim.exists()
    assert absolute.exists()
    assert model.read_text() == "weights"
    assert not (store / "old.safetensors").exists()
    assert caplog.text.count("stays where it is") == 3


@pytest.mark.parametrize(
    "content",
    ['{"clips": {"v": [{}]}, "skipped": {}}', '{"clips": {"v": "x"}, "skipped": {}}', '{"clips": []}', "[]", "7"],
)
def test_a_damaged_report_is_made_anew(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture):
    (tmp_path / REPORT).write_text(content)
    with caplog.at_level(logging.WARNING, logger="edtalk"):
        assert prepare([], tmp_path).clips == {}
    assert "cannot be read" in caplog.text


def test_a_clip_replaces_a_clip_and_nothing_else(tmp_path: Path):
    assert clip_file(tmp_path, "new") == tmp_path / "new.safetensors"
    assert clip_file(tmp_path, "old") == a_clip(tmp_path / "old.safetensors", "old")
    (tmp_path / "model.safetensors").write_text("weights")
    with pytest.raises(EDTalkError, match="not a clip"):
        clip_file(tmp_path, "model")
    for name in ("../up", "/abs", "folder/deep", "..\0"):
        with pytest.raises(EDTalkError, match="not the name of a clip"):
            clip_file(tmp_path, name)


def test_a_link_in_a_store_is_not_followed(tmp_path: Path):
    store = tmp_path / "store"
    store.mkdir()
    target = a_clip(tmp_path / "target.safetensors", "target")
    (store / "link.safetensors").symlink_to(target)
    with pytest.raises(EDTalkError, match="not the name of a clip"):
        clip_file(store, "link")
