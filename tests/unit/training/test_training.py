"""Training: every stage learns, a run that was killed ends as one that was not, settings are checked."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from edtalk_core.checkpoints.bundle import convert
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.cli import main
from edtalk_core.data.clips import MIRRORED, Augmentation, Clip, ClipStore
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError
from edtalk_core.face.landmarks import JAW, STABLE, indices
from edtalk_core.media.picture import picture_to_image, read_picture
from edtalk_core.model import EDTalk
from edtalk_core.training.config import TrainingConfig, read_config
from edtalk_core.training.curves import LossCurves, draw_curves, read_curves
from edtalk_core.training.loop import starting_model, train
from edtalk_core.training.stages import STAGES

TINY: dict[str, Any] = {
    "resolution": 16,
    "channels": {4: 16, 8: 16, 16: 16},
    "style": 40,
    "expression_hidden": 8,
    "batch": 4,
    "learning_rate": 5e-3,
    "precision": "no",
    "augmentation": 0.0,
    "checkpoint_every": 1000,
    "sample_every": 1000,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "audio-to-lip": {"options": {"widths": 0.05, "sequence": 8}},
    "pose-flow": {"options": {"window": 20, "flow_steps": 2, "width": 16, "span": 10, "audio": 8}},
}
GAMES = {"adversarial", "discriminator", "expert", "sync"}
"""Losses of players against each other, which need not fall."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and lose much where other processes want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_config(stage: str, data: Path, out: Path, **settings: Any) -> TrainingConfig:
    layers = {**TINY, **SETTINGS.get(stage, {}), **settings}
    return read_config(stage, None, {"data": str(data), "out": str(out), **layers})


