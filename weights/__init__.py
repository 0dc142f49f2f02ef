"""Data files that ship with the library: weights, face models, presets, example media."""
