"""Training loop of all stages: resumable, seeded, distributed by accelerate."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..atomic import atomic_write
from ..errors import EDTalkError
from ..media.picture import write_picture
from ..progress import Progress
from ..waiting import short_waits
from .checkpoint import latest_checkpoint, load_training, save_training
from .curves import LossCurves
from .settings import RunSettings
from .stages import stage_class

logger = logging.getLogger("edtalk")

WARM_UP = 100


def starting_model(settings: RunSettings) -> nn.Module:
    """Initial model of a run: that of `settings.init`, or a new one. It has all networks that the stage needs."""
    return stage_class(settings.stage).starting_model(settings)


def learning_rate(settings: RunSettings, step: int) -> float:
    """Learning rate at a step: linear warm-up, then constant or cosine decay to a tenth."""
    rate = settings.learning_rate * min(1.0, (step + 1) / WARM_UP)
    if settings.decay:
        rate *= 0.55 + 0.45 * math.cos(math.pi * min(1.0, step / settings.steps))
    return rate


def train(settings: RunSettings, progress: Progress | None = None) -> Path:
    """Run a stage to its last step and return the final checkpoint. A run in `settings.out` is resumed automatically.

    A run that is killed and resumed gives the same weights as an uninterrupted one: a batch depends on seed, step and
    process only. Under `accelerate launch` it runs on several devices or machines.
    Raises EDTalkError for unusable data or checkpoints; an exception from `progress` ends the run after a checkpoint.
    """
    run = _Run(settings)
    curves = LossCurves(run.out, run.step) if run.is_main else None
    try:
        while run.step < settings.steps:
            started = time.perf_counter()
            with short_waits(run.accelerator.device):
                losses = run.advance()
            if curves is not None:
                curves.add(run.step, losses, time.perf_counter() - started)
                if run.step % settings.checkpoint_every == 0 or run.step == settings.steps:
                    run.save()
                if run.step % settings.sample_every == 0 or run.step == settings.steps:
                    run.write_sheet()
            if progress is not None:
                progress(run.step, settings.steps)
    except BaseException:
        # Save on cancel, except within an update, from which a resumed run would not equal an uninterrupted one.
        if run.is_main and run.step and not run.in_update:
            run.save()
        raise
    finally:
        if curves is not None:
            curves.close()
    # The other processes find the last checkpoint once the main one has written it.
    run.accelerator.wait_for_everyone()
    checkpoint = latest_checkpoint(run.out)
    if checkpoint is None:
        raise EDTalkError(f"The run in {run.out} had nothing to do: steps is {settings.steps}.")
    return checkpoint


class _Run:
    """A stage with its optimizer and averaged weights, at the step at which its folder's last checkpoint was made."""

    def __init__(self, settings: RunSettings) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import set_seed

        # Accelerator state is global: without a reset, the first precision would apply to all later stages.
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(mixed_precision=settings.precision)
        self.is_main = self.accelerator.is_main_process
        self.settings = settings
        self.out = Path(settings.out)
        self.out.mkdir(parents=True, exist_ok=True)
        set_seed(settings.seed)
        self.model = starting_model(settings)
        self.stage = stage_class(settings.stage)(self.model, settings)
        checkpoint = latest_checkpoint(self.out)
        if checkpoint is None:
            self.stage.begin()
        self.parameters = dict(self.stage.trainable_parameters())
        optimizer = torch.optim.Adam(list(self.parameters.values()), lr=settings.learning_rate, betas=settings.betas)
        average = {
            name: value.detach().clone() for name, value in self.parameters.items() if not name.startswith("helper.")
        }
        self.step = 0
        if checkpoint is not None:
            self.step = load_training(checkpoint, self.model, self.parameters, optimizer, average)
            logger.info("Resuming %s at step %d", checkpoint, self.step)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.stage, optimizer)
        if self.is_main:
            with atomic_write(self.out / "config.json") as partial:
                partial.write_text(json.dumps(asdict(settings), indent=1))
        self.average = {name: value.to(self.accelerator.device) for name, value in average.items()}
        self.in_update = False
        """Whether an update is in progress, with weights, optimizer and averages of different steps."""

    def advance(self) -> dict[str, Tensor]:
        """Run a step and return its losses and their weighted total. Raises EDTalkError if the total is not finite."""
        settings, accelerator = self.settings, self.accelerator
        rng = np.random.default_rng([settings.seed, 0, self.step, accelerator.process_index])
        batch = {name: value.to(accelerator.device) for name, value in self.stage.batch(rng).items()}
        # Dropout, too, depends on seed, step and process only.
        torch.manual_seed(int(rng.integers(2**31)))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, self.step)
        with accelerator.autocast():
            losses = self.wrapped(batch)
        total = self.stage.total(losses)
        if not torch.isfinite(total):
            raise EDTalkError(
                f"The loss is {total.item()} at step {self.step}: lower the learning rate "
                f'({settings.learning_rate}) or use precision "no".'
            )
        self.optimizer.zero_grad()
        accelerator.backward(total)
        accelerator.clip_grad_norm_(self.parameters.values(), 1.0)
        self.in_update = True
        self.optimizer.step()
        self.step += 1
        decay = min(settings.ema, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.average.items():
                value.lerp_(self.parameters[name], 1 - decay)
        self.in_update = False
        return {"total": total, **losses}

    def save(self) -> Path:
        """Write a checkpoint."""
        return save_training(
            self.out, self.step, self.stage, self.parameters, self.optimizer, self.average, self.settings
        )

    def write_sheet(self) -> None:
        """Write the stage's sample sheet, rendered with the averaged weights."""
        with self._averaged():
            sheet = self.stage.sheet()
        if sheet is not None:
            write_picture(self.out / f"sheet-{self.step:06d}.png", sheet)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Use the averaged weights within the context."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self.average.items():
            current = value.clone()
            value.copy_(self.parameters[name])
            self.parameters[name].copy_(current)
