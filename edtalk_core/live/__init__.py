"""Faces that answer at once while somebody edits them: what can be changed in a face, and frames of it on request."""
