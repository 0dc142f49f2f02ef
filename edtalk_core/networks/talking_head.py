"""The talking head: encoder, generator, banks and heads, as in the published checkpoints."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from ..errors import UnsupportedCheckpoint
from .banks import Bank, FreeBank, orthonormal
from .encoder import Encoder
from .generator import Generator
from .layers import EqualLinear
from .sizes import ModelSizes
from .state import SizedNetwork, State, rows

MAX_RESOLUTION = 1024

_EXPRESSION = ("dec.fineadainresblock.", "direction_exp.", "exp_fc.")
_EXPRESSION_HIDDEN = "dec.fineadainresblock.0.norm2.mlp_shared.0.weight"


class TalkingHead(SizedNetwork):
    """Encoder, generator, banks and heads.

    Modules carry the names of the published checkpoints, so that their tensors load as they are.
    """

    LABEL = "a model"

    PREFIXES = ("enc.net_app.", "dec.", "direction_lipnonlip.", "direction_exp.", "lip_fc.", "pose_fc.", "exp_fc.")
    """Prefixes of tensors that no other network has."""

    def __init__(self, sizes: ModelSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.enc = nn.ModuleDict({"net_app": Encoder(sizes)})
        self.dec = Generator(sizes)
        style = sizes.style
        bank = Bank if sizes.orthogonal else FreeBank
        self.direction_lipnonlip = bank(style, sizes.lip + sizes.pose)
        self.fc = nn.Sequential(*(EqualLinear(style, style) for _ in range(4)))
        self.lip_fc = self._head(sizes.lip)
        self.pose_fc = self._head(sizes.pose)
        if sizes.expression:
            self.direction_exp = bank(style, sizes.expression)
            self.exp_fc = self._head(sizes.expression)

    def _head(self, bases: int) -> nn.Sequential:
        style = self.sizes.style
        return nn.Sequential(EqualLinear(style, style), EqualLinear(style, style), EqualLinear(style, bases))

    @classmethod
    def sizes_of(cls, state: State, source: str = "The state") -> dict[str, ModelSizes]:
        """The `ModelSizes` of tensors named as published; see the base class.

        Raises UnsupportedCheckpoint for a resolution above MAX_RESOLUTION.
        """

        def count(pattern: str) -> int:
            return 1 + max((int(match[1]) for name in state if (match := re.match(pattern, name))), default=-1)

        # The encoder has a residual block per halving, the generator a to_rgb per doubling, between 4 px and the image.
        levels = max(count(r"enc\.net_app\.convs\.(\d{1,9})\.conv1\.") - 1, count(r"dec\.to_rgbs\.(\d{1,9})\."), 2)
        if 4 << levels > MAX_RESOLUTION:
            raise UnsupportedCheckpoint(
                f"{source} has {levels} levels, for images of {4 << min(levels, 64)} px; "
                f"at most {MAX_RESOLUTION} px are supported."
            )
        resolution = 4 << levels
        has_expression = any(name.startswith(_EXPRESSION) for name in state)
        channels = {resolution: rows(state, "enc.net_app.convs.0.0.weight")}
        for level in range(1, levels + 1):
            channels[resolution >> level] = rows(state, f"enc.net_app.convs.{level}.conv2.1.weight")
        return {
            "sizes": ModelSizes(
                resolution=resolution,
                style=rows(state, f"enc.net_app.convs.{levels + 1}.weight"),
                lip=rows(state, "lip_fc.2.weight"),
                pose=rows(state, "pose_fc.2.weight"),
                expression=rows(state, "exp_fc.2.weight") if has_expression else 0,
                channels=channels,
                expression_hidden=rows(state, _EXPRESSION_HIDDEN) if has_expression else ModelSizes.expression_hidden,
                orthogonal="direction_lipnonlip.directions" not in state,
            )
        }

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.dec.input.input.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.dec.input.input.dtype

    def bank(self) -> Tensor:
        """All bases Q (style, lip + pose + expression), float32: orthonormal, factorised at every call, or free."""
        banks = [self.direction_lipnonlip, *([self.direction_exp] if self.sizes.expression else [])]
        free: list[Tensor] = [bank.directions for bank in banks if isinstance(bank, FreeBank)]
        return torch.cat(free, dim=1).float() if free else orthonormal(*(b for b in banks if isinstance(b, Bank)))

    def directions(
        self, lip: Tensor, pose: Tensor, expression: Tensor | None, bank: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Weights (B,lip), (B,pose), (B,expression) -> direction in latent space and its expression part, (B,style).

        The direction is the weighted sum of the bases; without expression (lip+pose variant) the second is None.
        `bank`: the result of `bank()`, to factorise it once for many calls.
        """
        q = (self.bank() if bank is None else bank).to(lip)
        split = self.sizes.lip + self.sizes.pose
        direction = torch.cat([lip, pose], dim=1) @ q[:, :split].T
        if not self.sizes.expression or expression is None:
            return direction, None
        expression_direction = expression @ q[:, split:].T
        return direction + expression_direction, expression_direction

    def heads(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latent (B,style) -> lip (B,lip), pose (B,pose), expression (B,expression) or None (lip+pose variant)."""
        shared = self.fc(latent)
        return self.lip_fc(shared), self.pose_fc(shared), self.exp_fc(shared) if self.sizes.expression else None
