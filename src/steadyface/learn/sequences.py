"""Short videos on disk: runs of adjacent frames with their labels in the video's own pixels."""

from dataclasses import dataclass

import numpy as np

from ..align.crop import Crop
from ..errors import InputError
from ..synthesis.picture import PICTURE_MARGIN, read_set
from .parameters import join, similarity_from_pose


@dataclass(frozen=True)
class Sequences:
    """Frames of short videos of one face each; a video's frames are `frames` rows in order.

    images: (N, n, n, 3) uint8, each the surroundings of a head cut from its frame; params: (N, P) in units of
    crops, the head's standard crops in their frames; landmarks68: (N, 68, 2) true iBUG-68 points, px of the
    frame; crops: N `Crop`; frames: of a video.
    """

    images: np.ndarray
    params: np.ndarray
    landmarks68: np.ndarray
    crops: tuple[Crop, ...]
    frames: int

    def __len__(self):
        """Videos."""
        return len(self.params) // self.frames

    def view(self, index, crop, size):
        """What a crop of a row shows: (size, size, 3) uint8; beyond what is stored the border repeats.

        crop: `Crop` in pixels of the frame.
        """
        stored, n = self._stored(index), self.images.shape[1]
        center = (stored.from_image(crop.center) + 0.5) * n - 0.5
        inside = Crop(center, crop.side / stored.side * n, crop.roll - stored.roll)
        return inside.extract(np.ascontiguousarray(self.images[index]), size)

    def params_in(self, index, crop):
        """(P,) parameters of a row's face in units of another crop of its frame (see `learn.parameters`)."""
        own = self.crops[index]
        scale = own.side / crop.side
        angle = own.roll - crop.roll
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        params = np.array(self.params[index], float)
        similarity = params[:12].reshape(3, 4)
        similarity[:2] = turn @ similarity[:2]
        similarity[2] *= scale
        similarity[:2, 3] += crop.from_image(own.center)
        return params.astype(np.float32)

    def _stored(self, index):
        own = self.crops[index]
        return Crop(own.center, PICTURE_MARGIN * own.side, own.roll)


def load_sequences(folder):
    """The `Sequences` of a set that `filming --frames` made.

    Raises InputError as `read_set`, or if the set's samples are not frames of videos of one length.
    """
    images, a = read_set(folder)
    missing = [key for key in ("crop", "landmarks68", "clip") if key not in a]
    if missing:
        raise InputError(
            f"{folder} lacks {', '.join(missing)}: make a set of short videos with "
            "python -m steadyface.learn.filming --moments 1 --frames 10"
        )
    lengths = np.unique(np.unique(a["clip"], return_counts=True)[1])
    if len(lengths) != 1:
        raise InputError(
            f"{folder} holds videos of {lengths.min()} to {lengths.max()} frames: one length only"
        )
    crops = tuple(Crop(np.array(c[:2], float), float(c[2]), float(c[3])) for c in a["crop"])
    params = join(
        similarity_from_pose(a["rotation"], a["scale"], a["translation"]), a["identity"], a["expression"]
    )
    landmarks = np.stack([c.to_image(p) for c, p in zip(crops, a["landmarks68"], strict=True)])
    return Sequences(images, params.astype(np.float32), landmarks.astype(np.float32), crops, int(lengths[0]))
