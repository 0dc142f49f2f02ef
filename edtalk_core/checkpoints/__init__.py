"""Weight files: read safely, recognise, convert to one bundle, download the published ones, load a model."""

from .bundle import convert, write_bundle
from .loading import load_model
from .reading import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "convert", "load_model", "read_checkpoint", "write_bundle"]
