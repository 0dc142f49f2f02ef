"""Torch modules of the paper, nothing else: encoder, generator, banks, audio-to-lip, pose flow."""
