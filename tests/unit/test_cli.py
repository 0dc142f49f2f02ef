"""The command line: what it prints, its exit codes, and that a mistake costs one line and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.bundle import convert
from edtalk_core.cli import main
from edtalk_core.commands import COMMANDS
from edtalk_core.media.picture import write_picture
from edtalk_core.media.video import VideoReader
from edtalk_core.motion.bases import Bases, Lids
from edtalk_core.motion.files import load_motion, save_motion
from edtalk_core.motion.motion import Motion

PORTRAIT = builtin_file("examples/portrait.jpg")
SPEECH = builtin_file("examples/speech.flac")


def run(*arguments: object) -> int:
    """Run the command in this process; its exit code, also where argparse exits by itself."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture
def motion_file(tmp_path):
    generator = torch.Generator().manual_seed(0)
    motion = Motion(lip=torch.randn(10, 20, generator=generator), pose=torch.randn(10, 6, generator=generator))
    return save_motion(motion, tmp_path / "motion.safetensors", {"source": "made up"})


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_says_how_to_use_it(capsys, command):
    assert run(*command, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(('edtalk', *command))}")


def test_every_module_of_a_command_is_listed():
    folder = Path(sys.modules["edtalk_core.commands"].__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "def add_parser" in path.read_text(encoding="utf-8")}
    assert modules == set(COMMANDS)


def test_help_needs_no_torch():
    code = "import sys; from edtalk_core.cli import build_parser; build_parser(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("edtalk 0.")


