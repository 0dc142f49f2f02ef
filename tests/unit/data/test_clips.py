"""Prepared clips: what of a store is used, and frames and sounds of a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edtalk_core.data.clips import Clip, ClipStore, encode_frame, write_clip
from edtalk_core.errors import EDTalkError
from edtalk_core.face.landmarks import MIRRORED


def test_clips_held_out_are_never_trained_on(face_store: Path):
    assert [clip.info.name for clip in ClipStore(face_store).clips] == ["anna", "bert", "cleo", "dirk"]
    assert [clip.info.name for clip in ClipStore(face_store, emotion=True).clips] == ["anna", "bert"]
    assert [clip.info.name for clip in ClipStore(face_store, "holdout", speech=True).clips] == ["eva", "finn"]


def test_mirrored_landmarks_are_a_permutation_that_undoes_itself():
    assert sorted(MIRRORED) == list(range(68))
    assert np.array_equal(MIRRORED[MIRRORED], np.arange(68))


@pytest.mark.parametrize("size", [16, 32, 64, 100, 256])
def test_frame_at_a_size_is_the_frame_scaled(size: int, face_store: Path):
    import cv2

    clip = Clip(face_store / "anna.safetensors")
    frame = clip.frame(3, size)
    assert frame.shape == (size, size, 3)
    scaled = cv2.resize(clip.frame(3), (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(frame.astype(int) - scaled).mean() < 2


def test_mel_windows_of_single_frames_match_the_whole(face_store: Path):
    from edtalk_core.media.mel import gather_windows

    clip = Clip(face_store / "anna.safetensors")
    assert clip.mel is not None
    whole = gather_windows(clip.mel, 0, len(clip)).numpy()
    assert np.array_equal(clip.mel_windows([0, 7, 29]), whole[[0, 7, 29]])


def test_clip_knows_its_size(face_store: Path, tmp_path: Path):
    import cv2

    small = Clip(face_store / "anna.safetensors")
    frames = [cv2.resize(small.frame(i), (512, 512), interpolation=cv2.INTER_CUBIC) for i in range(3)]
    landmarks = (small.landmarks[:3] + 0.5) * 2 - 0.5
    write_clip(tmp_path / "large.safetensors", small.info, [encode_frame(f) for f in frames], landmarks, None, 512)
    large = Clip(tmp_path / "large.safetensors")
    assert (small.size, large.size) == (256, 512)
    assert large.frame(1).shape == (512, 512, 3)
    assert np.abs(large.frame(1, 256).astype(int) - small.frame(1)).mean() < 2
    assert large.points == pytest.approx(small.points[:3], abs=1e-6)
    with pytest.raises(EDTalkError, match="--size 512"):
        small.frame(1, 512)


def test_files_that_do_not_say_their_size_have_256_px(face_store: Path, tmp_path: Path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    source = face_store / "anna.safetensors"
    with safe_open(source, framework="pt") as file:
        metadata = {name: value for name, value in file.metadata().items() if name != "size"}
    save_file(load_file(source), tmp_path / "old.safetensors", metadata=metadata)
    assert Clip(tmp_path / "old.safetensors").size == 256


@pytest.mark.parametrize("content", [b"", b"\0" * 100], ids=["empty", "zeros"])
def test_damaged_clip_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(EDTalkError, match=r"bad\.safetensors"):
        Clip(tmp_path / "bad.safetensors")
