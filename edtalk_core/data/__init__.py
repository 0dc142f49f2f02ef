"""Clips to train and evaluate on: videos to clip files, and the motion that is read or measured in them."""
