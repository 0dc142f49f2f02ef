"""Sounds, pictures and videos: reading what users have, writing what they get, and the mel windows of sounds."""
