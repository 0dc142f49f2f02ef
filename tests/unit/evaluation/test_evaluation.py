"""Evaluation: the metrics are what they are called, and figures of models whose answers are known come out right."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edtalk_core.builtin_files import builtin_file
from edtalk_core.checkpoints.bundle import write_bundle
from edtalk_core.cli import main
from edtalk_core.data.clips import Clip, ClipInfo, ClipStore, encode_frame, write_clip
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError, FaceError
from edtalk_core.evaluation.disentanglement import evaluate_disentanglement, weight_ranges
from edtalk_core.evaluation.faces import (
    _HEAD,
    _RIGID,
    FaceReader,
    angles,
    head_rotation,
    landmark_distance,
    mouth_opening,
    regions,
    rotation_between,
)
from edtalk_core.evaluation.identity import identity_sheet, typical_motions
from edtalk_core.evaluation.metrics import PerceptualDistance, correlation, l1, psnr, ssim
from edtalk_core.evaluation.mouth import evaluate_mouth
from edtalk_core.evaluation.reenactment import evaluate_reenactment, reenact, reenactment_sheet
from edtalk_core.evaluation.suite import evaluate
from edtalk_core.face.crop import crop_portrait
from edtalk_core.media.mel import mel_spectrogram
from edtalk_core.media.picture import images_to_pictures, picture_to_image, read_picture
from edtalk_core.model import EDTalk
from edtalk_core.motion.motion import Motion
from edtalk_core.networks.audio_to_lip import AudioToLip
from edtalk_core.networks.pose_flow import PoseFlow
from edtalk_core.networks.sizes import ModelSizes
from edtalk_core.training.initialisation import identity_copy

SIZE = 64
COPY = 0.06
"""L1 within which a copying model copies: it shrinks the picture by a pixel, as the published sampling grid does."""


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A real face, cropped: the astronaut who ships with the project."""
    return crop_portrait(read_picture(builtin_file("examples/portrait.jpg"))).picture


