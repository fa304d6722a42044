"""What is kept of a face while it is followed: numbers in flat arrays, no pixels and no vertices."""

from array import array

import numpy as np

from .align.alignment import Alignment
from .align.transfer import IdentityExchange
from .track import Track

#: Identity coefficients that differ by no more than this are the same face.
SAME_IDENTITY = 0.01


class LiveRecord:
    """One face as the live tracker follows it: some hundreds of float32 numbers a frame."""

    def __init__(self):
        self._index = array("q")
        self._time_s = array("d")
        self._numbers = array("f")
        self._identities = array("f")
        self._identity_count = 0

    def append(self, index, face):
        """index: of the frame in the video; face: `LiveFace`."""
        a = face.alignment
        row = np.concatenate(
            [a.rotation, a.translation, [a.scale, a.confidence], a.landmark_sigma, a.expression, a.identity]
        )
        self._time_s.append(face.time_s)
        self._numbers.frombytes(row.astype(np.float32).tobytes())
        self._identities.frombytes(np.asarray(face.measured.identity, np.float32).tobytes())
        self._identity_count = len(face.measured.identity)
        # Last, for an interruption may come at any time: what is not in the index does not count.
        self._index.append(index)

    def _rows(self, numbers, width):
        return np.frombuffer(numbers, np.float32, width * len(self._index)).reshape(-1, width).copy()

    @property
    def identities(self):
        """(T, K) as the network regressed them frame by frame, before the filter; T at least 1."""
        return self._rows(self._identities, self._identity_count)

    def track(self, image_size, fps, model):
        """The `Track` of the frames so far, in a weak-perspective camera."""
        widths = [3, 2, 1, 1, 68, model.expression_count, model.identity_count]
        rows = self._rows(self._numbers, sum(widths))
        exchange = IdentityExchange(model.landmarks("ibug68"))
        rotation, translation, scale, confidence, sigma, expression, identity = np.split(
            rows, np.cumsum(widths)[:-1], axis=1
        )
        # The filter's mean identity of all frames is the last one: earlier frames are brought to it.
        final = identity[-1].astype(float)
        for i in np.flatnonzero(np.abs(identity - identity[-1]).max(1) > SAME_IDENTITY):
            numbers = (rotation[i], float(scale[i, 0]), translation[i], identity[i], expression[i], sigma[i])
            a = exchange(Alignment(*numbers, float(confidence[i, 0])), final)
            rotation[i], scale[i], translation[i], expression[i] = (
                a.rotation,
                a.scale,
                a.translation,
                a.expression,
            )
        return Track.from_image_pose(
            frame_index=np.array(self._index, np.int64),
            time_s=np.array(self._time_s[: len(rows)]),
            rotation=rotation,
            translation=translation,
            scale=scale[:, 0],
            identity=identity[-1].copy(),
            expression=expression,
            sigma=sigma,
            confidence=confidence[:, 0],
            image_size=tuple(image_size),
            fps=fps,
            model=model,
        )


class DenseRecord:
    """The aligned points of one face, frame by frame: ten bytes a point.

    count: N, points of a frame; seen: whether any point of any frame was.
    """

    def __init__(self, count):
        self.count = count
        self.seen = False
        self._index = array("q")
        self._points = bytearray()
        self._sigma = bytearray()

    def append(self, index, points, sigma):
        """index: of the frame in the video; points: (N, 2) px; sigma: (N,) px, infinite where not seen."""
        self._points += points.astype(np.float32).tobytes()
        self._sigma += sigma.astype(np.float16).tobytes()
        self.seen |= bool(np.isfinite(sigma).any())
        self._index.append(index)

    @property
    def frame_index(self):
        """(T,) frames of the video, in order."""
        return np.array(self._index, np.int64)

    def observed(self, frame_index) -> tuple[np.ndarray, np.ndarray]:
        """Points (T, N, 2) float32 px and sigma (T, N) float32 px in frames of the video, (T,) increasing.

        Infinite sigma in frames that were not recorded; recorded ones that are not asked for are left out.
        """
        points = np.zeros((len(frame_index), self.count, 2), np.float32)
        sigma = np.full((len(frame_index), self.count), np.inf, np.float32)
        t = len(self._index)
        kept = np.isin(self._index, frame_index)
        rows = np.searchsorted(frame_index, self.frame_index[kept])
        recorded = np.frombuffer(self._points, np.float32, t * self.count * 2)
        points[rows] = recorded.reshape(t, self.count, 2)[kept]
        recorded = np.frombuffer(self._sigma, np.float16, t * self.count)
        sigma[rows] = recorded.reshape(t, self.count)[kept]
        return points, sigma
