"""Write weights as .safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..atomic import atomic_write
from ..errors import EDTalkError


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata atomically, in a new folder if need be. Raises EDTalkError when that fails."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            save_file(dict(tensors), partial, metadata=dict(metadata))
    except (OSError, SafetensorError) as error:
        raise EDTalkError(f"{path} could not be written: {error}") from error
