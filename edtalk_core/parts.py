"""The parts of a model: optional networks beside the talking head, such as audio-to-lip and pose flow.

PARTS is the only list of parts: recognising and merging files, building and growing a model, bundles and `edtalk info`
iterate over it. To add a part, write its network in `networks/` as a subclass of `TrackNetwork`, and add a row to PARTS
and an attribute to `PartAttributes`.
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
    """An optional network of a model, and the names of its tensors in weight files."""

    name: str
    """The model's attribute for the network; followed by a dot, the prefix of its tensors in a bundle."""
    network: type[TrackNetwork]
    """The class of the network; its track must be as wide as the model's."""
    published_key: str | None = None
    """Key of its tensors in a published PyTorch file."""
    standalone_prefixes: tuple[str, ...] = ()
    """Prefixes that identify its tensors in a file of this part alone, where names lack the part's prefix."""

    @property
    def prefix(self) -> str:
        """Prefix of its tensors in a bundle and in a model's state dict."""
        return f"{self.name}."

    def bundled(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename tensors from the network's own names to those of a bundle."""
        return {self.prefix + name: value for name, value in state.items()}


PARTS = (
    Part("audio_to_lip", AudioToLip, published_key="audio2lip", standalone_prefixes=("audio_encoder.", "mapping.")),
    Part("pose_flow", PoseFlow),
)


class PartAttributes:
    """The attributes of a model for its parts, one for each of PARTS; None where a part is missing."""

    audio_to_lip: AudioToLip | None
    """Lip weights from speech."""
    pose_flow: PoseFlow | None
    """Head motion from speech and noise."""
