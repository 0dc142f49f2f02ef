"""Recognition of networks and their sizes from the names and shapes of tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .errors import UnsupportedCheckpoint
from .networks.sizes import ModelSizes
from .networks.state import MAX_PARAMETERS, matching_tensors
from .networks.talking_head import TalkingHead
from .parts import PARTS

_UNUSED_NAMES = re.compile(
    r".*\.kernel"  # constants of the architecture
    r"|dec\.to_rgb1\..*|dec\.conv1\.noise\.weight|dec\.convs\.\d+\.noise\.weight"
    r"|dec\.fineadainresblock\.\d+\.(conv1|norm1)\..*"
)
"""Tensors of the published files that inference never uses."""

# (pattern of tensor names, kind of file), checked in this order.
_OTHER_MODELS = (
    (r"face_encoder_blocks\.|face_decoder_blocks\.", "a Wav2Lip checkpoint"),
    (r"dec\.direction\.weight|gen\.dec\.direction", "a LIA checkpoint (EDTalk's ancestor, without its banks)"),
    (r"model\.diffusion_model\.|first_stage_model\.|cond_stage_model\.|conditioner\.", "a Stable Diffusion checkpoint"),
    (r"lora_|.*\.lora_(up|down|A|B)\b", "a LoRA for a diffusion model"),
    (r"control_model\.|controlnet_", "a ControlNet"),
    (r"double_blocks\.|single_blocks\.|transformer_blocks\.|joint_blocks\.", "a diffusion transformer (Flux, SD3)"),
    (r"down_blocks\.|up_blocks\.|mid_block\.|time_embedding\.", "a diffusers UNet or VAE"),
    (r"(encoder|decoder)\.(down|up|mid)[._]", "a diffusion VAE"),
    (r"(dense_motion_network|warping_module|spade_decoder|appearance_feature_extractor|stitching)", "LivePortrait"),
    (r"(detector|motion_extractor|kp_detector|hourglass)\.", "a keypoint or motion network (LivePortrait, FOMM)"),
    (r"(stylegan_decoder|conv_body_first)\.", "a GFPGAN face restorer"),
    (r"text_model\.|vision_model\.|visual\.|transformer\.resblocks\.", "a CLIP model"),
    (r"(wav2vec2|hubert|feature_extractor|encoder\.layers?)\.", "a speech or text encoder"),
)


@dataclass(frozen=True)
class Recognised:
    """The networks among a set of tensors."""

    sizes: ModelSizes | None
    """Sizes of the model; None when there are only parts."""
    model: dict[str, Tensor]
    """The tensors of the talking head alone, under its own names; empty when `sizes` is None."""
    parts: dict[str, dict[str, Tensor]]
    """Name of a part -> its tensors under the network's own names, for each part that is present."""
    unused: tuple[str, ...]
    """Names of unknown tensors; weights of the published files that inference never uses are not listed."""

    @property
    def variant(self) -> str:
        """Variant of the model, "edtalk" or "lip_pose"; without a model, the name of the first part."""
        return self.sizes.variant if self.sizes else next(iter(self.parts))

    @property
    def labels(self) -> list[str]:
        """Names of the networks for messages: "a model", "a pose flow"."""
        model = [TalkingHead.LABEL] if self.sizes else []
        return model + [part.network.LABEL for part in PARTS if part.name in self.parts]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors that inference uses, under the names of a bundle: the talking head's own names, `pose_flow.*`."""
        tensors = dict(self.model)
        for part in PARTS:
            tensors |= part.bundled(self.parts.get(part.name, {}))
        return tensors


def recognise(tensors: Mapping[str, Tensor], source: str = "The state") -> Recognised:
    """Identify the networks among tensors, and check that each is complete and that their sizes match.

    Names may be those of the published files or of a bundle; a separate Audio2Lip needs no prefix. `source` names the
    tensors in messages. Raises UnsupportedCheckpoint for the weights of another model (named in the message), for
    missing tensors (their number and the first), for contradictory shapes, and for non-floating-point types.
    """
    for pattern, kind in _OTHER_MODELS:
        match = next((name for name in tensors if re.match(pattern, name)), None)
        if match is not None:
            raise UnsupportedCheckpoint(
                f"{source} looks like {kind}: it contains {match}. Expected EDTalk's tensors, such as "
                "enc.net_app.convs.0.0.weight."
            )
    named = {_bundle_name(name): value for name, value in tensors.items()}
    sizes = None
    model: dict[str, Tensor] = {}
    if any(name.startswith(TalkingHead.PREFIXES) for name in named):
        sizes = TalkingHead.sizes_of(named, source)["sizes"]
        # On the meta device: the names and shapes of the network, without allocating memory.
        with torch.device("meta"):
            head = TalkingHead(sizes)
        model = matching_tensors(head, named, f"{source} is an EDTalk checkpoint")
        bases = sizes.lip + sizes.pose + sizes.expression
        if sizes.orthogonal and sizes.style < bases:
            raise UnsupportedCheckpoint(
                f"{source} does not fit together: {bases} orthogonal bases do not fit into a latent of {sizes.style}."
            )
    recognised = Recognised(sizes, model, _recognise_parts(named, sizes, source), ())
    used = recognised.tensors
    if not used:
        names = ", ".join(list(tensors)[:4]) or "nothing"
        raise UnsupportedCheckpoint(
            f"{source} is not an EDTalk checkpoint: it contains {len(tensors)} tensors such as {names}. Expected names "
            "such as enc.net_app.convs.0.0.weight, lip_fc.2.weight or audio_encoder.0.conv_block.0.weight."
        )
    parameters = sum(value.numel() for value in used.values())
    if parameters > MAX_PARAMETERS:
        raise UnsupportedCheckpoint(
            f"{source} claims to be a model of {parameters:,} parameters; the published one has 55 million, and more "
            f"than {MAX_PARAMETERS:,} are not read."
        )
    unused = tuple(name for name in named if name not in used and not _UNUSED_NAMES.fullmatch(name))
    return replace(recognised, unused=unused)


def _bundle_name(name: str) -> str:
    """Name of a tensor in a bundle: adds the part's prefix to names from a file of that part alone."""
    return next((part.prefix + name for part in PARTS if name.startswith(part.standalone_prefixes)), name)


def _recognise_parts(
    tensors: Mapping[str, Tensor], sizes: ModelSizes | None, source: str
) -> dict[str, dict[str, Tensor]]:
    parts = {}
    for part in PARTS:
        own = {n.removeprefix(part.prefix): value for n, value in tensors.items() if n.startswith(part.prefix)}
        if not own:
            continue
        arguments = part.network.sizes_of(own, source)
        with torch.device("meta"):
            network = part.network(**arguments)
        parts[part.name] = matching_tensors(network, tensors, f"{source} holds {part.network.LABEL}", part.prefix)
        width = getattr(sizes, part.network.TRACK) if sizes else network.weights
        if network.weights != width:
            raise UnsupportedCheckpoint(
                f"{source} does not fit together: {part.network.LABEL} makes {network.weights} {part.network.TRACK} "
                f"weights and the model takes {width}."
            )
    return parts
