"""The parts of a model: networks beside the talking head, which a weight file may hold or not.

This table is all that tells which parts there are. Recognising and merging files, building and growing a model, bundles
and `edtalk info` go through it. To add a part: its network in `networks/`, a subclass of `TrackNetwork`; here a row of
PARTS and an attribute of `PartAttributes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .networks.audio_to_lip import AudioToLip
from .networks.pose_flow import PoseFlow
from .networks.state import TrackNetwork


@dataclass(frozen=True)
class Part:
    """One row of the table."""

    name: str
    """Attribute of the model that holds the network; with a dot, prefix of its tensors in a bundle."""
    network: type[TrackNetwork]
    """What it is; its track must be as wide as the model's."""
    published_key: str | None = None
    """Entry of a published PyTorch file that holds its tensors."""
    own_prefixes: tuple[str, ...] = ()
    """Prefixes by which its tensors are known in a file of this part alone, where their names lack that of the part."""

    @property
    def prefix(self) -> str:
        """Prefix of its tensors in a bundle, and in the state of a model."""
        return f"{self.name}."

    def bundled(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors under the network's own names, named as in a bundle."""
        return {self.prefix + name: value for name, value in state.items()}


PARTS = (
    Part("audio_to_lip", AudioToLip, published_key="audio2lip", own_prefixes=("audio_encoder.", "mapping.")),
    Part("pose_flow", PoseFlow),
)


class PartAttributes:
    """The attributes of a model that hold its parts, one for each of PARTS; None where the files held none."""

    audio_to_lip: AudioToLip | None
    """Lip weights from sound."""
    pose_flow: PoseFlow | None
    """Head motion from sound and noise."""
