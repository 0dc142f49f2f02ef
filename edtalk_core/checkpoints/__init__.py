"""Weight files: safe reading, conversion to bundles, download of the published files, model loading."""

from .bundle import convert, write_bundle
from .loading import load_model
from .reading import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "convert", "load_model", "read_checkpoint", "write_bundle"]
