"""Sources of motion: sounds, videos, pictures, the pose flow, text, files. Each returns a `Motion`."""
