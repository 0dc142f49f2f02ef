"""Training of the whole paper: data preparation, losses, one module per stage, and the loop they share."""
