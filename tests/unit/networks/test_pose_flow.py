"""The pose flow: exact densities, exact inverse, sampling, learning, and the figures it is judged by."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from edtalk_core.data.pose_clips import PoseClip
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError, MotionError, UnsupportedCheckpoint
from edtalk_core.evaluation.pose import Baselines, evaluate_pose_flow, shakiness, speed, spread
from edtalk_core.media.mel import gather_windows
from edtalk_core.motion.presets import EMOTIONS
from edtalk_core.networks import speech_encoder
from edtalk_core.networks.pose_flow import PoseFlow, frame_spectra
from edtalk_core.sources.flow import emotions_over_time, sample_pose
from edtalk_core.training.pose_flow import PoseWindows, draw_curves, negative_log_likelihood


def swaying_clips(count: int, frames: int, seed: int, listening: float = 0.0) -> list[PoseClip]:
    """Heads on springs, pushed at random; with `listening` every push has the sign of the sound's present loudness."""
    rng = np.random.default_rng(seed)
    scales = np.array([3.0, 2.0, 1.0, 0.5, 0.5, 0.2])
    clips = []
    for _ in range(count):
        loud = np.sign(rng.normal(size=frames).cumsum())
        place, move = rng.normal(size=6) * 0.3, np.zeros(6)
        pose = np.empty((frames, 6))
        for frame in range(frames):
            pose[frame] = place
            push = rng.normal(size=6)
            push[0] = (1 - listening) * push[0] + listening * abs(push[0]) * loud[frame]
            move = 0.8 * move - 0.05 * place + 0.05 * push
            place = place + move
        spectra = np.repeat(loud[:, None], 80, axis=1) * 2
        clips.append(PoseClip(torch.tensor(pose * scales + 1, dtype=torch.float32), torch.tensor(spectra).float()))
    return clips


def tiny_flow(seed: int = 0, **sizes: int) -> PoseFlow:
    """A flow on the scale of the swaying clips whose couplings do something, as after training."""
    torch.manual_seed(seed)
    flow = PoseFlow(**{"steps": 3, "width": 32, "span": 10, "audio": 4, **sizes})
    if flow.pose == 6:
        flow.initialise([clip.pose for clip in swaying_clips(8, 60, seed)])
    with torch.no_grad():
        for step in flow.steps:
            for layer in (step.coupling.output, step.coupling.linear):
                layer.weight.normal_(0, 0.03)  # more, and the head flies away
            step.coupling.distance.normal_()
    return flow.eval()


@pytest.fixture(scope="module")
def flow() -> PoseFlow:
    return tiny_flow()


@pytest.fixture(scope="module")
def learned() -> tuple[PoseFlow, list[PoseClip], list[PoseClip]]:
    """A small flow after some seconds of training, and the clips it was and was not trained on."""
    train, test = swaying_clips(40, 120, seed=1, listening=1.0), swaying_clips(6, 120, seed=2, listening=1.0)
    torch.manual_seed(0)
    flow = PoseFlow(steps=3, width=16, span=10, audio=4, dropout=0.0)
    flow.initialise([clip.pose for clip in train])
    windows = PoseWindows(train, 40, amplitude=0.0, noise=0.0)
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
    for step in range(120):
        loss = negative_log_likelihood(flow, windows.draw(np.random.default_rng(step), 8))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimizer.step()
    return flow.eval(), train, test


# Exactness


@pytest.mark.parametrize("frames", [2, 9, 130], ids="frames={}".format)
@pytest.mark.parametrize("has_speech", [True, False], ids=["speech", "silent"])
def test_inverse_undoes_forward(flow, frames, has_speech):
    clip = swaying_clips(1, frames, seed=5)[0]
    pose = clip.pose[None].repeat(2, 1, 1)
    pose[1] = pose[1].flip(0)
    audio = flow.hear(clip.spectra[None].repeat(2, 1, 1)) if has_speech else None
    z, _ = flow(pose, audio)
    assert z.shape == pose.shape
    assert (flow.inverse(z, audio) - pose).abs().max() < 1e-4


def test_forward_undoes_inverse(flow):
    z = torch.randn(1, 80, 6, generator=torch.Generator().manual_seed(3))
    assert (flow(flow.inverse(z))[0] - z).abs().max() < 1e-3


