"""Networks from the tensors of weight files: sizes from names and shapes, and validation of the tensors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from ..errors import UnsupportedCheckpoint

State = Mapping[str, Tensor]
"""Tensors by name, as returned by `nn.Module.state_dict`."""

MAX_WIDTH = 4096
"""Maximum width of a tensor: larger values mean a damaged file, or one made to exhaust memory."""

MAX_PARAMETERS = 200_000_000
"""Maximum number of parameters of a model, 800 MB in float32; the published model has 55 million."""

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)

Network = TypeVar("Network", bound="SizedNetwork")


class SizedNetwork(nn.Module):
    """A network whose sizes can be derived from the tensors of a weight file."""

    LABEL: ClassVar[str]
    """The network in messages, with its article: "a pose flow"."""

    @classmethod
    @abstractmethod
    def sizes_of(cls, state: State, source: str = "The state") -> dict[str, Any]:
        """Constructor arguments for these tensors, derived from their names and shapes.

        The size of a missing tensor is arbitrary, because `matching_tensors` reports the tensor. Raises
        UnsupportedCheckpoint when the sizes cannot be determined or are out of range; `source` names the tensors.
        """

    @classmethod
    def from_state_dict(cls: type[Network], state: State) -> Network:
        """Build the network from its state dict, sizes included. Returns it in evaluation mode.

        Raises UnsupportedCheckpoint when tensors are missing, unknown, or do not fit together.
        """
        network = cls(**cls.sizes_of(state))
        matching_tensors(network, state, f"The state holds {cls.LABEL}")
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UnsupportedCheckpoint(f"These are not the weights of {cls.LABEL}: {reason}") from error
        return network.eval()


class TrackNetwork(SizedNetwork):
    """An optional network of a model that generates one track of motion."""

    TRACK: ClassVar[str]
    """Name of the track: "lip", "pose" or "expression"."""

    @property
    @abstractmethod
    def weights(self) -> int:
        """Number of weights per frame: the width of its track, which must be that of the model."""


def rows(state: State, name: str) -> int:
    """First dimension of a tensor; for a missing or absurd one, a value that `matching_tensors` rejects."""
    return min(max(1, *state[name].shape[:1], 1), MAX_WIDTH) if name in state else 1


def matching_tensors(network: nn.Module, state: State, claim: str, prefix: str = "") -> dict[str, Tensor]:
    """Select and check the tensors of a network, which are in `state` under `prefix` and the network's own names.

    Raises UnsupportedCheckpoint for tensors that are missing, have the wrong shape or are not floating point; `claim`
    is the start of the message: "model.pt holds a pose flow".
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    missing = [prefix + name for name in expected if prefix + name not in state]
    if missing:
        first = missing[0] if len(missing) == 1 else f"the first are {', '.join(missing[:3])}"
        raise UnsupportedCheckpoint(
            f"{claim}, but an incomplete one: {len(missing)} of its {len(expected)} tensors are missing, "
            f"{first}. Download it again, or give the file of the whole model."
        )
    tensors = {name: state[prefix + name] for name in expected}
    wrong = [name for name, value in tensors.items() if tuple(value.shape) != expected[name]]
    if wrong:
        name = wrong[0]
        raise UnsupportedCheckpoint(
            f"{claim} whose shapes contradict each other: {prefix}{name} is {tuple(tensors[name].shape)} where the "
            f"other tensors ask for {expected[name]}" + (f", and {len(wrong) - 1} more." if len(wrong) > 1 else ".")
        )
    for name, value in tensors.items():
        is_dense = value.layout == torch.strided
        if not (is_dense and (value.dtype in _DTYPES or name.endswith("num_batches_tracked"))):
            kind = str(value.dtype if is_dense else value.layout).removeprefix("torch.")
            raise UnsupportedCheckpoint(
                f"{claim}, but {prefix}{name} is of type {kind}: only float32, bfloat16, float16 and float64 weights "
                "are supported, not quantised or sparse ones."
            )
    return tensors
