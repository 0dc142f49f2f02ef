"""Motion as data: the immutable type, operations on it, presets, timelines, plots and files."""