def test_density_integrates_the_change_of_volume_exactly():
    flow = tiny_flow(seed=4, span=3).double()
    clip = swaying_clips(1, 5, seed=6)[0]
    pose, audio = clip.pose[None].double(), flow.hear(clip.spectra[None].double()).detach()
    jacobian = torch.autograd.functional.jacobian(lambda values: flow(values, audio)[0], pose).view(30, 30)
    z, determinants = flow(pose, audio)
    assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(determinants.sum().item(), abs=1e-6)
    normal = -0.5 * (z.square() + math.log(2 * math.pi)).sum()
    assert flow.log_prob(pose, audio).sum().item() == pytest.approx((normal + determinants.sum()).item(), abs=1e-6)


def test_a_frame_depends_on_no_later_frame(flow):
    pose = swaying_clips(1, 30, seed=7)[0].pose[None]
    changed = pose.clone()
    changed[:, 20:] += 3
    assert torch.equal(flow.log_prob(pose)[:, :20], flow.log_prob(changed)[:, :20])
    assert not torch.allclose(flow.log_prob(pose)[:, 20], flow.log_prob(changed)[:, 20])


def test_the_past_and_the_speech_matter(flow):
    clip = swaying_clips(1, 30, seed=7)[0]
    pose, changed = clip.pose[None], clip.pose[None].clone()
    changed[:, 5] += 1
    alone = flow.log_prob(pose)
    assert not torch.allclose(alone[:, 12], flow.log_prob(changed)[:, 12])
    assert not torch.allclose(alone, flow.log_prob(pose, flow.hear(clip.spectra[None])))


def test_a_new_flow_is_a_random_walk():
    clips = swaying_clips(10, 80, seed=8)
    torch.manual_seed(0)
    flow = PoseFlow(steps=4).eval()
    flow.initialise([clip.pose for clip in clips])
    baselines, pose = Baselines(clips), clips[0].pose
    first = baselines.poses.log_prob(pose[0].double()).item()
    assert flow.log_prob(pose[None])[0, 0].item() == pytest.approx(first, abs=1e-3)
    density = sum(flow.log_prob(clip.pose[None]).sum().item() for clip in clips)
    assert density == pytest.approx(sum(baselines.random_walk(clip.pose) for clip in clips), abs=0.1 * 800)
    changed = pose.clone()
    changed[30] += 1
    difference = (flow.log_prob(changed[None]) - flow.log_prob(pose[None]))[0]
    assert difference.nonzero().flatten().tolist() == [30, 31]


def test_frame_spectra_hold_every_moment_of_the_sound_once():
    mel = np.random.default_rng(0).normal(size=(321, 80)).astype(np.float32)
    spectra = frame_spectra(gather_windows(mel, 0, 100))
    assert spectra.shape == (100, 80)
    # Frame i lasts from column 3.2 i to 3.2 (i + 1); the window's middle holds these, within a column.
    for frame in (3, 4, 50, 96):
        middle = int(80 * (frame - 2) / 25) + 7
        assert abs(middle + 1.5 - 3.2 * (frame + 0.5)) <= 1
        assert np.allclose(spectra[frame], mel[middle : middle + 4].mean(0), atol=1e-5)


# Files


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({}, id="default"),
        pytest.param({"pose": 5, "steps": 1, "width": 16, "span": 4, "audio": 3}, id="small"),
        pytest.param({"pose": 7, "steps": 8, "width": 64, "span": 80, "audio": 32}, id="large"),
    ],
)
def test_sizes_are_read_off_the_tensors(sizes):
    torch.manual_seed(0)
    written = PoseFlow(**sizes).eval()
    read = PoseFlow.from_state_dict(written.state_dict())
    assert not read.training
    pose = torch.randn(1, 20, written.pose)
    audio = written.hear(torch.randn(1, 20, 80))
    assert torch.equal(read.log_prob(pose, audio), written.log_prob(pose, audio))


def test_the_default_flow_is_small_and_all_floating_point():
    tensors = PoseFlow().state_dict().values()
    assert sum(value.numel() * 4 for value in tensors) < 3e6
    assert all(value.is_floating_point() for value in tensors)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda state: {}, id="empty"),
        pytest.param(lambda state: {n: v for n, v in state.items() if n != "mean"}, id="no-mean"),
        pytest.param(lambda state: {n: v for n, v in state.items() if not n.startswith("steps.1.")}, id="a-step-less"),
        pytest.param(lambda state: state | {"start": torch.eye(4)}, id="wrong-shape"),
        pytest.param(lambda state: state | {"steps.0.coupling.distance": torch.zeros(())}, id="scalar"),
        pytest.param(lambda state: state | {"decoder.weight": torch.zeros(2)}, id="foreign"),
    ],
)
def test_other_tensors_are_refused(flow, spoil):
    with pytest.raises(UnsupportedCheckpoint, match="pose flow"):
        PoseFlow.from_state_dict(spoil(dict(flow.state_dict())))


