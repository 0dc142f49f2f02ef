"""Motion as data: the frozen type, its sources, operations on it, presets, timelines and files."""
