"""Reading and writing sounds, pictures and videos, and the mel windows of sounds."""