# Sampling


def test_a_seed_gives_one_motion_and_another_another(flow):
    spectra = swaying_clips(1, 50, seed=9)[0].spectra
    one, same, other = (sample_pose(flow, spectra, 50, flow.mean, seed) for seed in (1, 1, 2))
    assert one.equals(same)
    assert (one.pose - other.pose).abs().max() > 0.1
    assert list(one.tracks) == ["pose"]
    assert (one.frames, one.fps) == (50, 25)


def test_a_longer_sample_begins_as_a_shorter_one(flow):
    short, long = (sample_pose(flow, None, frames, flow.mean, 3) for frames in (21, 75))
    assert torch.allclose(short.pose, long.pose[:21], atol=1e-5)


def test_the_sample_starts_at_the_anchor_and_moves_with_it(flow):
    here, there = flow.mean, flow.mean + 100 * flow.deviation
    one, other = sample_pose(flow, None, 40, here, 4), sample_pose(flow, None, 40, there, 4)
    assert torch.allclose(one.pose[0], here, atol=1e-6)
    assert torch.allclose(one.pose - here, other.pose - there, atol=1e-2)


def test_amount_scales_about_the_anchor(flow):
    anchor = flow.mean + flow.deviation
    still, half, whole = (sample_pose(flow, None, 40, anchor, 5, amount=amount).pose for amount in (0, 0.5, 1))
    assert torch.equal(still, anchor.expand(40, -1))
    assert torch.allclose(half - anchor, (whole - anchor) / 2, atol=1e-5)


def test_temperature_widens_the_motion_and_zero_leaves_nothing_to_chance(flow):
    certain = [sample_pose(flow, None, 60, flow.mean, seed, temperature=0) for seed in (1, 2)]
    assert certain[0].equals(certain[1])
    calm, usual = (sample_pose(flow, None, 60, flow.mean, 1, temperature=t).pose for t in (0.3, 1.0))
    assert speed(calm) < 0.6 * speed(usual)


def test_speech_is_followed_and_the_head_idles_after_it(flow):
    spectra = swaying_clips(1, 60, seed=10)[0].spectra
    idle, spoken, cut = (sample_pose(flow, s, 60, flow.mean, 6).pose for s in (None, spectra, spectra[:30]))
    assert not torch.allclose(idle, spoken)
    assert torch.allclose(spoken[:26], cut[:26], atol=1e-5)  # what is heard reaches four frames ahead
    assert not torch.allclose(spoken[30:], cut[30:])
    assert sample_pose(flow, spectra, 20, flow.mean, 6).frames == 20


def test_sampling_leaves_the_model_as_it_is_and_does_not_need_its_precision(flow):
    rounded = copy.deepcopy(flow).to(torch.bfloat16)
    before = {name: value.clone() for name, value in rounded.state_dict().items()}
    motion = sample_pose(rounded, None, 30, flow.mean, 7)
    assert all(torch.equal(value, before[name]) for name, value in rounded.state_dict().items())
    assert motion.equals(sample_pose(copy.deepcopy(rounded).float(), None, 30, flow.mean, 7))


def test_sampling_can_be_watched_and_cancelled(flow):
    calls = []
    sample_pose(flow, None, 10, flow.mean, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 10) for done in range(2, 11)]

    def cancel(done: int, total: int | None) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        sample_pose(flow, None, 10, flow.mean, progress=cancel)


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        pytest.param({"frames": 0}, ArgumentError, "frames", id="no-frames"),
        pytest.param({"frames": 2.5}, ArgumentError, "frames", id="half-a-frame"),
        pytest.param({"seed": -1}, ArgumentError, "seed", id="negative-seed"),
        pytest.param({"seed": 1.5}, ArgumentError, "seed", id="fractional-seed"),
        pytest.param({"temperature": -0.1}, ArgumentError, "temperature", id="negative-temperature"),
        pytest.param({"temperature": math.nan}, ArgumentError, "temperature", id="nan-temperature"),
        pytest.param({"amount": math.inf}, ArgumentError, "amount", id="infinite-amount"),
        pytest.param({"anchor": torch.zeros(5)}, MotionError, "different models", id="other-model"),
    ],
)
def test_bad_arguments(flow, arguments, error, word):
    with pytest.raises(error, match=word):
        sample_pose(flow, **{"spectra": None, "frames": 5, "anchor": flow.mean, **arguments})


