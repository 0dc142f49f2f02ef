"""Samples warped by the 3D face, and the loss of their exact flows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_training import tiny_settings

from edtalk_core.checkpoints.loading import load_model
from edtalk_core.data.clips import ClipInfo, ClipStore, encode_frame, write_clip
from edtalk_core.data.face_motion import FaceMotion
from edtalk_core.data.tracks import read_clip
from edtalk_core.errors import ArgumentError
from edtalk_core.face.expression_warp import LIDS, UNIT
from edtalk_core.face.face_model import EXPRESSION_BASES, face_model
from edtalk_core.face.landmarks import JAW, eye_opening
from edtalk_core.training.checkpoint import latest_checkpoint
from edtalk_core.training.expression_variations import draw_amounts, exact_warp, posed_face, warped_expression
from edtalk_core.training.image_stage import expression_motion
from edtalk_core.training.initialisation import turn_expression_bank
from edtalk_core.training.loop import starting_model, train
from edtalk_core.training.losses import exact_flow_loss
from edtalk_core.training.sampling import FrameSampler, PairSampling, Sample, Variation, single_clip, weights_measure
from edtalk_core.training.stages import STAGES

SIZE = 64


@pytest.fixture(scope="module")
def motion(face_store: Path) -> FaceMotion:
    return FaceMotion(ClipStore(face_store).clips, 20, 10)


def sample_of(store: Path, motion: FaceMotion, seed: int, *variations: Variation, augmentation: float = 0.0) -> Sample:
    clips = ClipStore(store)
    sizes = starting_model(tiny_settings("expression", store, store)).sizes
    sampler = FrameSampler(
        single_clip(clips),
        PairSampling(),
        frames=2,
        resolution=SIZE,
        augmentation=augmentation,
        measure=weights_measure(motion, sizes),
        variations=variations,
    )
    return sampler.sample(np.random.default_rng(seed), sampler.choose_clips)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("augmentation", [0.0, 1.0])
def test_exact_flow_makes_the_second_frame_of_the_first(
    seed: int, augmentation: float, face_store: Path, motion: FaceMotion
):
    sample = sample_of(face_store, motion, seed, exact_warp(1.0), augmentation=augmentation)
    assert sample.exact_flow is not None
    first, second = torch.from_numpy(sample.images)[:, None]
    grid = torch.from_numpy(sample.exact_flow).permute(1, 2, 0)[None]
    fetched = F.grid_sample(first, grid, padding_mode="border", align_corners=False)
    unmoved = (first - second).abs().mean()
    assert (fetched - second).abs().mean() < max(0.5 * unmoved, 0.006)


def test_exact_warps_change_the_expression_alone(face_store: Path, motion: FaceMotion):
    changes = []
    for seed in range(12):
        sample = sample_of(face_store, motion, seed, exact_warp(1.0))
        for name in ("lip", "pose"):
            np.testing.assert_array_equal(sample.weights[name][0], sample.weights[name][1])
        np.testing.assert_array_equal(sample.landmarks[0, JAW], sample.landmarks[1, JAW])
        change = np.diff(sample.weights["expression"], axis=0)[0] / UNIT
        lids = np.diff(eye_opening(sample.landmarks))[0] / eye_opening(sample.landmarks)[0]
        changes.append((change[LIDS], lids))
    asked, seen = np.transpose(changes)
    assert np.corrcoef(asked, seen)[0, 1] < -0.7


def test_warped_frame_says_its_expression(face_store: Path, motion: FaceMotion):
    plain = sample_of(face_store, motion, 3)
    warped = sample_of(face_store, motion, 3, warped_expression(1.0))
    np.testing.assert_array_equal(plain.images[0], warped.images[0])
    assert np.abs(plain.images[1] - warped.images[1]).max() > 0.1
    assert warped.exact_flow is None
    change = (warped.weights["expression"][1] - plain.weights["expression"][1]) / UNIT
    face = posed_face(plain.landmarks[1], SIZE)
    moved = face.vertices(change) - face.vertices(0 * change)
    expected = moved[face_model().landmarks[JAW.stop :], :2] * 2 / SIZE
    np.testing.assert_allclose((warped.landmarks - plain.landmarks)[1, JAW.stop :], expected, atol=1e-3)


def test_drawn_expressions_show_all_bases_and_shut_eyes():
    rng = np.random.default_rng(0)
    amounts = np.array([draw_amounts(rng) for _ in range(400)])
    assert amounts.shape == (400, len(EXPRESSION_BASES))
    assert (np.abs(amounts).max(axis=0) > 0.8).all()
    assert (amounts[:, LIDS] > 0.8).mean() > 0.1
    assert (amounts.min(axis=0) < -0.2).all()


def test_exact_flow_loss_is_the_distance_in_pixels():
    size = 32
    line = torch.linspace(-1, 1, size)
    corners = torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]
    flow = torch.zeros(1, 3, size, size)
    everywhere = torch.ones(1, 1, size, size)
    # What a flow of zeros samples, where that is within the picture; then 2 px of 256 beside a smaller picture.
    within = (corners.abs() < 0.95).all(1, keepdim=True)
    assert exact_flow_loss(flow, torch.where(within, corners, 2), [everywhere]).item() == pytest.approx(0, abs=1e-4)
    beside = corners * 0.9
    flow_to_it = torch.cat([torch.atanh(beside - corners + 2 / 128), torch.zeros(1, 1, size, size)], 1)
    assert exact_flow_loss(flow_to_it, beside, []).item() == pytest.approx(4, rel=0.02)
    assert exact_flow_loss(flow_to_it, beside, [everywhere]).item() == pytest.approx(6, rel=0.02)


def test_exact_flow_loss_teaches_the_generator(face_store: Path, tmp_path: Path):
    """Steps on one batch of exact warps bring the generator's flow nearer to theirs."""
    settings = tiny_settings(
        "expression",
        face_store,
        tmp_path,
        measured_weights_share=1.0,
        expression_measure="face-model",
        losses={"l1": 0.0, "perceptual": 0.0, "exact_flow": 1.0},
        sampling={"exact_warp_share": 1.0, "emotional_share": 0.0},
        train=["dec."],
    )
    torch.manual_seed(0)
    stage = STAGES["expression"](starting_model(settings), settings)  # type: ignore[arg-type]
    batch = stage.batch(np.random.default_rng(9))
    assert not torch.isnan(batch["exact_flow"]).any()
    optimizer = torch.optim.Adam([parameter for _, parameter in stage.trainable_parameters()], lr=5e-3)
    losses = []
    for _ in range(12):
        (loss,) = stage(batch).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_unknown_flows_do_not_count(face_store: Path, tmp_path: Path):
    settings = tiny_settings(
        "expression",
        face_store,
        tmp_path,
        batch=6,
        measured_weights_share=1.0,
        expression_measure="face-model",
        losses={"exact_flow": 1.0},
        sampling={"exact_warp_share": 0.5, "emotional_share": 0.0},
    )
    stage = STAGES["expression"](starting_model(settings), settings)  # type: ignore[arg-type]
    batch = stage.batch(np.random.default_rng(0))
    known = ~torch.isnan(batch["exact_flow"]).flatten(1).any(1)
    assert 0 < known.sum() < 6
    assert torch.isfinite(stage(batch)["exact_flow"])
    same = stage.batch(np.random.default_rng(0))
    for name, values in batch.items():
        assert torch.equal(torch.nan_to_num(values), torch.nan_to_num(same[name]))


