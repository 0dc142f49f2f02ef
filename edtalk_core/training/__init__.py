"""Training of all stages of the paper: settings, sampling, losses, a module per stage, and their common loop."""