def test_the_installed_command_runs(tmp_path):
    script = Path(sys.executable).with_name("edtalk")
    result = subprocess.run([script, "info", tmp_path / "nothing.wav"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("edtalk: error: ")
    assert result.stderr.count("\n") == 1


def test_info_on_weights(capsys, tiny_bundle):
    assert run("info", tiny_bundle, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "checkpoint"
    assert found["variant"] == "edtalk"
    assert found["sizes"]["resolution"] == 32
    assert found["audio_to_lip"] is True
    assert found["pose_flow"] is False
    assert "happy" in found["emotions"]
    assert (found["bases"], found["lids"]) == ({}, None)


def test_info_lists_the_names_of_bases(capsys, tiny_bundle, tmp_path):
    bases = Bases(pose=("x", "y"), expression=("brows down", "lids"), lids=Lids(1, 3.0))
    named = convert([tiny_bundle], tmp_path / "named.safetensors", bases=bases)
    assert run("info", named, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bases"] == {"pose": ["x", "y"], "expression": ["brows down", "lids"]}
    assert found["lids"] == {"base": 1, "closed": 3.0}
    assert "bases" not in found["metadata"]
    assert run("info", named) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("bases:")
    assert lines[place + 1 : place + 4] == [
        "  pose: 0 x, 1 y",
        "  expression: 0 brows down, 1 lids",
        "lids: base 1, closed 3.0",
    ]


def test_info_on_a_motion(capsys, motion_file):
    assert run("info", motion_file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["frames"], found["fps"], found["seconds"]) == ("motion", 10, 25.0, 0.4)
    assert found["tracks"] == {"lip": 20, "pose": 6}
    assert found["metadata"] == {"source": "made up"}


def test_info_on_a_picture_lists_the_faces(capsys):
    assert run("info", PORTRAIT, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["width"], found["height"]) == ("picture", 512, 512)
    left, top, right, bottom = found["faces"][0]["box"]
    assert left < 224 < right
    assert top < 115 < bottom


def test_info_on_a_sound_in_words(capsys):
    assert run("info", SPEECH) == 0
    assert "kind: sound\nsample_rate: 16000\nchannels: 1\nseconds: 7.2\n" in capsys.readouterr().out


def test_info_on_presets_in_words(capsys):
    assert run("info", builtin_file("expression_presets.json")) == 0
    assert "emotions: angry contempt disgusted fear happy neutral sad surprised\n" in capsys.readouterr().out


@pytest.mark.parametrize(("dtype", "stored"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_convert_writes_a_bundle_of_the_asked_precision(capsys, tmp_path, tiny_bundle, dtype, stored):
    target = tmp_path / "half.safetensors"
    assert run("convert", tiny_bundle, "-o", target, "--dtype", dtype, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(target)
    assert stored in found["precisions"]
    assert json.loads(found["metadata"]["sources"])[0]["name"] == "tiny.safetensors"


def test_animate_says_where_the_video_lies_and_how_long_it_took(capsys, tmp_path, tiny_bundle, motion_file):
    output = tmp_path / "talk.mp4"
    assert run("animate", PORTRAIT, "--motion", motion_file, "-o", output, "--model", tiny_bundle) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{output}: 10 frames, 25 a second, 0.40 s, 32x32\n")
    assert "took " in printed.out
    assert output.is_file()
    assert "Traceback" not in printed.err


def test_animate_as_json(capsys, tmp_path, tiny_bundle, motion_file):
    output, saved = tmp_path / "talk.mp4", tmp_path / "saved.json"
    arguments = ("--fps", "50", "--expression", "happy:0.5", "--save-motion", saved, "--json", "--progress")
    assert run("animate", PORTRAIT, "--motion", motion_file, "-o", output, "--model", tiny_bundle, *arguments) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (found["path"], found["frames"], found["fps"], found["seconds"]) == (str(output), 20, 50.0, 0.4)
    assert found["sources"] == {"lip": "motion", "pose": "motion", "expression": "happy:0.5"}
    assert found["timings"]["render"] > 0
    assert "render: 100%" in printed.err
    assert load_motion(saved).frames == 20


def test_animate_at_another_size(capsys, tmp_path, tiny_bundle, motion_file):
    output = tmp_path / "talk.mp4"
    arguments = ("--motion", motion_file, "-o", output, "--model", tiny_bundle)
    assert run("animate", PORTRAIT, *arguments, "--size", "100") == 0
    assert ", 100x100\n" in capsys.readouterr().out
    assert run("animate", PORTRAIT, *arguments, "--whole") == 0
    assert ", 512x512\n" in capsys.readouterr().out
    assert run("animate", PORTRAIT, *arguments, "--size", "huge") == 2
    assert "own:LARGEST" in capsys.readouterr().err


def test_animate_names_its_output_after_its_inputs(capsys, tmp_path, tiny_bundle, motion_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("animate", PORTRAIT, "--motion", motion_file, "--model", tiny_bundle) == 0
    assert capsys.readouterr().out.startswith("portrait_motion.mp4: ")
    assert (tmp_path / "portrait_motion.mp4").is_file()


def test_weights_there_and_back(capsys, tmp_path, tiny_bundle):
    read, readable = tmp_path / "face.safetensors", tmp_path / "face.json"
    assert run("weights", PORTRAIT, "-o", read, "--model", tiny_bundle) == 0
    assert f"{read}: Motion(lip 20, pose 6, expression 10; 1 frame" in capsys.readouterr().out
    assert run("weights", read, "-o", readable, "--model", tiny_bundle, "--json") == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["source"] == "face.safetensors"
    assert load_motion(readable).equals(load_motion(read), tolerance=1e-6)


def test_ctrl_c_keeps_what_was_rendered_and_says_where(tmp_path, tiny_bundle):
    motion = save_motion(Motion(lip=torch.randn(50_000, 20)), tmp_path / "long.safetensors")
    output = tmp_path / "long.mp4"
    command = [sys.executable, "-m", "edtalk_core.cli", "animate", PORTRAIT, "--motion", motion, "-o", output]
    # A test runner that was started in the background ignores Ctrl-C, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [*command, "--model", tiny_bundle], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    partial = tmp_path / "long.partial.mp4"
    deadline = time.monotonic() + 120
    while not (partial.is_file() and partial.stat().st_size > 2_000) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == ""
    lines = err.splitlines()
    assert lines[1:] == ["edtalk: error: cancelled"]
    assert str(partial) in lines[0]
    assert not output.exists()
    assert sum(1 for _ in VideoReader(partial)) > 0


def files_for_mistakes(folder: Path) -> None:
    """Files that are not what they are given for."""
    (folder / "text.txt").write_text("just words", encoding="utf-8")
    (folder / "empty.wav").touch()
    (folder / "cut.jpg").write_bytes(PORTRAIT.read_bytes()[:3000])
    write_picture(folder / "grey.png", np.full((300, 300, 3), 128, np.uint8))
    np.save(folder / "happy.npy", np.zeros((1, 10), np.float32))
    save_motion(Motion(lip=torch.zeros(3, 20)), folder / "motion.safetensors")
    save_motion(Motion(lip=torch.zeros(3, 7)), folder / "foreign_motion.safetensors")
    save_file({"model.diffusion_model.x": torch.zeros(2)}, folder / "diffusion.safetensors")


MISTAKES = {
    "no command": ("", 2, "required"),
    "unknown command": ("animat", 2, "invalid choice"),
    "no arguments": ("animate", 2, "required"),
    "unknown option": ("animate P S --mood happy", 2, "unrecognized"),
    "no driver": ("animate P", 2, "nothing to animate"),
    "portrait missing": ("animate nobody.jpg S", 1, "nobody.jpg"),
    "portrait is text": ("animate text.txt S", 1, "not a picture"),
    "portrait cut off": ("animate cut.jpg S", 1, "cut.jpg"),
    "portrait without a face": ("animate grey.png S", 1, "No face"),
    "driver missing": ("animate P nothing.wav", 1, "nothing.wav"),
    "driver is text": ("animate P text.txt", 1, "text.txt"),
    "driver is empty": ("animate P empty.wav", 1, "empty"),
    "driver is a picture": ("animate P grey.png", 1, "picture"),
    "driver is a preset": ("animate P happy.npy", 1, "happy.npy"),
    "motion is a picture": ("animate P --motion grey.png", 1, "PNG picture"),
    "motion of another model": ("animate P --motion foreign_motion.safetensors", 1, "another model"),
    "unknown emotion": ("animate P S --expression hapy", 2, "happy"),
    "strength too large": ("animate P S --expression happy:99", 2, "strength"),
    "strength is no number": ("animate P S --expression happy:much", 2, "number"),
    "timeline is wrong": ("animate P S --expression 0_happy;x_sad", 1, "not a time"),
    "expression file is a picture": ("animate P S --expression grey.png", 1, "grey.png"),
    "folder missing": ("animate P S -o nowhere/out.mp4", 2, "no folder"),
    "output is a folder": ("animate P S -o .", 2, "folder"),
    "output of another type": ("animate P S -o out.gif", 1, "out.gif"),
    "output is the driver": ("animate P motion.mp4 --motion motion.mp4 -o motion.mp4", 1, "motion.mp4"),
    "box is malformed": ("animate P S --box 1,2,3", 2, "left,top,right,bottom"),
    "box outside": ("animate P S --box 900,900,990,990", 2, "box"),
    "no such face": ("animate P S --face 7", 1, "no face 7"),
    "face is a name": ("animate P S --face Eileen", 2, "Eileen"),
    "fps is zero": ("animate P S --fps 0", 2, "above 0"),
    "fps is a word": ("animate P S --fps film", 2, "film"),
    "fps is absurd": ("animate P S --fps 1000", 2, "240"),
    "silence is negative": ("animate P S --silence-before -1", 2, "at least 0"),
    "temperature is nan": ("animate P S --temperature nan", 2, "at least 0"),
    "pose is unknown": ("animate P S --pose sideways", 2, "invalid choice"),
    "pose without a video": ("animate P S --pose video", 2, "pose video"),
    "pose without a flow": ("animate P S --pose flow", 2, "pose flow"),
    "pose video is a preset": ("animate P S --pose-video happy.npy", 1, "preset"),
    "lips without a video": ("animate P S --lip video", 2, "need a video"),
    "device unknown": ("animate P S --device abacus", 2, "abacus"),
    "precision unknown": ("animate P S --precision fp4", 2, "fp4"),
    "model missing": ("animate P S --model nowhere.pt", 1, "nowhere.pt"),
    "model is foreign": ("animate P S --model diffusion.safetensors", 1, "Stable Diffusion"),
    "saved motion of another type": ("animate P S --save-motion motion.txt", 2, ".safetensors"),
    "weights of text": ("weights text.txt", 1, "text.txt"),
    "weights onto the source": ("weights motion.safetensors -o motion.safetensors", 2, "one of the inputs"),
    "convert nothing": ("convert -o out.safetensors", 2, "required"),
    "convert text": ("convert text.txt -o out.safetensors", 1, "text.txt"),
    "convert to another type": ("convert M -o out.pt", 2, ".safetensors"),
    "download an unknown name": ("download wav2lip", 2, "wav2lip"),
    "info on a folder": ("info .", 1, "folder"),
    "info on nothing": ("info nothing", 1, "nothing"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_costs_one_line_and_leaves_nothing(capsys, tmp_path, monkeypatch, tiny_bundle, mistake):
    text, code, word = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    files_for_mistakes(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    names = {"P": str(PORTRAIT), "S": str(SPEECH), "M": str(tiny_bundle)}
    arguments = [
        names.get(part, part).replace("_", " ") if ";" in part else names.get(part, part) for part in text.split()
    ]
    if "--model" not in arguments and arguments[:1] in (["animate"], ["weights"]):
        arguments += ["--model", str(tiny_bundle)]
    assert run(*arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("edtalk: error: ")
    assert printed.err.count("\n") == 1
    assert word in printed.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_debug_shows_the_traceback(capsys, tmp_path):
    assert run("info", tmp_path / "nothing", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err
