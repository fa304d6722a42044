"""Which portraits are held out of all training: one rule, by a hash of the name."""

import hashlib


def is_held_out(name):
    """Whether a portrait is held out (one in ten), so that no training, texture or label may use it."""
    return int(hashlib.sha256(str(name).encode()).hexdigest()[:8], 16) % 10 == 0