@pytest.fixture(scope="module")
def trained(face_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a model that has had a few steps of the first stage, without its adversary."""
    out = tmp_path_factory.mktemp("autoencoder")
    losses = {"l1": 1.0, "perceptual": 1.0, "flow": 0.02, "adversarial": 0.0}
    return train(tiny_config("autoencoder", face_store, out, steps=50, losses=losses, checkpoint_every=20))


def start_of(stage: str, trained: Path) -> str:
    return "" if stage == "autoencoder" else str(trained)


def loss_on_fixed_batches(model: EDTalk, config: TrainingConfig) -> float:
    """Weighted sum of a stage's losses on batches that are the same every time."""
    stage = STAGES[config.stage](model, config)
    total = 0.0
    with torch.no_grad():
        for number in range(6):
            losses = stage(stage.batch(np.random.default_rng([99, number])))
            total += sum(stage.weight(name) * float(loss) for name, loss in losses.items() if name not in GAMES)
    return total


@pytest.mark.parametrize("stage", STAGES)
def test_stage_learns(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    config = tiny_config(stage, face_store, tmp_path, init=start_of(stage, trained), steps=60, seed=1)
    torch.manual_seed(config.seed)
    before = loss_on_fixed_batches(starting_model(config), config)
    model = load_model(train(config))
    assert loss_on_fixed_batches(model.train(), config) < 0.99 * before


def test_encoder_learns_alone_from_landmarks_without_rendering(face_store: Path, tmp_path: Path):
    losses = {"l1": 0.0, "perceptual": 0.0, "flow": 0.0, "adversarial": 0.0, "reading": 1.0, "landmarks": 1.0}
    settings = {"resolution": 32, "channels": {4: 16, 8: 16, 16: 16, 32: 16}, "learning_rate": 2e-2, "steps": 150}
    config = tiny_config("autoencoder", face_store, tmp_path, losses=losses, train=["enc."], **settings)
    torch.manual_seed(0)
    stage = STAGES["autoencoder"](starting_model(config), config)
    assert set(stage(stage.batch(np.random.default_rng(0)))) == {"reading", "landmarks"}
    _, columns = read_curves(train(config).parent / "losses.csv")
    assert columns["landmarks"][-1] < 0.5 * columns["landmarks"][0]


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "autoencoder"])
def test_stage_leaves_alone_what_it_does_not_train(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    after = load_file(train(tiny_config(stage, face_store, tmp_path, init=str(trained), steps=2)))
    before = load_file(trained)
    learned = {name.removeprefix("training.weight.") for name in after if name.startswith("training.weight.")}
    kept = [name for name in before if not name.startswith("training.") and name not in learned]
    assert learned
    assert kept
    for name in kept:
        assert torch.equal(before[name], after[name]), name
    assert any(name not in before or not torch.equal(before[name], after[name]) for name in learned if name in after)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_and_resumed_equals_never_killed(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    def config(name: str) -> TrainingConfig:
        return tiny_config(stage, face_store, tmp_path / name, init=start_of(stage, trained), steps=6, augmentation=1.0)

    straight = load_file(train(config("straight")))

    def kill(step: int, total: int | None) -> None:
        assert total == 6
        if step == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        train(config("killed"), kill)
    assert (tmp_path / "killed" / "checkpoint-000003.safetensors").exists()
    steps = []
    resumed = load_file(train(config("killed"), lambda step, total: steps.append(step)))
    assert steps == [4, 5, 6]
    assert resumed.keys() == straight.keys()
    for name, value in straight.items():
        assert torch.equal(value, resumed[name]), name


def test_resumes_from_the_last_checkpoint_after_a_hard_kill(face_store: Path, tmp_path: Path):
    def config(name: str) -> TrainingConfig:
        return tiny_config("autoencoder", face_store, tmp_path / name, steps=8, checkpoint_every=3)

    straight = load_file(train(config("straight")))
    train(config("killed"))
    # As after a power cut at step 7: checkpoints of steps 3 and 6, the second one cut off while it was written.
    (tmp_path / "killed" / "checkpoint-000008.safetensors").unlink()
    (tmp_path / "killed" / "checkpoint-000007.part").write_bytes(b"half")
    resumed = load_file(train(config("killed")))
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())


def test_interrupt_within_an_update_saves_nothing_half_done(
    face_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real, calls = torch.optim.Adam.step, []

    def interrupted(self: torch.optim.Adam, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    config = tiny_config("autoencoder", face_store, tmp_path, steps=5, checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert max(tmp_path.glob("checkpoint-*")).name == "checkpoint-000002.safetensors"


def test_finished_run_is_not_repeated(trained: Path, face_store: Path):
    config = tiny_config("autoencoder", face_store, trained.parent, steps=50, losses={"adversarial": 0.0, "flow": 0.02})
    modified = trained.stat().st_mtime_ns
    assert train(config) == trained
    assert trained.stat().st_mtime_ns == modified


def test_run_leaves_checkpoints_curves_and_a_sheet(trained: Path):
    folder = trained.parent
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == [
        "checkpoint-000040.safetensors",
        "checkpoint-000050.safetensors",
    ]
    assert json.loads((folder / "config.json").read_text())["style"] == 40
    steps, columns = read_curves(folder / "losses.csv")
    assert list(steps) == [25, 50]
    assert {"total", "l1", "perceptual", "flow"} <= set(columns)
    assert read_picture(folder / "losses.png").shape[2] == 3
    rows, samples = 3, 8
    assert read_picture(folder / "sheet-000050.png").shape == (rows * 16, samples * 16, 3)


def test_checkpoint_loads_with_the_averaged_weights(trained: Path):
    model, tensors = load_model(trained), load_file(trained)
    name = "enc.net_app.convs.0.0.weight"
    assert torch.equal(model.state_dict()[name], tensors[name])
    assert not torch.equal(tensors[name], tensors[f"training.weight.{name}"])


def test_export_drops_what_only_the_training_needs(trained: Path, tmp_path: Path):
    bundle = convert([trained], tmp_path / "small.safetensors", dtype=torch.float16)
    tensors = load_file(bundle)
    assert not any(name.startswith("training.") for name in tensors)
    assert {value.dtype for value in tensors.values() if value.is_floating_point()} == {torch.float16}
    assert bundle.stat().st_size < trained.stat().st_size / 4
    image = torch.zeros(1, 3, 16, 16)
    expected = load_model(trained).read_weights(image)[0]
    torch.testing.assert_close(load_model(bundle).read_weights(image)[0], expected, rtol=0.02, atol=0.02)


def test_smaller_model_is_grown(trained: Path, face_store: Path, tmp_path: Path):
    config = tiny_config(
        "autoencoder",
        face_store,
        tmp_path,
        init=str(trained),
        resolution=32,
        channels={4: 16, 8: 16, 16: 16, 32: 8},
        steps=1,
        learning_rate=1e-9,
    )
    grown = load_model(train(config))
    assert grown.sizes.resolution == 32
    clip = Clip(face_store / "eva.safetensors")
    small, large = (picture_to_image(clip.frame(0), size) for size in (16, 32))
    for before, after in zip(load_model(trained).read_weights(small), grown.read_weights(large), strict=True):
        assert (before - after).abs().max() <= 0.1 * before.abs().max()


def test_checkpoints_of_another_stage_are_refused(trained: Path, face_store: Path, tmp_path: Path):
    shutil.copy(trained, tmp_path / trained.name)
    with pytest.raises(EDTalkError, match="other trained tensors"):
        train(tiny_config("expression", face_store, tmp_path, init=str(trained)))


def test_damaged_checkpoint_is_named(face_store: Path, tmp_path: Path):
    (tmp_path / "checkpoint-000005.safetensors").write_bytes(b"nothing")
    with pytest.raises(EDTalkError, match=r"checkpoint-000005.*cannot be resumed"):
        train(tiny_config("autoencoder", face_store, tmp_path))


def test_infinite_loss_ends_the_run(face_store: Path, tmp_path: Path):
    with pytest.raises(EDTalkError, match="learning rate"):
        train(tiny_config("autoencoder", face_store, tmp_path, losses={"l1": float("inf")}))


def test_store_without_clips_is_refused(tmp_path: Path):
    with pytest.raises(EDTalkError, match="edtalk prepare"):
        train(tiny_config("autoencoder", tmp_path, tmp_path / "out"))


def test_clips_held_out_are_never_trained_on(face_store: Path):
    assert [clip.info.name for clip in ClipStore(face_store).clips] == ["anna", "bert", "cleo", "dirk"]
    assert [clip.info.name for clip in ClipStore(face_store, emotion=True).clips] == ["anna", "bert"]
    assert [clip.info.name for clip in ClipStore(face_store, "holdout", speech=True).clips] == ["eva", "finn"]


# Settings


def test_command_line_wins_over_file_wins_over_stage(tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text("batch: 3\nlearning_rate: 1e-4\nlosses: {perceptual: 0.5}\nsteps: 7\n")
    config = read_config("audio-to-lip", file, {"data": "d", "out": "o", "steps": 9, "losses": {"sync": 0}})
    assert (config.batch, config.learning_rate, config.steps) == (3, 1e-4, 9)
    assert (config.losses["perceptual"], config.losses["sync"], config.losses["weights"]) == (0.5, 0, 1.0)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"baches": 3}, "baches"),
        ({"batch": 0}, "batch"),
        ({"batch": "many"}, "whole number"),
        ({"steps": 1.5}, "whole number"),
        ({"learning_rate": -1}, "positive"),
        ({"learning_rate": float("nan")}, "positive"),
        ({"precision": "fp8"}, "fp8"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_setting(settings: dict[str, Any], word: str):
    with pytest.raises(ArgumentError, match=word):
        read_config("autoencoder", None, {"data": "d", "out": "o", **settings})


def test_unknown_stage_lists_those_there_are():
    with pytest.raises(ArgumentError, match="autoencoder"):
        read_config("encoder", None, {"data": "d", "out": "o"})


@pytest.mark.parametrize("missing", ["data", "out"])
def test_missing_folder(missing: str):
    settings = {"data": "d", "out": "o"}
    del settings[missing]
    with pytest.raises(ArgumentError, match=missing):
        read_config("autoencoder", None, settings)


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", ""], ids=["list", "broken", "absent"])
def test_unusable_settings_file(content: str, tmp_path: Path):
    file = tmp_path / "settings.yaml"
    if content:
        file.write_text(content)
    with pytest.raises(ArgumentError, match=r"settings\.yaml"):
        read_config("autoencoder", file, {"data": "d", "out": "o"})


# The command


def test_command_lists_the_stages(capsys: pytest.CaptureFixture[str]):
    assert main(["train", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(STAGES)
    assert main(["train", "--list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(STAGES)


def test_command_trains_and_goes_on(face_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump({**TINY, "steps": 1}))
    out = tmp_path / "run"
    arguments = ["train", "autoencoder", "--config", str(file), "--data", str(face_store), "--out", str(out)]
    settings = ["--set", "losses.adversarial=0", "--set", "learning_rate=1e-3", "--set", "channels.16=8"]
    assert main([*arguments, *settings]) == 0
    assert capsys.readouterr().out.strip() == str(out / "checkpoint-000001.safetensors")
    config = json.loads((out / "config.json").read_text())
    assert config["losses"]["adversarial"] == 0
    assert config["losses"]["l1"] == 1
    assert config["learning_rate"] == 1e-3
    assert config["channels"] == {"4": 16, "8": 16, "16": 8}
    assert main([*arguments, *settings, "--set", "steps=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoint"].endswith("checkpoint-000002.safetensors")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "autoencoder"),
        (["encoder"], "encoder"),
        (["autoencoder"], "data"),
        (["autoencoder", "--set", "batch"], "NAME=VALUE"),
        (["autoencoder", "--set", "batch=["], "YAML"),
        (["autoencoder", "--set", "bach=1"], "bach"),
        (["autoencoder", "--config", "nowhere.yaml"], r"nowhere.yaml"),
    ],
    ids=["no stage", "unknown stage", "no data", "no value", "no YAML", "unknown setting", "no file"],
)
def test_command_explains_mistakes(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]):
    assert main(["train", *arguments]) == 2
    assert word in capsys.readouterr().err


# Clips and views


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


@pytest.mark.parametrize("mirror", [False, True], ids=["plain", "mirrored"])
@pytest.mark.parametrize("size", [32, 128])
def test_view_moves_picture_and_landmarks_alike(mirror: bool, size: int, face_store: Path):
    clip = Clip(face_store / "bert.safetensors")
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    view = Augmentation(mirror, 1.1, 0.95, 0.1, (0.05, -0.03), ones, zeros)
    image, landmarks = view.apply(clip, 5, size)
    assert image.shape == (3, size, size)
    # The eyes are the brightest thing in the face: find each by its landmarks.
    pixels = ((landmarks + 1) * size - 1) / 2
    for eye in (slice(36, 42), slice(42, 48)):
        x, y = pixels[eye].mean(0)
        assert image[:, round(y), round(x)].min() > (0.6 if size == 32 else 0.9)
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    assert left[0] < right[0]


def test_mel_windows_of_single_frames_match_the_whole(face_store: Path):
    from edtalk_core.media.mel import gather_windows

    clip = Clip(face_store / "anna.safetensors")
    assert clip.mel is not None
    whole = gather_windows(clip.mel, 0, len(clip)).numpy()
    assert np.array_equal(clip.mel_windows([0, 7, 29]), whole[[0, 7, 29]])


@pytest.mark.parametrize("content", [b"", b"\0" * 100], ids=["empty", "zeros"])
def test_damaged_clip_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(EDTalkError, match=r"bad\.safetensors"):
        Clip(tmp_path / "bad.safetensors")


# Curves


def test_rows_after_the_checkpoint_are_dropped_on_resume(tmp_path: Path):
    (tmp_path / "losses.csv").write_text("step,seconds_per_step,total\n25,1,3\n50,1,2\n75,1,9\n100,1,")
    LossCurves(tmp_path, 60).close()
    steps, columns = read_curves(tmp_path / "losses.csv")
    assert list(steps) == [25, 50]
    assert list(columns["total"]) == [3, 2]


@pytest.mark.parametrize("values", [[1.0], [3.0, float("nan"), 1.0], [-1.0, -2.0, -3.0], [2.0, 2.0], [float("nan")]])
def test_curves_of_any_values_can_be_drawn(values: list[float]):
    steps = np.arange(len(values)) * 25 + 25
    picture = draw_curves(steps, {"total": np.array(values), "seconds_per_step": np.ones(len(values))})
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert (picture.min() < 100) == bool(np.isfinite(values).any())


@pytest.mark.parametrize("seed", range(4))
def test_swapped_frame_has_the_mouth_of_one_and_the_head_of_the_other(seed: int, face_store: Path, tmp_path: Path):
    losses = {"reading": 1.0, "adversarial": 0.0}
    plain = tiny_config(
        "autoencoder", face_store, tmp_path, losses=losses, resolution=32, channels=dict.fromkeys((4, 8, 16, 32), 8)
    )
    swapped = dataclasses.replace(plain, options={"swapped": 1.0})
    frames, mixed = (
        STAGES["autoencoder"](starting_model(config), config).batch(np.random.default_rng([5, seed]))
        for config in (plain, swapped)
    )
    assert torch.equal(mixed["images"][0, 0], frames["images"][0, 0])
    pose_of = [torch.equal(mixed["pose"][0, 1], frames["pose"][0, i]) for i in (0, 1)]
    lip_of = [torch.equal(mixed["lip"][0, 1], frames["lip"][0, i]) for i in (0, 1)]
    assert pose_of == lip_of[::-1]
    head = pose_of.index(True)
    nose = slice(27, 36)
    assert torch.allclose(mixed["landmarks"][0, 1, nose], frames["landmarks"][0, head, nose], atol=1e-5)


def test_sound_and_mouth_keep_together_at_another_pace(face_store: Path):
    from edtalk_core.training.audio_to_lip import between, paced_windows

    clip = Clip(face_store / "anna.safetensors")
    assert clip.mel is not None
    frames = np.arange(3.0, 10.0)
    assert np.allclose(paced_windows(clip, frames, 1.0), clip.mel_windows(frames.astype(int)))
    # At half the pace the window's middle stays, and what surrounds it comes from half as far.
    slow = paced_windows(clip, frames, 0.5)
    own = clip.mel_windows(frames.astype(int))
    assert np.allclose(slow[:, :, 8], own[:, :, 8])
    assert np.allclose(slow[:, :, 12], own[:, :, 10])
    assert np.allclose(between(np.array([[0.0], [2.0]], np.float32), np.array([-1.0, 0.25, 5.0])), [[0], [0.5], [2]])


def test_labels_are_in_step_with_the_sound(face_store: Path, tmp_path: Path):
    """A clip's mouth that comes 2 frames late is learned with the sound of 2 frames before."""
    from edtalk_core.training.audio_to_lip import between

    options = {**SETTINGS["audio-to-lip"]["options"], "measured": True, "aligned": True}
    config = tiny_config("audio-to-lip", face_store, tmp_path, options=options)
    stage: Any = STAGES["audio-to-lip"](starting_model(config), config)
    for offset in (-2, 0, 2):
        stage.offsets = dict.fromkeys(stage.offsets, offset)
        batch = stage.batch(np.random.default_rng(4))
        for windows, lips in zip(batch["windows"].numpy(), batch["lip"].numpy(), strict=True):
            found = []
            for clip in stage.store.clips:
                places = np.arange(max(0, -offset), len(clip) - max(0, offset))
                own = clip.mel_windows(places)
                first = np.abs(own - windows[0]).sum((1, 2)).argmin()
                if np.array_equal(own[first : first + len(windows)], windows):
                    frames = places[first] + offset + np.arange(len(windows))
                    found.append(between(stage.tracks[clip.info.name]["lip"].numpy(), frames.astype(float)))
            assert any(np.allclose(one, lips, atol=1e-5) for one in found)


def test_contrast_prefers_mouths_and_eyes_that_differ(face_store: Path, tmp_path: Path):
    from edtalk_core.training.reconstruction import lid_distance, lip_distance

    def mean_difference(options: dict[str, float], opening: Callable[[np.ndarray], float]) -> float:
        config = tiny_config("autoencoder", face_store, tmp_path, losses={"adversarial": 0.0}, options=options)
        stage = STAGES["autoencoder"](starting_model(config), config)
        landmarks = stage.draw(np.random.default_rng(0), 60)["landmarks"].numpy()
        return float(np.mean([abs(opening(a) - opening(b)) for a, b in landmarks]))

    for opening, times in ((lip_distance, 1.3), (lid_distance, 1.1)):
        assert mean_difference({"contrast": 1.0}, opening) > times * mean_difference({}, opening)


@pytest.mark.parametrize("moving", ["lip", "expression"])
@pytest.mark.parametrize("opened", [False, True])
def test_still_part_leaves_room_for_what_moves(opened: bool, moving: str, face_store: Path):
    from edtalk_core.training.mouth_swap import still_part

    landmarks = Clip(face_store / "anna.safetensors").landmarks
    opening = landmarks[:, 66, 1] - landmarks[:, 62, 1]
    points = (2 * landmarks[opening.argmax() if opened else opening.argmin()] + 1) / 256 - 1
    still = still_part(points, 64, moving)

    def at(landmark: int) -> float:
        column, row = ((points[landmark] + 1) * 32 - 0.5).round().astype(int)
        return float(still[row, column])

    assert still.shape == (64, 64)
    assert max(at(landmark) for landmark in (8, 33, *range(48, 68))) < 0.6
    assert max(at(landmark) for landmark in (51, 57, 62, 66)) < 0.1
    if moving == "lip":
        assert min(at(landmark) for landmark in range(17, 27)) > 0.99
    else:
        assert max(at(landmark) for landmark in range(17, 48)) < 0.6
    assert min(still[0].min(), still[:, 0].min(), still[:, -1].min()) > 0.99


def test_still_loss_sees_what_moves_outside_of_the_lower_face():
    from edtalk_core.training.losses import still_loss

    still = torch.ones(1, 1, 32, 32)
    still[:, :, 20:] = 0
    plain = torch.zeros(1, 3, 32, 32)
    below, above = plain.clone(), plain.clone()
    below[:, :, 22:30], above[:, :, 2:10] = 1, 1
    no_flow = [torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 32, 32)]
    assert still_loss((plain, below), (no_flow, no_flow), still) == 0
    assert still_loss((plain, above), (no_flow, no_flow), still) > 0.1
    moved = [flow.clone() for flow in no_flow]
    for flow in moved:
        flow[:, 0, : flow.shape[2] // 2] = 0.05  # 6.4 pixels of 256, over 16 of the 20 rows that are still
    assert float(still_loss((plain, plain), (no_flow, moved), still)) == pytest.approx(0.01 * 6.4 * 0.8, rel=0.01)


@pytest.mark.parametrize("stage", ["autoencoder", "expression"])
def test_weights_learn_to_move_nothing_else(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    losses = {"l1": 1.0, "perceptual": 0.0, "adversarial": 0.0, "still": 10.0}
    config = tiny_config(
        stage, face_store, tmp_path, init=str(trained), losses=losses, train=["dec."], options={"taught": 1.0},
        steps=60,
    )  # fmt: skip
    _, columns = read_curves(train(config).parent / "losses.csv")
    assert columns["still"][-1] < 0.7 * columns["still"][0]


def expression_stage(face_store: Path, tmp_path: Path, **options: float) -> Any:
    config = tiny_config(
        "expression", face_store, tmp_path, options={"taught": 1.0, **options},
        resolution=64, channels=dict.fromkeys((4, 8, 16, 32, 64), 8),
    )  # fmt: skip
    return STAGES["expression"](starting_model(config), config)


def test_expressed_face_measures_as_the_expression_it_was_given(face_store: Path, tmp_path: Path):
    stage = expression_stage(face_store, tmp_path, expressed=1.0)
    for clip in stage.store.clips:
        points = (2 * clip.landmarks[:3].astype(np.float64) + 1) / 256 - 1
        before = stage.measure.measure(points, clip.info.name)
        for weight in range(2):
            change = np.eye(10)[weight] * 2 * stage._spread[weight]
            moved = stage.measure.expressed(points, change)
            after = stage.measure.measure(moved, clip.info.name)
            still = indices(JAW, STABLE)
            assert np.array_equal(moved[:, still], points[:, still])
            assert (np.abs(moved - points).max(axis=(1, 2)) > 5e-4).all()
            assert after["pose"] == pytest.approx(before["pose"], abs=0.3)
            grown = after["expression"] - before["expression"]
            assert grown[:, weight] == pytest.approx(np.full(3, change[weight]), rel=0.4)
            rest = np.delete(grown, weight, axis=1)
            assert np.abs(rest).max() < 0.4 * change[weight]


def test_moved_landmarks_take_their_pixels_along():
    from edtalk_core.training.mouth_swap import move_landmarks

    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (68, 2))
    points[0] = 0.0, -0.7
    image = np.zeros((3, 128, 128), np.float32)
    column, row = ((points[0] + 1) * 64 - 0.5).round().astype(int)
    image[:, row - 2 : row + 3, column - 2 : column + 3] = 1
    moved = points.copy()
    moved[0] += 0.0, 0.1
    found = move_landmarks(image, points, moved)
    rows, columns = np.nonzero(found[0] > 0.5)
    assert (rows.mean(), columns.mean()) == pytest.approx((row + 6.4, column), abs=1)
    assert np.array_equal(move_landmarks(image, points, points), image)
    assert np.array_equal(found[:, -20:], image[:, -20:])


def test_light_of_another_clip_is_no_motion():
    from edtalk_core.training.mouth_swap import match_colours

    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (3, 16, 16)).astype(np.float32)
    dimmed = image * np.array([0.5, 0.7, 0.6], np.float32)[:, None, None] + 0.1
    assert match_colours(dimmed, image) == pytest.approx(image, abs=1e-4)
    assert np.isfinite(match_colours(np.zeros_like(image), image)).all()


def test_everybody_shows_expressions(face_store: Path, tmp_path: Path):
    plain, drawn = (
        expression_stage(face_store, tmp_path, emotional=0.0, expressed=share).batch(np.random.default_rng(2))
        for share in (0.0, 1.0)
    )
    # The same first sample, but for the expression of its second frame.
    assert torch.equal(plain["images"][0, 0], drawn["images"][0, 0])
    assert not torch.equal(plain["images"][0, 1], drawn["images"][0, 1])
    for name in ("lip", "pose"):
        assert torch.equal(plain[name][0], drawn[name][0])
    assert (drawn["expression"][0, 1] - plain["expression"][0, 1]).abs().max() > 0.1
    moved = (drawn["landmarks"][0, 1] - plain["landmarks"][0, 1]).abs().amax(1)
    assert moved[:17].max() == 0
    assert moved[17:27].max() > 1e-3


def test_preset_is_the_height_of_an_emotion_as_strong_as_people_show_it():
    from edtalk_core.data.presets import average, height

    course = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, -1.0], [3.0, 1.0], [4.0, -2.0], [5.0, 0.0]])
    assert torch.equal(height(course), torch.tensor([4.5, -1.0]))
    one, other = torch.tensor([3.0, 4.0]), torch.tensor([3.0, -4.0])
    assert torch.equal(average([one, other], like_one=False), torch.tensor([3.0, 0.0]))
    assert torch.allclose(average([one, other], like_one=True), torch.tensor([5.0, 0.0]))
    assert torch.allclose(average([one, -one + 1e-4], like_one=True), torch.zeros(2), atol=1e-3)
    assert average([torch.zeros(2)], like_one=True).tolist() == [0, 0]


def test_outside_begins_past_the_middle_of_the_last_pixel():
    from edtalk_core.training.losses import outside_loss, sampled_position

    here = torch.zeros(1, 3, 16, 16)
    # Each of the 60 pixels of the rim is half a pixel, 8 of 256, outside, those of the corners in both directions.
    assert float(outside_loss(here, 16)) == pytest.approx(8 * 64 / 256, rel=1e-4)
    assert float(outside_loss(here, 256)) == pytest.approx(0.5 * 64 / 256, rel=1e-3)
    inward = here.clone()
    inward[:, :2] = torch.atanh(-sampled_position(here) / 16 * 1.001)
    assert outside_loss(inward, 16) == 0


def test_presets_are_as_strong_as_asked_for(face_store: Path, trained: Path):
    from edtalk_core.data.presets import read_presets

    model, store = load_model(trained), ClipStore(face_store)
    with pytest.raises(ArgumentError, match="measured"):
        read_presets(model, store, strength=2.0)
    anna = next(clip.info for clip in store.clips if clip.info.name == "anna")
    for clip, emotion in zip(store.clips, ("neutral", "happy", "sad", "happy"), strict=True):
        clip.info = dataclasses.replace(clip.info, person=anna.person, emotion=emotion)
    once, twice = (read_presets(model, store, measured=True, strength=times) for times in (1.0, 2.0))
    assert set(once) == {"neutral", "happy", "sad"}
    assert np.abs(once["neutral"]).max() < 0.01
    for emotion in ("happy", "sad"):
        assert np.abs(once[emotion]).max() > 0.05
        assert np.asarray(twice[emotion]) == pytest.approx(2 * np.asarray(once[emotion]), abs=2e-3)
