"""Motion as data: the frozen type, operations on it, presets, timelines, plots and files."""
