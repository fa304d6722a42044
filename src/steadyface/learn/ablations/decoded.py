"""Decoded videos on disk: many networks look at the same frames, and decoding takes longer than they do."""

from pathlib import Path

import numpy as np

from ...output import make_folder, replacing


def frames_of(clip, folder=None):
    """The images of a `Clip`, an iterable of (H, W, 3) uint8.

    folder: where decoded frames are kept, uncompressed, for the next time; None decodes and keeps nothing.
    Raises OutputError if they cannot be written.
    """
    if folder is None:
        return clip.frames()
    source = Path(clip.source)
    # Another video under the same name has another size or date.
    stat = source.stat()
    path = make_folder(folder) / f"{clip.dataset}-{clip.name}-{stat.st_size}-{int(stat.st_mtime)}.npy"
    if not path.is_file():
        with replacing(path) as temporary:
            _write(clip.frames(), len(clip), temporary)
    return (np.asarray(frame) for frame in np.load(path, mmap_mode="r"))


def _write(frames, count, path):
    stored = None
    for i, frame in enumerate(frames):
        if stored is None:
            stored = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *frame.shape))
        stored[i] = frame
