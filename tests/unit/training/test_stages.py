"""Every stage learns, a run that was killed ends as one that was not, a model is left alone but for what learns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import tiny_settings

from edtalk_core.checkpoints.bundle import convert
from edtalk_core.checkpoints.loading import load_model
from edtalk_core.data.clips import Clip, encode_frame, write_clip
from edtalk_core.errors import ArgumentError, Cancelled, EDTalkError
from edtalk_core.media.picture import picture_to_image, read_picture
from edtalk_core.model import EDTalk
from edtalk_core.training.curves import read_curves
from edtalk_core.training.initialisation import small_channels
from edtalk_core.training.loop import starting_model, train
from edtalk_core.training.settings import TrainingSettings
from edtalk_core.training.stage import TalkingHeadStage
from edtalk_core.training.stages import STAGES

HEAD_STAGES = [name for name, stage in STAGES.items() if issubclass(stage, TalkingHeadStage)]
"""Stages of a talking head and its parts; others have tests of their own."""

GAMES = {"adversarial", "discriminator", "expert", "sync"}
"""Losses of players against each other, which need not fall."""


def start_of(stage: str, trained: Path) -> str:
    return "" if stage == "autoencoder" else str(trained)


def loss_on_fixed_batches(model: EDTalk, settings: TrainingSettings) -> float:
    """Weighted sum of a stage's losses on batches that are the same every time."""
    stage = STAGES[settings.stage](model, settings)
    total = 0.0
    with torch.no_grad():
        for number in range(6):
            losses = stage(stage.batch(np.random.default_rng([99, number])))
            total += sum(stage.weights[name] * float(loss) for name, loss in losses.items() if name not in GAMES)
    return total


