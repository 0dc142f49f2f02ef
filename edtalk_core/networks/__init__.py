"""Torch modules of the paper: encoder, generator, banks, audio-to-lip network, pose flow."""
