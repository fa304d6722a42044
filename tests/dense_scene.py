"""A face that talks before a pinhole camera, and networks that know it: stand-ins without weights."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from scene import Scene

from steadyface.align.alignment import Alignment
from steadyface.live import LiveTracker
from steadyface.rotation import axis_angle_from_matrix, matrix_from_euler
from steadyface.track import Track
from steadyface.video import write_video

SIZE = (320, 240)
FPS = 25
FOCAL = 340.0


def talking(model, frames, seed=0, shift=0.0):
    """The true `Track` of a face that turns, nods, comes closer and moves its expressions."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / FPS
    angles = np.stack([0.15 * np.sin(2 * t + 1), 0.4 * np.sin(1.7 * t + seed), 0.1 * np.sin(1.1 * t)], -1)
    position = np.stack([shift + 20 * np.sin(t), 10 * np.cos(1.3 * t), 620 + 40 * np.sin(0.9 * t)], -1)
    rate, phase = rng.uniform(1, 4, (2, model.expression_count))
    return Track(
        frame_index=np.arange(frames),
        time_s=t,
        rotation=axis_angle_from_matrix(matrix_from_euler(angles)),
        translation=position,
        scale=FOCAL / position[:, 2],
        center=(np.array(SIZE) - 1) / 2,
        identity=rng.normal(0, 0.7, model.identity_count),
        expression=np.clip(0.4 * np.sin(rate * t[:, None] + phase) + 0.3, 0, 1),
        sigma=np.zeros((frames, 68)),
        confidence=np.ones(frames),
        image_size=SIZE,
        fps=FPS,
        model=model,
        focal=FOCAL,
    )


@dataclass
class DenseScene:
    """Faces of true tracks, as a live tracker with noise and a dense aligner with noise see them.

    truths: list of `Track`; shown: for each the frames in which the live tracker sees it, None for all;
    pose_noise: of the live tracker's pictures, radians and px; noise: px of the aligner's points; covered:
    (n,) bool of points of which the aligner says that it does not know; bias: (n, 2) px, its error in all
    frames alike.
    """

    truths: list
    shown: list | None = None
    pose_noise: float = 0.02
    noise: float = 0.3
    covered: np.ndarray | None = None
    bias: np.ndarray | float = 0.0
    calls: list = field(default_factory=list)

    def __post_init__(self):
        self.model = self.truths[0].model
        shown = self.shown or [range(len(t)) for t in self.truths]
        faces = [self._face(t, set(s)) for t, s in zip(self.truths, shown, strict=True)]
        self.scene = Scene(faces, size=SIZE)
        self.vertices = np.flatnonzero(~self.model.regions["neck"])
        self.shape = self.model.shape.points(self.vertices)

    def _face(self, truth, shown):
        seen = axis_angle_from_matrix(truth.seen_rotation())
        origin = truth.scale[:, None] * truth.translation[:, :2] + truth.center

        def at(index):
            if index not in shown:
                return None
            rng = np.random.default_rng([index, 2])
            expression = truth.expression[index] + 3 * rng.normal(
                0, self.pose_noise, self.model.expression_count
            )
            return Alignment(
                rotation=seen[index] + rng.normal(0, self.pose_noise, 3),
                scale=float(truth.scale[index]),
                translation=origin[index] + 20 * rng.normal(0, self.pose_noise, 2),
                identity=truth.identity + rng.normal(0, 0.3, self.model.identity_count),
                expression=np.clip(expression, 0, 1),
                landmark_sigma=np.full(68, 0.6),
                confidence=0.95,
            )

        return at

    def tracker(self, **options):
        """The `LiveTracker` of the scene."""
        networks = {"detector": self.scene.detector, "regressor": self.scene.regressor}
        return LiveTracker(model=self.model, **networks, **options)

    def __call__(self, image, guess, crop):
        """As a `DenseAligner`: the points of the face whose crop it is."""
        index = self.scene.index(image)
        self.calls.append((index, guess))
        rng = np.random.default_rng([index, 3])
        points = [t.image_points(self.shape, index)[:, :2] for t in self.truths]
        own = min(points, key=lambda p: np.linalg.norm(p.mean(0) - crop.center))
        sigma = np.full(len(own), self.noise)
        if self.covered is not None:
            sigma[self.covered] = np.inf
        return SimpleNamespace(points=own + self.bias + rng.normal(0, self.noise, own.shape), sigma=sigma)

    def film(self, path, frames=None):
        """The video of the scene, at `path`."""
        with write_video(path, SIZE, FPS) as write:
            for i in range(frames or max(map(len, self.truths))):
                write(self.scene.image(i), i / FPS)
        return path


def wobble(points):
    """Root mean square second difference in time of points (T, L, 2), px."""
    return float(np.sqrt((np.diff(points, 2, axis=0) ** 2).sum(-1).mean()))


def error(track, truth):
    """Mean distance of the 68 points from the truth in the frames of a track, px."""
    here, there = track.landmarks("ibug68"), truth.landmarks("ibug68", track.frame_index)
    return float(np.linalg.norm((here - there)[..., :2], axis=-1).mean())
