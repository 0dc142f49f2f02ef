"""Prompts in ComfyUI's API format, and sounds for them."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

Prompt = dict[str, dict[str, Any]]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt; an input is a value, or a link [node id, output number]."""
    return {"class_type": kind, "inputs": inputs}


def talk(audio: str, model: str = "demo (built in)", render: str = "EDTalkRenderVideo", **settings: Any) -> Prompt:
    """Prompt for a talking portrait: "model", "picture", "portrait", "sound", "features", "lip", "render".

    `audio` is a file in ComfyUI's input folder, `settings` are inputs of the render node.
    """
    inputs: dict[str, Any] = {
        "portrait": ["portrait", 0],
        "lip": ["lip", 0],
        "audio": ["features", 1],
        "fps": 25.0,
        "length": "auto",
        "frames": 100,
    }
    if render == "EDTalkRenderVideo":
        inputs |= {"filename_prefix": "talk", "format": "mp4"}
    return {
        "model": node("EDTalkLoadModel", model=model, precision="auto"),
        "picture": node("LoadImage", image="portrait.jpg"),
        "portrait": node(
            "EDTalkLoadPortrait",
            model=["model", 0],
            image=["picture", 0],
            crop="auto",
            face=0,
            box="",
            batch_index=0,
        ),
        "sound": node("LoadAudio", audio=audio),
        "features": node("EDTalkEncodeAudio", audio=["sound", 0], silence_before=0.0, silence_after=0.0),
        "lip": node("EDTalkLipFromAudio", model=["model", 0], features=["features", 0]),
        "render": node(render, **inputs | settings),
    }


def dub(**settings: Any) -> Prompt:
    """Prompt that dubs the example driver with the example speech: "model", "examples", "dub".

    `settings` are inputs of Dub Video.
    """
    inputs: dict[str, Any] = {"length": "video", "face": 0, "box": "", "feather": 0.1, "match_colours": True}
    inputs |= {"filename_prefix": "dub", "format": "mp4"} | settings
    return {
        "model": node("EDTalkLoadModel", model="demo (built in)", precision="auto"),
        "examples": node("EDTalkExampleInputs"),
        "dub": node("EDTalkDubVideo", model=["model", 0], video=["examples", 2], audio=["examples", 1], **inputs),
    }


def write_speech(path: Path, seconds: float) -> None:
    """Write the example speech, cut or repeated to a length, as a WAV file."""
    from edtalk_core.media.audio import read_audio

    speech = read_audio(ROOT / "weights/examples/speech.flac")
    samples = np.resize(speech.samples.mean(axis=0), round(seconds * speech.sample_rate))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, speech.sample_rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