# Emotions


def feeling_flow(flow: PoseFlow) -> PoseFlow:
    """The same flow with features of two emotions."""
    felt = PoseFlow(flow.pose, 3, 32, 10, 4, emotions=2)
    felt.load_state_dict(flow.state_dict(), strict=False)
    return felt.eval()


def test_new_emotions_change_nothing_to_the_last_bit(flow):
    clip = swaying_clips(1, 40, seed=21)[0]
    felt = feeling_flow(flow)
    audio = felt.hear(clip.spectra[None])
    plain = flow.log_prob(clip.pose[None], audio)
    assert torch.equal(plain, felt.log_prob(clip.pose[None], audio + felt.feel(torch.eye(2)[:1])))
    moved = sample_pose(felt, clip.spectra, 40, flow.mean, 3, emotion=torch.ones(40, 2))
    assert moved.equals(sample_pose(flow, clip.spectra, 40, flow.mean, 3))


def test_an_emotion_moves_the_head_in_another_way_and_an_unknown_one_does_not(flow):
    felt = feeling_flow(flow)
    with torch.no_grad():
        felt.emotion.weight.normal_(0, 3)
    plain = sample_pose(flow, None, 40, flow.mean, 3)
    assert sample_pose(felt, None, 40, flow.mean, 3).equals(plain)
    assert sample_pose(felt, None, 40, flow.mean, 3, emotion=torch.zeros(40, 2)).equals(plain)
    late = torch.zeros(40, 2)
    late[20:, 0] = 1
    moved = sample_pose(felt, None, 40, flow.mean, 3, emotion=late)
    assert torch.equal(moved.pose[:20], plain.pose[:20])
    assert not torch.allclose(moved.pose[25:], plain.pose[25:])
    restored = PoseFlow.from_state_dict(felt.state_dict())
    assert sample_pose(restored, None, 40, flow.mean, 3, emotion=late).equals(moved)


def test_emotions_over_time_are_those_of_a_timeline():
    felt = emotions_over_time("0 own; 1 sad:0.5; 2 happy:3 hold", 75)
    sad, happy = EMOTIONS.index("sad"), EMOTIONS.index("happy")
    assert felt.shape == (75, 8)
    assert felt[0].abs().sum() < 1e-6
    assert felt[25, sad] == pytest.approx(0.5)
    assert felt[60, happy] == 1  # more than fully is not known
    assert torch.equal(emotions_over_time("sad:0.5", 10)[9], felt[25])
    with pytest.raises(EDTalkError, match="joy"):
        emotions_over_time("joy", 10)


# Learning


def test_windows_with_emotions_are_drawn_as_often_as_asked():
    clips = [
        PoseClip(clip.pose, None, emotion="sad" * (number == 0))
        for number, clip in enumerate(swaying_clips(9, 30, seed=5))
    ]
    batch = PoseWindows(clips, 10, labelled=0.5, unfelt=0.4).draw(np.random.default_rng(1), 1000)
    assert batch["emotion"].shape == (1000, 8)
    assert float(batch["emotion"][:, EMOTIONS.index("sad")].mean()) == pytest.approx(0.3, abs=0.06)
    assert batch["emotion"].sum() == batch["emotion"][:, EMOTIONS.index("sad")].sum()


def test_windows_are_decided_by_the_generator_and_padded():
    clips = [PoseClip(clip.pose, None) for clip in swaying_clips(2, 12, seed=11)]
    clips.append(swaying_clips(1, 50, seed=12)[0])
    windows = PoseWindows(clips, 30, silence=0.5)
    batch, again = (windows.draw(np.random.default_rng(1), 64) for _ in range(2))
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert batch["pose"].shape == (64, 30, 6)
    assert batch["spectra"].shape == (64, 30, 80)
    assert set(batch["known"].sum(1).tolist()) == {12.0, 30.0}
    long = batch["known"].sum(1) == 30
    assert batch["heard"][~long].sum() == 0
    assert 0 < batch["heard"][long].mean() < 1


def test_padding_does_not_change_the_loss(flow):
    windows = PoseWindows(swaying_clips(4, 20, seed=13), 20)
    batch = windows.draw(np.random.default_rng(0), 4)
    padded = {
        name: torch.cat([value, value[:, -5:] * 0 + 9], dim=1) for name, value in batch.items() if name != "heard"
    }
    padded["known"][:, 20:] = 0
    # Speech is heard four frames ahead, and nothing but zeros beyond the end.
    padded["spectra"][:, 20:] = 0
    batch["heard"][:] = padded["heard"] = torch.zeros(4)
    assert torch.allclose(negative_log_likelihood(flow, batch), negative_log_likelihood(flow, padded), atol=1e-5)