def test_exact_warps_need_the_measure_they_teach(face_store: Path, tmp_path: Path):
    settings = tiny_settings("expression", face_store, tmp_path, sampling={"exact_warp_share": 0.5})
    with pytest.raises(ArgumentError, match="expression_measure: face-model"):
        STAGES["expression"](starting_model(settings), settings)  # type: ignore[arg-type]


@pytest.fixture
def store_with_picture(face_store: Path, tmp_path: Path) -> Path:
    """The store, and a picture of somebody else: a frame of its first clip."""
    store = tmp_path / "store"
    shutil.copytree(face_store, store)
    clip = ClipStore(face_store).clips[0]
    info = ClipInfo("still", "somebody else", "train")
    write_clip(store / "still.safetensors", info, [encode_frame(clip.frame(0))], clip.landmarks[:1], None, clip.size)
    return store


def test_pictures_are_shown_in_other_expressions(store_with_picture: Path, tmp_path: Path):
    settings = tiny_settings(
        "expression",
        store_with_picture,
        tmp_path / "run",
        batch=40,
        measured_weights_share=1.0,
        expression_measure="face-model",
        sampling={"picture_share": 0.4, "emotional_share": 0.0},
    )
    stage = STAGES["expression"](starting_model(settings), settings)  # type: ignore[arg-type]
    batch = stage.batch(np.random.default_rng(1))
    # Exact warps are asked for nowhere else.
    known = ~torch.isnan(batch["exact_flow"]).flatten(1).any(1)
    assert 8 <= known.sum() <= 24
    change = batch["expression"][:, 1] - batch["expression"][:, 0]
    assert (change[known].abs().amax(1) > 0.1).all()
    assert (batch["lip"][known, 0] == batch["lip"][known, 1]).all()
    assert torch.isfinite(stage(batch)["l1"])


