"""Videos whose clock is broken are read at 25 frames a second, and say so."""

from __future__ import annotations

from pathlib import Path

import hostile_files as files
import pytest

from edtalk_core.media.video import VideoReader, resample_frames

DRIVER = Path(__file__).resolve().parents[3] / "weights" / "examples" / "driver.mp4"


@pytest.mark.parametrize("ticks", [0, 1, 4_294_967_295])
def test_time_scale_of_the_track(ticks: int, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    check_clock(files.video_with_time_scale(DRIVER, tmp_path / "clock.mp4", ticks), caplog)


@pytest.mark.parametrize("ticks", [100_000_000, 2**31, 2**32 - 1])
def test_length_of_frames(ticks: int, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    check_clock(files.video_with_frame_delta(DRIVER, tmp_path / "clock.mp4", ticks), caplog)


def check_clock(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = VideoReader(DRIVER)
    reader = VideoReader(path)
    assert "clock is broken" in caplog.text
    assert reader.fps == 25
    frames = sum(1 for _ in good)
    assert abs(reader.duration - frames / 25) < 1
    # FFmpeg leaves out what lies beyond the duration of the edit list.
    assert 1 <= sum(1 for _ in resample_frames(reader, 25)) <= frames + 1


def test_slow_videos_have_their_own_clock(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    import numpy as np

    pictures = [np.full((64, 64, 3), level, np.uint8) for level in (50, 200)]
    reader = VideoReader(files.slow_video(tmp_path / "slow.mp4", 4, 60, pictures))
    assert [round(seconds) for seconds, _ in reader] == [0, 60, 120, 180]
    assert not caplog.text
