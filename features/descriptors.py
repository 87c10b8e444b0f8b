"""Descriptor texts as numbers: a hash of the whole, and a sample of its character n-grams for a table of embeddings."""

import hashlib
import re
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fraud.core.tokens import GRAM_BUCKETS, GRAMS

SIZES = (3, 4, 5)
CACHED = 16_384
WORDS = re.compile(r"[^\W_]+")
DIGITS = re.compile(r"\d")

Grams = NDArray[np.int64]


def normalised(text: str) -> str:
    """Return a text in lower case, words parted by one space, every digit as 0: terminals of one shop look the same."""
    return DIGITS.sub("0", " ".join(WORDS.findall(text.lower())))


@lru_cache(CACHED)
def text_hash(text: str) -> int:
    """Return a hash of the normalised text, 1 to 2^32 - 1; 0 for no text."""
    plain = normalised(text)
    return max(int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=4).digest(), "little"), 1) if plain else 0


@lru_cache(CACHED)
def grams(text: str) -> Grams:
    """Return buckets (from 1 on) of the character 3- to 5-grams with the smallest hashes, int64 (GRAMS,), then zeros.

    The smallest hashes are a fair sample that similar texts share. The array is not to be written to.
    """
    plain = f" {normalised(text)} "
    found = {crc32(plain[at : at + size].encode()) for size in SIZES for at in range(len(plain) - size + 1)}
    out = np.zeros(GRAMS, np.int64)
    chosen = [1 + value % (GRAM_BUCKETS - 1) for value in sorted(found)[:GRAMS]] if plain.strip() else []
    out[: len(chosen)] = chosen
    out.flags.writeable = False
    return out
