"""Where motion comes from: sounds, videos, pictures, the pose flow, words, files. Each gives a `Motion`."""
