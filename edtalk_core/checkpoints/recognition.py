"""Which network a set of tensors is, and its sizes, read off names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UnsupportedCheckpoint
from ..model import EDTalk
from ..networks.audio_to_lip import AudioToLip
from ..networks.pose_flow import PoseFlow
from ..networks.sizes import ModelSizes

AUDIO_TO_LIP, POSE_FLOW = "audio_to_lip.", "pose_flow."
"""Prefixes of the parts that stand beside the model in a bundle."""

MAX_RESOLUTION, MAX_WIDTH = 1024, 1 << 14

_MODEL = ("enc.net_app.", "dec.", "direction_lipnonlip.", "direction_exp.", "lip_fc.", "pose_fc.", "exp_fc.")
_EXPRESSION = ("dec.fineadainresblock.", "direction_exp.", "exp_fc.")
_EXPRESSION_HIDDEN = "dec.fineadainresblock.0.norm2.mlp_shared.0.weight"
_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)

_NEVER_USED = re.compile(
    r".*\.kernel"  # constants of the architecture
    r"|dec\.to_rgb1\..*|dec\.conv1\.noise\.weight|dec\.convs\.\d+\.noise\.weight"
    r"|dec\.fineadainresblock\.\d+\.(conv1|norm1)\..*"
)
"""Tensors of the published files that inference does without."""

# Checked in this order: names that only this kind of file has, and what to call it.
_FOREIGN = (
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
    """What a set of tensors is."""

    variant: str
    """"edtalk", "lip_pose", "audio_to_lip" or "pose_flow": the model if there is one, else the part that is there."""
    sizes: ModelSizes | None
    """Sizes of the model; None when only audio_to_lip or pose_flow is there."""
    tensors: dict[str, Tensor]
    """What inference uses, named as in a bundle: the model's own names, `audio_to_lip.*`, `pose_flow.*`."""
    unused: tuple[str, ...]
    """Names that no network here knows; weights of the published files that inference does without are not listed."""

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of AUDIO_TO_LIP or POSE_FLOW under the names the network itself gives them; may be empty."""
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}

    @property
    def model(self) -> dict[str, Tensor]:
        """The tensors of the model alone; empty when `sizes` is None."""
        return {n: value for n, value in self.tensors.items() if not n.startswith((AUDIO_TO_LIP, POSE_FLOW))}


def recognise(tensors: Mapping[str, Tensor], source: str = "The state") -> Recognised:
    """Tell which networks the tensors are and check that each is complete and fits together.

    Names as published or as in a bundle; a lone Audio2Lip needs no prefix. `source` names the tensors in messages.
    Raises UnsupportedCheckpoint: for a foreign file (saying what it looks like), for missing tensors (the first and
    how many), for shapes that contradict each other, and for number types that are not floating point.
    """
    for pattern, kind in _FOREIGN:
        match = next((name for name in tensors if re.match(pattern, name)), None)
        if match is not None:
            raise UnsupportedCheckpoint(
                f"{source} looks like {kind}: it holds {match}. Expected EDTalk's tensors, such as "
                "enc.net_app.convs.0.0.weight."
            )
    named = {
        f"{AUDIO_TO_LIP}{name}" if name.startswith(("audio_encoder.", "mapping.")) else name: value
        for name, value in tensors.items()
    }
    found: dict[str, Tensor] = {}
    sizes = None
    if any(name.startswith(_MODEL) for name in named):
        sizes = _read_sizes(named, source)
        # On the meta device: names and shapes of the very network that will hold the tensors, without any memory.
        with torch.device("meta"):
            model = EDTalk(sizes)
        found |= _select(model, "", named, f"{source} is an EDTalk checkpoint")
        bases = sizes.lip + sizes.pose + sizes.expression
        if sizes.style < bases:
            raise UnsupportedCheckpoint(
                f"{source} does not fit together: {bases} orthogonal bases do not fit into a latent of {sizes.style}."
            )
    if any(name.startswith(AUDIO_TO_LIP) for name in named):
        widths = [_rows(named, f"{AUDIO_TO_LIP}audio_encoder.{i}.conv_block.0.weight") for i in range(13)]
        with torch.device("meta"):
            audio_to_lip = AudioToLip(_rows(named, f"{AUDIO_TO_LIP}mapping.weight"), tuple(widths))
        found |= _select(audio_to_lip, AUDIO_TO_LIP, named, f"{source} holds an audio-to-lip network")
        if sizes and audio_to_lip.mapping.out_features != sizes.lip:
            raise UnsupportedCheckpoint(
                f"{source} does not fit together: audio-to-lip makes {audio_to_lip.mapping.out_features} lip weights "
                f"and the model takes {sizes.lip}."
            )
    pose_flow = {name: value for name, value in named.items() if name.startswith(POSE_FLOW)}
    if pose_flow:
        _check_dtypes(pose_flow, f"{source} holds a pose flow")
        try:
            flow = PoseFlow.from_state_dict({n.removeprefix(POSE_FLOW): value for n, value in pose_flow.items()})
        except UnsupportedCheckpoint as error:
            reason = " ".join(str(error).split())
            raise UnsupportedCheckpoint(f"{source} holds a pose flow that cannot be used. {reason}") from error
        if sizes and flow.pose != sizes.pose:
            raise UnsupportedCheckpoint(
                f"{source} does not fit together: the pose flow makes {flow.pose} pose weights and the model takes "
                f"{sizes.pose}."
            )
        found |= pose_flow
    if not found:
        names = ", ".join(list(tensors)[:4]) or "nothing"
        raise UnsupportedCheckpoint(
            f"{source} is not an EDTalk checkpoint: it holds {len(tensors)} tensors such as {names}. Expected names "
            "such as enc.net_app.convs.0.0.weight, lip_fc.2.weight or audio_encoder.0.conv_block.0.weight."
        )
    parts = {name.partition(".")[0] for name in found}
    variant = sizes.variant if sizes else "audio_to_lip" if "audio_to_lip" in parts else "pose_flow"
    unused = tuple(name for name in named if name not in found and not _NEVER_USED.fullmatch(name))
    return Recognised(variant, sizes, found, unused)


def _read_sizes(tensors: Mapping[str, Tensor], source: str) -> ModelSizes:
    """Sizes of the model. Where the tensor that tells one is missing any number does: that is reported afterwards."""

    def count(pattern: str) -> int:
        return 1 + max((int(match[1]) for name in tensors if (match := re.match(pattern, name))), default=-1)

    # The encoder has a residual block per halving, the generator a to_rgb per doubling, between 4 px and the image.
    levels = max(count(r"enc\.net_app\.convs\.(\d{1,9})\.conv1\.") - 1, count(r"dec\.to_rgbs\.(\d{1,9})\."), 2)
    if 4 << levels > MAX_RESOLUTION:
        raise UnsupportedCheckpoint(
            f"{source} has {levels} levels, which would make images of {4 << min(levels, 64)} px; "
            f"at most {MAX_RESOLUTION} px are supported."
        )
    resolution = 4 << levels
    has_expression = any(name.startswith(_EXPRESSION) for name in tensors)
    channels = {resolution: _rows(tensors, "enc.net_app.convs.0.0.weight")}
    for level in range(1, levels + 1):
        channels[resolution >> level] = _rows(tensors, f"enc.net_app.convs.{level}.conv2.1.weight")
    return ModelSizes(
        resolution=resolution,
        style=_rows(tensors, f"enc.net_app.convs.{levels + 1}.weight"),
        lip=_rows(tensors, "lip_fc.2.weight"),
        pose=_rows(tensors, "pose_fc.2.weight"),
        expression=_rows(tensors, "exp_fc.2.weight") if has_expression else 0,
        channels=channels,
        expression_hidden=_rows(tensors, _EXPRESSION_HIDDEN) if has_expression else ModelSizes.expression_hidden,
    )


def _rows(tensors: Mapping[str, Tensor], name: str) -> int:
    """First dimension of a tensor. One that is missing or absurd is replaced, which the check of the shapes finds."""
    return min(max(1, *tensors[name].shape[:1], 1), MAX_WIDTH) if name in tensors else 1


def _select(network: nn.Module, prefix: str, tensors: Mapping[str, Tensor], claim: str) -> dict[str, Tensor]:
    """The tensors that this network takes. UnsupportedCheckpoint when some are missing or have another shape."""
    expected = {prefix + name: tuple(value.shape) for name, value in network.state_dict().items()}
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise UnsupportedCheckpoint(
            f"{claim}, but an incomplete one: {len(missing)} of its {len(expected)} tensors are missing, "
            f"{_first(missing)}. Download it again, or give the file of the whole model."
        )
    wrong = [name for name, shape in expected.items() if tuple(tensors[name].shape) != shape]
    if wrong:
        name = wrong[0]
        raise UnsupportedCheckpoint(
            f"{claim} whose shapes contradict each other: {name} is {tuple(tensors[name].shape)} where the other "
            f"tensors ask for {expected[name]}" + (f", and {len(wrong) - 1} more." if len(wrong) > 1 else ".")
        )
    found = {name: tensors[name] for name in expected}
    _check_dtypes(found, claim)
    return found


def _check_dtypes(tensors: Mapping[str, Tensor], claim: str) -> None:
    for name, value in tensors.items():
        is_dense = value.layout == torch.strided
        if not (is_dense and (value.dtype in _DTYPES or name.endswith("num_batches_tracked"))):
            kind = str(value.dtype if is_dense else value.layout).removeprefix("torch.")
            raise UnsupportedCheckpoint(
                f"{claim}, but {name} is of type {kind}: only float32, bfloat16, float16 and float64 weights are "
                "supported, not quantised or sparse ones."
            )


def _first(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"the first are {', '.join(names[:3])}"
