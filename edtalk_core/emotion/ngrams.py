"""Hashed n-grams of text: words, pairs of words and parts of words as numbers, for any language and script."""

from __future__ import annotations

import functools
import re
import unicodedata
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

PART_LENGTHS = range(2, 6)
"""Characters in a part of a word, whose start and end count as characters."""

_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|\w+|[^\w\s]")
"""A character of Chinese or Japanese, which are written without spaces; a word; a punctuation mark or emoji."""
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe0e\ufe0f\ufeff]")
"""Joiners, marks of direction and variation selectors, which say nothing about the meaning."""
_LONGEST_WORD = 40
"""Characters of a word that are looked at: text without spaces is cut."""


def tokens(text: str) -> list[str]:
    """Split text into words, punctuation marks and emoji, in lower case and compatible forms (NFKC).

    Digits become 0, and a character that is repeated more than three times is repeated three times.
    """
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())
    text = re.sub(r"(.)\1{3,}", r"\1\1\1", re.sub(r"\d", "0", text))
    return [token[:_LONGEST_WORD] for token in _TOKEN.findall(text)]


@functools.lru_cache(1 << 16)
def _word_hashes(token: str) -> tuple[int, ...]:
    """Hashes of a word and of its parts."""
    framed = f" {token} "
    parts = [framed[start : start + n] for n in PART_LENGTHS for start in range(len(framed) - n + 1)]
    return tuple(zlib.crc32(gram.encode()) for gram in (f"w{token}", *parts))


def ngram_hashes(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes (N,) int64 of the n-grams in a text, sorted, and how often each occurs (N,) float32."""
    words = tokens(text)
    hashes = [value for word in words for value in _word_hashes(word)]
    hashes += [zlib.crc32(f"b{first} {second}".encode()) for first, second in pairwise(words)]
    unique, counts = np.unique(np.array(hashes, dtype=np.int64), return_counts=True)
    return unique, counts.astype(np.float32)


def ngram_bags(texts: Sequence[str], buckets: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the n-grams of texts as the input of `TextEmotionNetwork`: buckets (N,), counts (N,), offsets (texts,)."""
    bags = [ngram_hashes(text) for text in texts]
    offsets = np.cumsum([0, *(len(hashes) for hashes, _ in bags)])[:-1]
    indices = np.concatenate([np.zeros(0, np.int64), *(hashes % buckets for hashes, _ in bags)])
    counts = np.concatenate([np.zeros(0, np.float32), *(counts for _, counts in bags)])
    return torch.from_numpy(indices), torch.from_numpy(counts), torch.from_numpy(offsets)