def test_pictures_do_not_change_what_weights_mean(face_store: Path, store_with_picture: Path, motion: FaceMotion):
    extended = FaceMotion(ClipStore(face_store).clips, 20, 10)
    extended.add(ClipStore(store_with_picture, pictures=True).clips)
    clip = ClipStore(face_store).clips[0]
    before, after = (measure.measure(clip.points, clip.info.name) for measure in (motion, extended))
    for track, weights in before.items():
        assert np.array_equal(weights, after[track])
    still = extended.measure(clip.points[:1], "still")
    # The only picture of a person is its own reference.
    assert np.abs(still["lip"]).max() < 1e-6
    assert np.abs(still["expression"]).max() < 0.3
    assert np.allclose(still["pose"], before["pose"][:1])


def test_pictures_need_the_measure_they_teach(face_store: Path, tmp_path: Path):
    settings = tiny_settings("expression", face_store, tmp_path, sampling={"picture_share": 0.5})
    with pytest.raises(ArgumentError, match="expression_measure: face-model"):
        STAGES["expression"](starting_model(settings), settings)  # type: ignore[arg-type]


def test_exact_flows_need_exact_warps(face_store: Path, tmp_path: Path):
    settings = tiny_settings("expression", face_store, tmp_path, losses={"exact_flow": 1.0})
    stage = STAGES["expression"](starting_model(settings), settings)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="set sampling"):
        stage(stage.batch(np.random.default_rng(0)))


def test_exact_warps_are_for_pairs(face_store: Path, tmp_path: Path):
    settings = tiny_settings(
        "mouth-pose", face_store, tmp_path, expression_measure="face-model", sampling={"exact_warp_share": 0.5}
    )
    with pytest.raises(ArgumentError, match="pairs of frames"):
        STAGES["mouth-pose"](starting_model(settings), settings)  # type: ignore[arg-type]


def test_settings_choose_the_measure(face_store: Path, tmp_path: Path):
    for measure, kind in (("landmarks", False), ("face-model", True)):
        settings = tiny_settings("expression", face_store, tmp_path, expression_measure=measure)
        motion = expression_motion(starting_model(settings), settings, ClipStore(face_store).clips)  # type: ignore[arg-type]
        assert isinstance(motion, FaceMotion) == kind


