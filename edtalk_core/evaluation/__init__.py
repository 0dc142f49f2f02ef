"""Figures and pictures that say how good a model is, on clips it was not trained on."""