@pytest.fixture(scope="module")
def store(face: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of the face swaying: one to train on, and of two people held out, who say different things."""
    import cv2

    folder = tmp_path_factory.mktemp("real")
    reader = FaceReader()
    mesh = reader.find(face)
    time = np.arange(30) / 25
    for number, (name, split) in enumerate((("a", "train"), ("b", "holdout"), ("c", "holdout"))):
        frames, landmarks = [], []
        for sway in 12 * np.sin(2 * np.pi * (1 + 0.3 * number) * time):
            matrix = cv2.getRotationMatrix2D((127.5, 180), sway, 1 - 0.004 * abs(sway))
            frames.append(encode_frame(cv2.warpAffine(face, matrix, (256, 256), borderMode=cv2.BORDER_REFLECT)))
            moved = mesh.landmarks @ matrix[:, :2].T + matrix[:, 2]
            # Its mouth opens and closes in the stored truth, so that there is something to follow.
            moved[60:68, 1] += np.where(np.arange(60, 68) > 64, 1, 0) * 5 * (1 + math.sin(sway))
            landmarks.append(moved)
        rng = np.random.default_rng(number)
        sound = (rng.standard_normal(30 * 640) * 0.1).astype(np.float32)
        info = ClipInfo(name, person=f"person {name}", split=split, emotion="happy" if number else "", speech=True)
        write_clip(folder / f"{name}.safetensors", info, frames, np.stack(landmarks), mel_spectrogram(sound))
    return folder


@pytest.fixture(scope="module")
def copying() -> EDTalk:
    """A model that renders every portrait as it is, whatever the motion."""
    torch.manual_seed(0)
    channels = {4: 8, 8: 8, 16: 8, 32: 8, 64: 8}
    model = EDTalk(ModelSizes(resolution=SIZE, style=48, channels=channels, expression_hidden=8))
    identity_copy(model)
    for eem in model.dec.fineadainresblock:
        eem.norm2.mlp_gamma.weight.data.zero_()
        eem.norm2.mlp_beta.weight.data.zero_()
    return model.eval()


@pytest.fixture(scope="module")
def moving(copying: EDTalk) -> EDTalk:
    """A model that shifts all pixels across, by an amount that depends on all the weights."""
    model = EDTalk(copying.sizes)
    model.load_state_dict(copying.state_dict())
    torch.manual_seed(1)
    with torch.no_grad():
        model.dec.to_flows[-1].conv.weight[:, 0] = 0.1
        for head in (model.lip_fc, model.pose_fc, model.exp_fc):
            head[-1].weight.normal_(0, 3)
    return model.eval()


@pytest.fixture(scope="module")
def held_out(store: Path) -> list[Clip]:
    return ClipStore(store, "holdout").clips


def pair(seed: int, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 256, (size, size, 3)).astype(np.uint8)
    noise = rng.normal(0, 20, target.shape)
    return np.clip(target + noise, 0, 255).astype(np.uint8), target


# Metrics


@pytest.mark.parametrize("seed", range(3))
def test_psnr_and_ssim_are_those_of_skimage(seed: int):
    metrics = pytest.importorskip("skimage.metrics")
    picture, target = pair(seed)
    assert psnr(picture, target) == pytest.approx(metrics.peak_signal_noise_ratio(target, picture), abs=1e-9)
    expected = metrics.structural_similarity(
        target, picture, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(picture, target) == pytest.approx(expected, abs=1e-6)


def test_equal_pictures(face: np.ndarray):
    assert l1(face, face) == 0
    assert psnr(face, face) == math.inf
    assert ssim(face, face) == pytest.approx(1)
    assert PerceptualDistance()(face, face) == 0


def test_l1_is_a_share_of_the_range():
    black, white = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 255, np.uint8)
    assert l1(black, white) == 1
    assert l1(black, black + 51) == pytest.approx(0.2)


def test_perceptual_distance_grows_with_blur_and_is_symmetric(face: np.ndarray):
    import cv2

    distance = PerceptualDistance()
    blurred = [cv2.GaussianBlur(face, (0, 0), sigma) for sigma in (1, 2, 4, 8)]
    values = [distance(picture, face) for picture in blurred]
    assert values == sorted(values)
    assert values[0] > 0
    assert distance(face, blurred[2]) == pytest.approx(values[2])


def test_perceptual_distance_sees_blur_that_l1_thinks_little_of(face: np.ndarray):
    import cv2

    blurred = cv2.GaussianBlur(face, (0, 0), 4)
    brighter = np.clip(face.astype(int) + 25, 0, 255).astype(np.uint8)
    assert l1(blurred, face) < l1(brighter, face)
    assert PerceptualDistance()(blurred, face) > PerceptualDistance()(brighter, face)


@pytest.mark.parametrize("metric", [l1, psnr, ssim, PerceptualDistance()], ids=["l1", "psnr", "ssim", "perceptual"])
@pytest.mark.parametrize(
    ("other", "word"),
    [
        (np.zeros((40, 48, 3), np.uint8), "one size"),
        (np.zeros((48, 48, 3), np.float32), "uint8"),
        (np.zeros((48, 48), np.uint8), "uint8"),
    ],
    ids=["size", "float", "grey"],
)
def test_pictures_that_cannot_be_compared(metric: Callable, other: np.ndarray, word: str):
    with pytest.raises(ArgumentError, match=word):
        metric(np.zeros((48, 48, 3), np.uint8), other)


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(ArgumentError, match="11 px"):
        ssim(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8))


def test_correlation():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50))
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert correlation(a, 3 * a + 1) == pytest.approx(1)
    assert correlation(a, np.ones(50)) == 0


# Faces


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return tilt @ nod @ turn


@pytest.mark.parametrize("turned", [(0, 0, 0), (20, 0, 0), (0, -15, 0), (0, 0, 30), (-25, 10, -5)], ids=str)
def test_rotation_of_a_projected_head_is_found(turned: tuple[float, float, float]):
    landmarks = np.zeros((1, 68, 2))
    landmarks[0, _RIGID] = (_HEAD @ rotation(*turned).T)[:, :2] * 37 + [100, 120]
    np.testing.assert_allclose(angles(head_rotation(landmarks))[0], turned, atol=1e-6)


def test_angle_between_rotations():
    a, b = rotation(10, 5, -20)[None], (rotation(10, 5, -20) @ rotation(30, 0, 0))[None]
    assert rotation_between(a, b) == pytest.approx([30])
    assert rotation_between(a, a) == pytest.approx([0], abs=1e-5)


@pytest.mark.parametrize("tilt", [-20, 15])
def test_tilted_picture_tilts_the_head(tilt: float, face: np.ndarray):
    import cv2

    reader = FaceReader()
    turned = cv2.warpAffine(face, cv2.getRotationMatrix2D((127.5, 127.5), -tilt, 1), (256, 256))
    before, after = (angles(head_rotation(reader.find(one).landmarks[None]))[0] for one in (face, turned))
    assert after[2] - before[2] == pytest.approx(tilt, abs=2)
    assert after[0] == pytest.approx(before[0], abs=4)


def test_landmarks_of_a_small_picture_are_those_of_the_large_one(face: np.ndarray):
    import cv2

    reader = FaceReader()
    small = cv2.resize(face, (96, 96), interpolation=cv2.INTER_AREA)
    large = reader.landmarks(face, reader.find(face))
    assert landmark_distance(reader.landmarks(small, reader.find(small)), large) < 0.03


def test_picture_without_a_face(face: np.ndarray):
    with pytest.raises(FaceError, match="no face"):
        FaceReader().find(np.full_like(face, 128))


def test_mouth_opening_is_a_ratio(face: np.ndarray):
    landmarks = FaceReader().find(face).landmarks
    assert mouth_opening(3 * landmarks + 7) == pytest.approx(mouth_opening(landmarks))
    wider = landmarks.copy()
    wider[66, 1] += 10
    assert mouth_opening(wider) > mouth_opening(landmarks) + 0.05


def test_regions_of_a_face(face: np.ndarray):
    reader = FaceReader()
    parts = regions(reader.landmarks(face, reader.find(face)), 256)
    assert not (parts["rest"] & parts["mouth"]).any()
    assert not (parts["background"] & parts["face"]).any()
    assert not (parts["cheeks"] & (parts["mouth"] | parts["eyes"])).any()
    height = {name: np.nonzero(mask)[0].mean() for name, mask in parts.items()}
    assert height["brows"] < height["eyes"] < height["cheeks"] < height["mouth"]
    shares = {name: mask.mean() for name, mask in parts.items()}
    assert 0.02 < shares["mouth"] < shares["face"] < 0.7


# Models whose answers are known


def test_copying_model_is_no_better_than_repeating(copying: EDTalk, held_out: list[Clip]):
    result = evaluate_reenactment(copying, held_out, step=7)
    assert result["clips"] == 2
    assert set(result["per_clip"]) == {"b", "c"}
    assert result["l1_below_repeat"] < 0.02
    assert result["l1_below_repeat"] == pytest.approx(1 - result["l1"] / result["repeat_l1"])
    assert result["psnr_above_repeat"] < 0.2
    assert result["mouth_lmd"] == pytest.approx(result["repeat_mouth_lmd"], rel=0.1)
    assert result["repeat_l1"] > 0.02
    assert result["repeat_mouth_lmd"] > 0.02
    assert "face mesh" in result["backbone"]
    clip = held_out[0]
    true = [clip.frame(index, SIZE) for index in range(7, 30, 7)]
    expected = np.mean([l1(clip.frame(0, SIZE), picture) for picture in true])
    assert result["per_clip"]["b"]["repeat_l1"] == pytest.approx(expected)
    assert result["repeat_l1"] == pytest.approx(np.mean([one["repeat_l1"] for one in result["per_clip"].values()]))


def test_reenactment_renders_the_weights_of_each_frame(moving: EDTalk, held_out: list[Clip]):
    clip, frames = held_out[0], list(range(3, 30, 2))
    pairs = list(reenact(moving, clip, frames))
    assert len(pairs) == len(frames)
    portrait = moving.encode_portrait(picture_to_image(clip.frame(0, SIZE), SIZE))
    with torch.no_grad():
        lip, pose, expression = moving.read_weights(picture_to_image(clip.frame(frames[9], SIZE), SIZE))
        direction, part = moving.directions(lip, pose, expression)
        expected = images_to_pictures(moving.dec(portrait.latent + direction, portrait.features, part))[0]
    true, rendered = pairs[9]
    assert np.array_equal(true, clip.frame(frames[9], SIZE))
    assert np.abs(rendered.astype(int) - expected).max() <= 1


def test_clips_too_short_are_left_out(copying: EDTalk, held_out: list[Clip]):
    assert evaluate_reenactment(copying, held_out, step=50) == {"clips": 0, "per_clip": {}}


def test_reenactment_sheet_has_three_rows(copying: EDTalk, held_out: list[Clip]):
    sheet = reenactment_sheet(copying, held_out)
    assert sheet.shape == (3 * SIZE, 2 * SIZE, 3)
    assert np.array_equal(sheet[:SIZE, :SIZE], held_out[0].frame(0, SIZE))
    assert l1(sheet[2 * SIZE :], sheet[:SIZE]) < COPY < l1(sheet[SIZE : 2 * SIZE], sheet[:SIZE])


def test_mouth_of_a_copying_model_does_not_follow(copying: EDTalk, held_out: list[Clip]):
    copying.audio_to_lip = AudioToLip(widths=(8,) * 13).eval()
    try:
        result = evaluate_mouth(copying, held_out)
    finally:
        copying.audio_to_lip = None
    assert result["clips"] == 2
    assert abs(result["own"]) < 0.3
    assert result["amplitude"] < 0.05


def test_mouth_needs_the_network(copying: EDTalk, held_out: list[Clip]):
    with pytest.raises(ArgumentError, match="audio-to-lip"):
        evaluate_mouth(copying, held_out)


def test_copying_model_changes_nothing(copying: EDTalk, held_out: list[Clip]):
    result = evaluate_disentanglement(copying, held_out)
    assert result["portraits"] == 2
    for track in ("lip", "pose", "expression"):
        assert max(result[track]["change"].values()) < 1e-3
        assert result[track]["largest_rotation"] < 0.5
        assert result[track]["largest_opening"] < 0.05


def test_model_that_shifts_everything_is_not_disentangled(moving: EDTalk, held_out: list[Clip]):
    result = evaluate_disentanglement(moving, held_out, portraits=1)
    assert result["portraits"] == 1
    for track in ("lip", "pose", "expression"):
        change = result[track]["change"]
        assert min(change.values()) > 1e-3
        assert result[track]["mouth_to_rest"] == pytest.approx(change["mouth"] / change["rest"])
        assert 0.2 < result[track]["mouth_to_rest"] < 4


def test_ranges_are_percentiles_of_what_is_read(moving: EDTalk, held_out: list[Clip]):
    low, high = weight_ranges(moving, held_out)
    images = torch.cat([picture_to_image(clip.frame(i, SIZE), SIZE) for clip in held_out for i in (0, 10, 20)])
    with torch.no_grad():
        lip, pose, expression = moving.read_weights(images)
    for name, values in (("lip", lip), ("pose", pose), ("expression", expression)):
        np.testing.assert_allclose(low[name], np.percentile(values, 5, axis=0), atol=1e-5)
        np.testing.assert_allclose(high[name], np.percentile(values, 95, axis=0), atol=1e-5)


def test_identity_sheet(copying: EDTalk, face: np.ndarray, held_out: list[Clip]):
    motions = typical_motions(copying, held_out)
    assert list(motions)[:4] == ["mouth open", "turned left", "turned right", "nodded"]
    assert len(motions) == 6
    sheet = identity_sheet(copying, {"first": face, "second": face[:, ::-1]}, motions)
    assert sheet.shape[1] == 7 * SIZE
    assert sheet.shape[0] > 2 * SIZE
    first = sheet[22 : 22 + SIZE]
    for column in range(1, 7):
        assert l1(first[:, column * SIZE : (column + 1) * SIZE], first[:, :SIZE]) < COPY


def test_motion_of_many_frames_shows_its_middle(moving: EDTalk, face: np.ndarray):
    pose = torch.zeros(5, 6)
    pose[2] = 5.0
    sheet = identity_sheet(moving, {"p": face}, {"still": Motion(pose=pose[:1]), "moved": Motion(pose=pose)})
    assert l1(sheet[22 : 22 + SIZE, SIZE : 2 * SIZE], sheet[22 : 22 + SIZE, 2 * SIZE :]) > 0.005


def test_identity_sheet_of_nothing(copying: EDTalk, face: np.ndarray):
    with pytest.raises(ArgumentError, match="at least one"):
        identity_sheet(copying, {"p": face}, {})


# All together


def test_suite_leaves_out_what_the_model_lacks(copying: EDTalk, store: Path):
    seen: set[str] = set()
    results = evaluate(copying, store, progress=lambda part, done, total: seen.add(part))
    assert list(results) == ["reenactment", "disentanglement"]
    assert seen == set(results)


def test_suite_evaluates_the_pose_flow(copying: EDTalk, store: Path):
    copying.pose_flow = PoseFlow(6, 2, 16, 10, 8).eval()
    try:
        results = evaluate(copying, store, parts=["pose"])
    finally:
        copying.pose_flow = None
    assert {"flow", "gaussian", "random_walk", "inverse_error"} <= set(results["pose"])


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [({"parts": ["noses"]}, ArgumentError, "noses"), ({"split": "validation"}, EDTalkError, "validation")],
    ids=["part", "split"],
)
def test_wrong_choice(arguments: dict, error: type[Exception], word: str, copying: EDTalk, store: Path):
    with pytest.raises(error, match=word):
        evaluate(copying, store, **arguments)


def test_progress_cancels(copying: EDTalk, store: Path):
    def cancel(part: str, done: int, total: int | None) -> None:
        raise Cancelled("no more")

    with pytest.raises(Cancelled, match="no more"):
        evaluate(copying, store, progress=cancel)


def test_command_prints_figures_and_writes_sheets(
    copying: EDTalk, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    weights = write_bundle(tmp_path / "copy.safetensors", copying)
    sheets = ["--sheet", str(tmp_path / "sheet.png"), "--identity", str(tmp_path / "identity.png")]
    arguments = ["evaluate", str(weights), "--data", str(store), "--only", "reenactment", "--device", "cpu"]
    assert main([*arguments, *sheets, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["reenactment"]["clips"] == 2
    assert read_picture(tmp_path / "sheet.png").shape == (3 * SIZE, 2 * SIZE, 3)
    assert read_picture(tmp_path / "identity.png").shape[1] == 7 * SIZE
    assert main(arguments) == 0
    assert "l1_below_repeat" in capsys.readouterr().out


def test_command_names_a_store_without_clips(tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["evaluate", str(tiny_bundle), "--data", str(tmp_path)]) == 1
    assert "edtalk prepare" in capsys.readouterr().err
