"""The version of the library and the ComfyUI pack, which is also written to motion files and videos."""

__version__ = "0.1.0"
