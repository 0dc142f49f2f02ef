"""The version of the library and the ComfyUI pack, which is what motion files and videos say they were made with."""

__version__ = "0.1.0"
