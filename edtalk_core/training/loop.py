"""The loop that all stages share: resumable, seeded, on whatever processes accelerate gives it."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import EDTalkError
from ..media.picture import write_picture
from ..model import EDTalk
from ..networks.sizes import ModelSizes
from .checkpoint import latest_checkpoint, load_training, save_training
from .config import TrainingConfig
from .curves import LossCurves
from .initialisation import grow, identity_copy, small_channels
from .stages import STAGES

logger = logging.getLogger("edtalk")

WARM_UP = 100


def starting_model(config: TrainingConfig) -> EDTalk:
    """The model a run starts from: `config.init` (grown where it is smaller), or a new identity copy."""
    from ..checkpoints.loading import load_model

    if config.init:
        model = load_model(config.init)
        while model.sizes.resolution < config.resolution:
            size = model.sizes.resolution * 2
            model = grow(model, (config.channels or small_channels(size))[size])
        if model.sizes.resolution != config.resolution:
            raise EDTalkError(
                f"{config.init} renders {model.sizes.resolution} px, more than the resolution {config.resolution}."
            )
        return model.train()
    sizes = ModelSizes(
        resolution=config.resolution,
        style=config.style,
        lip=config.lip,
        pose=config.pose,
        expression=config.expression,
        channels=config.channels or small_channels(config.resolution),
        expression_hidden=config.expression_hidden,
    )
    model = EDTalk(sizes)
    identity_copy(model)
    return model


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Step size at a step: linear warm-up, then constant or a cosine to a tenth."""
    rate = config.learning_rate * min(1.0, (step + 1) / WARM_UP)
    if config.decay:
        rate *= 0.55 + 0.45 * math.cos(math.pi * min(1.0, step / config.steps))
    return rate


def train(config: TrainingConfig, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """Run a stage to its last step and return the final checkpoint. Resumes by itself from the folder `config.out`.

    A run that is killed and started again gives the same weights as one that was not: a batch depends on seed, step
    and process only. Under `accelerate launch` it runs on several devices or machines.
    Raises EDTalkError for unusable data or checkpoints; whatever `progress` raises ends the run after a checkpoint.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    accelerator = Accelerator(mixed_precision=config.precision)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    set_seed(config.seed)
    model = starting_model(config)
    stage = STAGES[config.stage](model, config)
    checkpoint = latest_checkpoint(out)
    if checkpoint is None:
        stage.begin()
    parameters = dict(stage.learning())
    optimizer = torch.optim.Adam(list(parameters.values()), lr=config.learning_rate, betas=config.betas)
    average = {name: value.detach().clone() for name, value in parameters.items() if not name.startswith("helper.")}
    step = 0
    if checkpoint is not None:
        step = load_training(checkpoint, model, parameters, optimizer, average)
        logger.info("Resuming %s at step %d", checkpoint, step)
    wrapped, optimizer = accelerator.prepare(stage, optimizer)
    (out / "config.json").write_text(json.dumps(asdict(config), indent=1))
    average = {name: value.to(accelerator.device) for name, value in average.items()}
    curves = LossCurves(out, step) if accelerator.is_main_process else None
    whole = True

    def save() -> Path:
        return save_training(out, step, model, parameters, optimizer, average, config)

    try:
        while step < config.steps:
            started = time.perf_counter()
            rng = np.random.default_rng([config.seed, 0, step, accelerator.process_index])
            batch = {name: value.to(accelerator.device) for name, value in stage.batch(rng).items()}
            # Dropout too depends on nothing but seed, step and process.
            torch.manual_seed(int(rng.integers(2**31)))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            with accelerator.autocast():
                losses = wrapped(batch)
            total = sum((stage.weight(name) * loss for name, loss in losses.items()), torch.zeros(()))
            if not torch.isfinite(total):
                raise EDTalkError(
                    f"The loss is {total.item()} at step {step}: lower the learning rate ({config.learning_rate}) or "
                    'use precision "no".'
                )
            optimizer.zero_grad()
            accelerator.backward(total)
            accelerator.clip_grad_norm_(parameters.values(), 1.0)
            whole = False
            optimizer.step()
            step += 1
            decay = min(config.ema, step / (step + 10))
            with torch.no_grad():
                for name, value in average.items():
                    value.lerp_(parameters[name], 1 - decay)
            whole = True
            if curves is not None:
                curves.add(step, {"total": total, **losses}, time.perf_counter() - started)
                if step % config.checkpoint_every == 0 or step == config.steps:
                    save()
                if step % config.sample_every == 0 or step == config.steps:
                    with _Averaged(parameters, average):
                        sheet = stage.sheet()
                    if sheet is not None:
                        write_picture(out / f"sheet-{step:06d}.png", sheet)
            if progress is not None:
                progress(step, config.steps)
    except BaseException:
        # Nothing is lost on cancel; a run that resumes here equals one that was never stopped, which a checkpoint from
        # the middle of an update would not.
        if accelerator.is_main_process and step and whole:
            save()
        raise
    finally:
        if curves is not None:
            curves.close()
    result = latest_checkpoint(out)
    if result is None:
        raise EDTalkError(f"The run in {out} had nothing to do: steps is {config.steps}.")
    return result


class _Averaged:
    """Puts the averaged weights in place for a while."""

    def __init__(self, parameters: dict[str, torch.nn.Parameter], average: dict[str, Tensor]) -> None:
        self.parameters, self.average = parameters, average

    def _swap(self) -> None:
        with torch.no_grad():
            for name, value in self.average.items():
                kept = value.clone()
                value.copy_(self.parameters[name])
                self.parameters[name].copy_(kept)

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()
