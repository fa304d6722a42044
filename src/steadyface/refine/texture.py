"""The video texture: unwrapped frames merged into one, whatever hid the face in some (SR-VFA, sec. 2.1)."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..export.png import write_png
from .layout import texture_layout

#: Grey levels over which a texel's samples are told apart, and how many kinds there are.
BINS, BRIGHTEST = 16, 288.0
#: Samples within so many grey levels of a texel's median are averaged: at least, and at most.
NARROW, WIDE = 10.0, 40.0
#: Distance in colour, grey levels, at which a sample counts a quarter in the second round.
DISAGREEMENT = 16.0
#: Weight at which a texel counts as half known: half a frame that sees it from the front.
HALF_KNOWN = 0.5
# Luminance, about as the eye weighs it.
_GREY = np.array([0.25, 0.5, 0.25], np.float32)


@dataclass(frozen=True, eq=False)
class VideoTexture:
    """The colours of a face, of S x S texels, texel (i, j) centred at ((j + 1/2), (i + 1/2)) / S.

    color: (S, S, 3) uint8 RGB under an irradiance of 1; confidence: (S, S) float32 in [0, 1), 0 where no
    frame saw the face; completed: (S, S) bool, texels of the face that hold what symmetry or their
    neighbours suggest; uv: (U, 2) in [0, 1], v down, where in it the corners `uv_triangles` of the face model
    lie. Raises InputError for shapes that do not fit.
    """

    color: np.ndarray
    confidence: np.ndarray
    completed: np.ndarray
    uv: np.ndarray

    def __post_init__(self):
        shape = np.shape(self.confidence)
        good = len(shape) == 2 and shape[0] == shape[1]
        good = good and np.shape(self.color) == (*shape, 3) and np.asarray(self.color).dtype == np.uint8
        if not good or np.shape(self.completed) != shape or np.shape(self.uv)[1:] != (2,):
            raise InputError(
                "a video texture has color (S, S, 3) uint8, confidence and completed (S, S) and uv (U, 2):"
                f" got {np.shape(self.color)}, {shape}, {np.shape(self.completed)} and {np.shape(self.uv)}"
            )

    @property
    def size(self):
        return len(self.color)

    @classmethod
    def of_track(cls, track):
        """The texture that a `Track` of the studio quality carries. Raises InputError if it has none."""
        if track.texture is None:
            raise InputError("this track has no texture: track with quality='studio', or refine it")
        confidence = np.asarray(track.texture_confidence, np.float32)
        completed = (confidence == 0) & track.texture.any(-1)
        return cls(track.texture, confidence, completed, texture_layout(track.model))

    def save_png(self, path):
        """Write the colours as a PNG file, whole or not at all. Raises OutputError if it cannot be."""
        write_png(self.color, path)


class TextureMerge:
    """Merges unwrapped frames one by one, in memory that does not grow with their number.

    unwrap: the `UVUnwrap` that they come from; around: None, or the `VideoTexture` of a first round through
    the same frames. Of every texel it keeps a histogram of grey levels with the sum of the colours in each of
    its bins. The result is the mean of the samples around the weighted median grey, so that what hides a
    texel in a few of its frames and is not as bright leaves no trace; in a second round neither does what has
    another colour, for samples weigh less the farther from the first round's they are (Geman and McClure's
    weights). The order of frames does not matter.
    """

    def __init__(self, unwrap, around=None):
        self.unwrap = unwrap
        self._around = None
        if around is not None:
            self._around = around.color.reshape(-1, 3)[unwrap.texel].astype(np.float32)
        self._sums = np.zeros((BINS, len(unwrap), 4), np.float32)

    def add(self, seen, irradiance=None, weight=1.0):
        """Take a frame in.

        seen: `Unwrapped`, of n texels; irradiance: (n,) or (n, 3) > 0 at them, by which colours are divided,
        1 unless given; weight: >= 0, of the frame as a whole or (n,), such as how well each texel is tracked.
        Raises InputError for shapes that do not fit or an irradiance not above 0.
        """
        color = seen.color
        if irradiance is not None:
            light = np.asarray(irradiance, np.float32)
            if light.shape not in ((len(color),), color.shape) or not (light > 0).all():
                raise InputError(
                    f"irradiance must be > 0, one number or three for each of the {len(color)} texels seen; "
                    f"got shape {light.shape}"
                )
            color = color / (light if light.ndim == 2 else light[:, None])
        if np.shape(weight) not in ((), (len(color),)):
            raise InputError(f"weight is one number or ({len(color)},); got {np.shape(weight)}")
        w = seen.weight * np.asarray(weight, np.float32)
        if self._around is not None:
            squared = ((color - self._around[seen.index]) ** 2).sum(1)
            w = w / (1 + squared / np.float32(DISAGREEMENT**2)) ** 2
        bins = np.clip(color @ _GREY * np.float32(BINS / BRIGHTEST), 0, BINS - 1).astype(np.int32)
        sample = np.empty((len(w), 4), np.float32)
        np.multiply(color, w[:, None], out=sample[:, :3])
        sample[:, 3] = w
        # A frame has each texel once, so that no index repeats.
        self._sums[bins, seen.index] += sample

    def result(self):
        """The `VideoTexture` of what was seen, black where nothing was."""
        mass = self._sums[..., 3]
        seen = np.flatnonzero(mass.any(0))
        mass = mass[:, seen]
        edges = np.cumsum(mass, 0)
        low, middle, high = (_quantile(mass, edges, part) for part in (0.25, 0.5, 0.75))
        # 1.35 standard deviations of a normal distribution lie between its quartiles.
        reach = np.clip(2.5 / 1.35 * (high - low), NARROW, WIDE)
        width = BRIGHTEST / BINS
        kept = np.zeros((len(seen), 4), np.float32)
        for b in range(BINS):
            inside = np.minimum((b + 1) * width, middle + reach) - np.maximum(b * width, middle - reach)
            kept += self._sums[b, seen] * (np.clip(inside, 0, None) / width)[:, None]
        color, confidence = np.zeros((len(self.unwrap), 3), np.uint8), np.zeros(len(self.unwrap), np.float32)
        color[seen] = np.clip(kept[:, :3] / np.maximum(kept[:, 3:], 1e-9) + 0.5, 0, 255)
        confidence[seen] = kept[:, 3] / (kept[:, 3] + np.float32(HALF_KNOWN))
        image = self.unwrap.image_of
        none = np.zeros((self.unwrap.size, self.unwrap.size), bool)
        return VideoTexture(image(color), image(confidence), none, self.unwrap.uv)


def _quantile(mass, edges, part):
    """Grey level below which `part` of the mass (B, N) lies, evenly spread within its bin: (N,).

    edges: (B, N) cumulated mass.
    """
    n = np.arange(mass.shape[1])
    wanted = np.float32(part) * edges[-1]
    at = np.minimum((edges < wanted).sum(0), BINS - 1)
    inside = 1 - (edges[at, n] - wanted) / np.maximum(mass[at, n], 1e-9)
    return (at + np.clip(inside, 0, 1)) * np.float32(BRIGHTEST / BINS)
