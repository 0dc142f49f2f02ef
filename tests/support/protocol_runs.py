"""Runs of protocols with results that are made up, for tests of reports."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from edtalk_core.evaluation.runs import ClipResult, ProtocolSettings
from edtalk_core.media.picture import write_picture

CLIPS = 14


def write_run(folder: Path, psnr: float, name: str = "mead-a") -> None:
    """A run of CLIPS clips: the PSNR rises from clip to clip, one clip has no face, another has a name like HTML."""
    run = folder / name
    run.mkdir(parents=True)
    names = [f"clip{i:02}" for i in range(CLIPS - 2)] + ["<b>bold", "faceless"]
    settings = asdict(ProtocolSettings(name, ("demo",), "store", "holdout"))
    content = {"settings": settings, "clips": names, "sha256": {"a.safetensors": "0" * 64}, "networks": []}
    (run / "run.json").write_text(json.dumps({**content, "version": "0.1.0"}))
    for i, clip in enumerate(names):
        result = ClipResult(clip, "=person", "happy" if i % 2 else "sad", 30)
        if clip == "faceless":
            result.missing["all"] = "no face in the first frame"
        else:
            result.figures = {"psnr": psnr + i, "l1": 0.05, "acc_emo_face_model": float(i % 2)}
            result.missing = {"blink_rate": "fewer than 50 frames with faces"}
            result.left_out = {"l1": {"no face in the rendered frame": 2}}
            result.classes = {"acc_emo_face_model": "happy"}
            series = [f"{part}_{kind}" for part in ("opening", "yaw", "pitch") for kind in ("true", "rendered")]
            result.curves = {
                "frame": [1.0, 2.0, 3.0],
                "level": [0.0, 1.0, 0.5],
                **{part: [0.1, 0.2, 0.1] for part in series},
            }
            rng = np.random.default_rng(i)
            features = {f"frechet_face_mesh.{kind}": rng.normal(0, 1, (4, 3)) for kind in ("true", "rendered")}
            save_file({k: v.astype(np.float32) for k, v in features.items()}, run / f"{clip}.safetensors")
            write_picture(run / f"{clip}.jpg", np.full((32, 64, 3), 10 * i, np.uint8))
        (run / f"{clip}.json").write_text(json.dumps(asdict(result)))