def test_trained_bases_have_names(face_store: Path, tmp_path: Path):
    """Checkpoints of measured weights say what the bases mean, from the first and also after they were resumed."""
    values = {"measured_weights_share": 1.0, "sampling": {"emotional_share": 0.0}}
    named = tiny_settings(
        "expression", face_store, tmp_path / "named", expression_measure="face-model", steps=1, **values
    )
    bases = load_model(train(named)).bases
    assert bases.expression == tuple(EXPRESSION_BASES)
    assert bases.pose == ("x", "y", "size", "roll", "yaw", "pitch")
    assert bases.lids is not None
    assert bases.expression[bases.lids.base] == "lids"
    # More than what closes the eyes of the 3D face, which generators follow less far.
    assert UNIT < bases.lids.closed < 2 * UNIT
    assert load_model(train(replace(named, steps=2))).bases == bases
    init = str(latest_checkpoint(tmp_path / "named"))
    finetuned = tiny_settings("finetune", face_store, tmp_path / "finetuned", init=init, steps=1)
    assert load_model(train(finetuned)).bases == bases
    # Trained as principal components, the bases no longer mean what they are called.
    components = tiny_settings("expression", face_store, tmp_path / "components", init=init, steps=1, **values)
    assert load_model(train(components)).bases == replace(bases, expression=(), lids=None)


def test_heads_are_fitted_to_the_measure_that_settings_choose(face_store: Path, motion: FaceMotion, tmp_path: Path):
    """Read off the clips that they were fitted on, expressions follow what the 3D face says."""
    settings = tiny_settings(
        "expression", face_store, tmp_path, expression_measure="face-model", fit_heads=True, measured_weights_share=1.0
    )
    torch.manual_seed(0)
    stage = STAGES["expression"](starting_model(settings), settings)  # type: ignore[arg-type]
    stage.begin()
    read, measured = [], []
    for clip in stage.store.clips:
        weights = motion.expression(clip.points, clip.info.name, False)
        measured.append(weights - weights.mean(axis=0))
        tracks = read_clip(stage.model, clip)
        read.append((tracks["expression"] - tracks["expression"].mean(0)).numpy())
    lids = np.corrcoef(np.concatenate(read)[:, LIDS], np.concatenate(measured)[:, LIDS])[0, 1]
    assert lids > 0.5


def test_expression_bank_turns_within_its_span_toward_the_named_bases(face_store: Path, tmp_path: Path):
    settings = tiny_settings(
        "expression", face_store, tmp_path, expression_measure="face-model", measured_weights_share=1
    )
    torch.manual_seed(0)
    model = starting_model(settings)  # type: ignore[arg-type]
    motion = FaceMotion(ClipStore(face_store).clips, model.sizes.lip, 10)
    first = model.sizes.lip + model.sizes.pose
    before = model.bank().detach()
    turn_expression_bank(model, motion)
    after = model.bank().detach()
    assert torch.equal(before[:, :first], after[:, :first])
    rotation = before[:, first:].T @ after[:, first:]
    assert torch.allclose(rotation @ rotation.T, torch.eye(10), atol=1e-4)
    # Whatever sign the factorisation chooses, brows that go down are what landmarks say that brows down are.
    mesh = face_model()
    for base in ("brows down", "smile", "outer brows"):
        index = list(EXPRESSION_BASES).index(base)
        moved = motion.expression_change(mesh.fitted[index][mesh.landmarks][:, :2] * [1, -1])
        direction = rotation[:, index].numpy()
        assert abs(direction @ moved) / np.linalg.norm(moved) > 0.5


def test_expression_bank_is_not_turned_toward_landmarks(face_store: Path, tmp_path: Path):
    settings = tiny_settings("expression", face_store, tmp_path, turn_expression_bank=True)
    stage = STAGES["expression"](starting_model(settings), settings)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="expression_measure: face-model"):
        stage.begin()