@pytest.mark.parametrize("stage", HEAD_STAGES)
def test_stage_learns(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    config = tiny_settings(stage, face_store, tmp_path, init=start_of(stage, trained), steps=60, seed=1)
    torch.manual_seed(config.seed)
    before = loss_on_fixed_batches(starting_model(config), config)
    model = load_model(train(config))
    assert loss_on_fixed_batches(model.train(), config) < 0.99 * before


def test_encoder_learns_alone_from_landmarks_without_rendering(face_store: Path, tmp_path: Path):
    losses = {"l1": 0.0, "perceptual": 0.0, "flow": 0.0, "adversarial": 0.0, "reading": 1.0, "landmarks": 1.0}
    settings = {"resolution": 32, "channels": {4: 16, 8: 16, 16: 16, 32: 16}, "learning_rate": 2e-2, "steps": 150}
    config = tiny_settings("autoencoder", face_store, tmp_path, losses=losses, train=["enc."], **settings)
    torch.manual_seed(0)
    stage = STAGES["autoencoder"](starting_model(config), config)
    assert set(stage(stage.batch(np.random.default_rng(0)))) == {"reading", "landmarks"}
    _, columns = read_curves(train(config).parent / "losses.csv")
    assert columns["landmarks"][-1] < 0.5 * columns["landmarks"][0]


@pytest.mark.parametrize("stage", [name for name in HEAD_STAGES if name != "autoencoder"])
def test_stage_leaves_alone_what_it_does_not_train(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    after = load_file(train(tiny_settings(stage, face_store, tmp_path, init=str(trained), steps=2)))
    before = load_file(trained)
    learned = {name.removeprefix("training.weight.") for name in after if name.startswith("training.weight.")}
    kept = [name for name in before if not name.startswith("training.") and name not in learned]
    assert learned
    assert kept
    for name in kept:
        assert torch.equal(before[name], after[name]), name
    assert any(name not in before or not torch.equal(before[name], after[name]) for name in learned if name in after)


@pytest.mark.parametrize("stage", HEAD_STAGES)
def test_killed_and_resumed_equals_never_killed(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    def config(name: str) -> TrainingSettings:
        augmented = {} if stage == "pose-flow" else {"augmentation": 1.0}
        return tiny_settings(stage, face_store, tmp_path / name, init=start_of(stage, trained), steps=6, **augmented)

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
    def config(name: str) -> TrainingSettings:
        return tiny_settings("autoencoder", face_store, tmp_path / name, steps=8, checkpoint_every=3)

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
    config = tiny_settings("autoencoder", face_store, tmp_path, steps=5, checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert max(tmp_path.glob("checkpoint-*")).name == "checkpoint-000002.safetensors"


def test_finished_run_is_not_repeated(trained: Path, face_store: Path):
    config = tiny_settings(
        "autoencoder", face_store, trained.parent, steps=50, losses={"adversarial": 0.0, "flow": 0.02}
    )
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
    config = tiny_settings(
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
        train(tiny_settings("expression", face_store, tmp_path, init=str(trained)))


def test_damaged_checkpoint_is_named(face_store: Path, tmp_path: Path):
    (tmp_path / "checkpoint-000005.safetensors").write_bytes(b"nothing")
    with pytest.raises(EDTalkError, match=r"checkpoint-000005.*cannot be resumed"):
        train(tiny_settings("autoencoder", face_store, tmp_path))


def test_infinite_loss_ends_the_run(face_store: Path, tmp_path: Path):
    with pytest.raises(EDTalkError, match="learning rate"):
        train(tiny_settings("autoencoder", face_store, tmp_path, steps=8, learning_rate=1e6))


def test_a_tensor_to_train_that_does_not_exist_is_refused(face_store: Path, tmp_path: Path):
    with pytest.raises(ArgumentError, match=r"starts with 'nothing\.'; its parts are enc, dec"):
        train(tiny_settings("autoencoder", face_store, tmp_path, train=["enc.", "nothing."]))


@pytest.mark.parametrize("stage", HEAD_STAGES)
def test_losses_that_weigh_nothing_are_not_computed(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    settings = tiny_settings(stage, face_store, tmp_path, init=start_of(stage, trained))
    instance = STAGES[stage](starting_model(settings), settings)
    losses = instance(instance.batch(np.random.default_rng(0)))
    assert losses
    assert all(instance.weights[name] for name in losses)


def test_store_without_clips_is_refused(tmp_path: Path):
    with pytest.raises(EDTalkError, match="edtalk prepare"):
        train(tiny_settings("autoencoder", tmp_path, tmp_path / "out"))


@pytest.mark.parametrize("stage", ["autoencoder", "expression"])
def test_weights_learn_to_move_nothing_else(stage: str, face_store: Path, trained: Path, tmp_path: Path):
    losses = {"l1": 1.0, "perceptual": 0.0, "adversarial": 0.0, "still": 10.0}
    config = tiny_settings(
        stage, face_store, tmp_path, init=str(trained), losses=losses, train=["dec."], measured_weights_share=1.0,
        steps=60,
    )  # fmt: skip
    _, columns = read_curves(train(config).parent / "losses.csv")
    assert columns["still"][-1] < 0.7 * columns["still"][0]


def test_clips_of_512_px_train_a_model_of_512_px(face_store: Path, tmp_path: Path):
    import cv2

    store = tmp_path / "store"
    store.mkdir()
    for name in ("anna", "bert"):
        clip = Clip(face_store / f"{name}.safetensors")
        frames = [cv2.resize(clip.frame(i), (512, 512), interpolation=cv2.INTER_CUBIC) for i in range(4)]
        landmarks = (clip.landmarks[:4] + 0.5) * 2 - 0.5
        write_clip(store / f"{name}.safetensors", clip.info, [encode_frame(f) for f in frames], landmarks, None, 512)
    channels = dict.fromkeys(small_channels(512), 4)
    values: dict[str, Any] = {"resolution": 512, "channels": channels, "batch": 1, "steps": 2}
    losses = {"l1": 1, "perceptual": 1, "flow": 1, "adversarial": 0}
    settings = tiny_settings("autoencoder", store, tmp_path / "large", losses=losses, augmentation=1.0, **values)
    assert load_model(train(settings)).sizes.resolution == 512
    with pytest.raises(EDTalkError, match="prepare --size 512"):
        train(tiny_settings("autoencoder", face_store, tmp_path / "small", losses=losses, **values))