def test_a_learned_flow_beats_a_gaussian_and_a_random_walk_on_new_clips(learned):
    flow, train, test = learned
    figures = evaluate_pose_flow(flow, test, train, seeds=(0, 1), long_frames=300)
    assert figures.random_walk > figures.gaussian + 1
    assert figures.flow > figures.random_walk + 0.3
    assert figures.flow > figures.flow_without_speech + 0.1
    assert figures.inverse_error < 1e-4
    assert figures.seed_distance > 0.5
    for name in ("speed_ratio", "range_ratio", "shakiness_ratio", "start_speed_ratio", "drift_ratio"):
        assert 0.6 < getattr(figures, name) < 1.6, name


def test_speech_of_another_clip_explains_the_head_worse(learned):
    flow, _, test = learned
    own = sum(flow.log_prob(clip.pose[None], flow.hear(clip.spectra[None])).sum().item() for clip in test)
    pairs = zip(test, test[1:] + test[:1], strict=True)
    others = sum(flow.log_prob(a.pose[None], flow.hear(b.spectra[None])).sum().item() for a, b in pairs)
    assert own > others + 0.1 * sum(len(clip.pose) for clip in test)


# Figures


def test_baselines_are_the_densities_they_claim():
    clips = swaying_clips(5, 40, seed=14)
    poses = np.concatenate([clip.pose.double().numpy() for clip in clips])
    moves = np.concatenate([np.diff(clip.pose.double().numpy(), axis=0) for clip in clips])

    def density(values: np.ndarray, fitted: np.ndarray) -> float:
        centred, covariance = values - fitted.mean(0), np.cov(fitted.T)
        mahalanobis = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred)
        return float(-0.5 * (mahalanobis + np.linalg.slogdet(2 * np.pi * covariance)[1]).sum())

    baselines, pose = Baselines(clips), clips[0].pose
    own = pose.double().numpy()
    assert baselines.gaussian(pose) == pytest.approx(density(own, poses))
    assert baselines.random_walk(pose) == pytest.approx(density(own[:1], poses) + density(np.diff(own, axis=0), moves))


def test_measures_of_known_motions():
    time = torch.arange(200.0)
    line = torch.stack([3 * time, 4 * time], dim=1)
    circle = torch.stack([torch.cos(time * 2 * math.pi / 50), torch.sin(time * 2 * math.pi / 50)], dim=1)
    tremble = torch.randn(2000, 6, generator=torch.Generator().manual_seed(0))
    assert speed(line) == pytest.approx(5)
    assert shakiness(line) == pytest.approx(0, abs=1e-5)
    assert spread(circle) == pytest.approx(1, abs=1e-3)
    assert shakiness(tremble) == pytest.approx(math.sqrt(3), abs=0.03)


@pytest.mark.parametrize(
    ("clips", "seeds", "word"),
    [
        pytest.param([], (0, 1), "clips", id="no-clips"),
        pytest.param([PoseClip(torch.zeros(2, 6))], (0, 1), "3 frames", id="too-short"),
        pytest.param(swaying_clips(1, 9, seed=0), (0,), "seeds", id="one-seed"),
    ],
)
def test_what_cannot_be_evaluated(flow, clips, seeds, word):
    with pytest.raises(ArgumentError, match=word):
        evaluate_pose_flow(flow, clips, swaying_clips(2, 20, seed=0), seeds=seeds)


def test_curves_are_drawn_row_by_row():
    time = torch.arange(100.0)
    picture = draw_curves([torch.sin(time / 5)[:, None].repeat(1, 6), torch.zeros(100, 6)])
    assert picture.shape == (320, 200, 3)
    assert picture.dtype == np.uint8
    assert (picture[:160] != 255).any(-1).sum() > (picture[170:] != 255).any(-1).sum()


def test_long_speech_is_heard_in_pieces(monkeypatch: pytest.MonkeyPatch):
    flow, spectra = tiny_flow(), torch.randn(2, 100, 80)
    whole = flow.hear(spectra)
    for piece in (7, 33, 99):
        monkeypatch.setattr(speech_encoder, "_PIECE", piece)
        assert torch.allclose(flow.hear(spectra), whole, atol=1e-5)
