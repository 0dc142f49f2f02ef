"""Emotions in words and voices: classifiers, transcripts aligned to sound, and emotions over time."""
