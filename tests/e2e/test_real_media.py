"""The `edtalk` command as users run it: real pictures, recordings and a video, the demo weights, files on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.errors import EDTalkError
from edtalk_core.motion.files import load_motion

pytestmark = pytest.mark.slow

EDTALK = Path(sys.executable).with_name("edtalk")

# A photo, a painting and a generated person, with sounds of three rates, mono and stereo.
PAIRS = [
    ("portraits/hallo_3.jpg", "speech/joyvasa_joyvasa_002.wav"),
    ("portraits/musetalk_monalisa.png", "speech/sadtalker_bus_chinese.wav"),
    ("portraits/anitalker_aiface4.png", "speech/echomimic_echomimic_en_girl.wav"),
]
ACTOR = "videos/liveportrait_s32.mp4"  # 30 fps, 1280x720, with sound


@pytest.fixture(scope="module", autouse=True)
def _demo_weights():
    try:
        builtin_file("demo.safetensors")
    except EDTalkError:
        pytest.skip("needs weights/demo.safetensors")


def edtalk(*arguments: object) -> dict:
    """Run the command with --json and read what it prints."""
    command = [EDTALK, *arguments, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def sound_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return sum(frame.samples for frame in container.decode(stream)) / stream.rate


def check_video(path: Path, *, fps: float, sound: Path | None) -> np.ndarray:
    """Check what a player would see and hear; the pictures (T,H,W,3)."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.average_rate == fps
        assert "AI-generated with EDTalk" in container.metadata["comment"]
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video)])
    if sound is not None:
        assert len(pictures) == round(sound_seconds(sound) * fps)
        assert sound_seconds(path) == pytest.approx(sound_seconds(sound), abs=1 / fps)
        with av.open(str(path)) as made, av.open(str(sound)) as original:
            assert made.streams.audio[0].rate == original.streams.audio[0].rate
    return pictures


def change(pictures: np.ndarray, rows: slice, columns: slice) -> float:
    """How much an area changes over time, in grey levels."""
    return float(pictures[:, rows, columns].astype(np.float32).std(axis=0).mean())


MOUTH = (slice(165, 215), slice(95, 170))
FOREHEAD = (slice(60, 100), slice(95, 170))


def test_the_bundled_portrait_says_the_bundled_speech(tmp_path):
    speech = builtin_file("examples/speech.flac")
    found = edtalk(
        "animate", builtin_file("examples/portrait.jpg"), speech, "-o", tmp_path / "demo.mp4", "--pose", "still"
    )
    pictures = check_video(Path(found["path"]), fps=25, sound=speech)
    assert pictures.shape == (180, 256, 256, 3)
    # The demo weights are an early checkpoint: their lip weights still move the head a little (weights/README.md).
    assert change(pictures, *MOUTH) > 2 * change(pictures, *FOREHEAD)


@pytest.mark.parametrize(("portrait", "speech"), PAIRS, ids=lambda name: Path(name).stem)
def test_real_portraits_say_real_recordings(shared, tmp_path, portrait, speech):
    sound = shared / "data" / speech
    found = edtalk(
        "animate", shared / "data" / portrait, sound, "-o", tmp_path / "talk.mp4", "--expression", "happy:0.5"
    )
    pictures = check_video(Path(found["path"]), fps=25, sound=sound)
    assert pictures.shape[1:] == (256, 256, 3)
    assert change(pictures, *MOUTH) > 1


def test_a_video_of_another_rate_drives_a_portrait_by_the_weights_read_off_it(shared, tmp_path):
    actor = shared / "data" / ACTOR
    saved, read = tmp_path / "rendered.safetensors", tmp_path / "read.safetensors"
    found = edtalk(
        "animate", builtin_file("examples/portrait.jpg"), actor, "-o", tmp_path / "out.mp4", "--save-motion", saved
    )
    assert set(found["sources"].values()) == {"video"}
    pictures = check_video(tmp_path / "out.mp4", fps=25, sound=actor)
    assert change(pictures, slice(60, 215), slice(70, 190)) > 1

    edtalk("weights", actor, "-o", read)
    rendered, weights = load_motion(saved), load_motion(read)
    both = min(rendered.frames, weights.frames)
    assert both >= rendered.frames - 2
    for name, track in weights.tracks.items():
        assert torch.allclose(rendered.track(name)[:both], track[:both])
