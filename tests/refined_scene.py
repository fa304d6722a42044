"""A textured head filmed under changing light, whose truth is known, and a dense aligner that errs."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from types import SimpleNamespace

import cv2
import numpy as np
from scene import SIZE, Scene
from textured_head import textured

from steadyface.face_model.morphable import LinearShape
from steadyface.refine.appearance import Surface
from steadyface.refine.irradiance import IrradianceBasis, VertexIrradiance
from steadyface.refine.layout import texture_layout
from steadyface.refine.patch import cut
from steadyface.refine.problem import Observation, Problem, RefineConfig
from steadyface.render.textured import render_textured
from steadyface.rotation import axis_angle_from_matrix, matrix_from_axis_angle, matrix_from_euler
from steadyface.track import Track
from steadyface.video import write_video

FPS = 25
FOCAL = 380.0
#: Steps that reach the bottom in a few frames, with few samples.
SMALL = RefineConfig(samples=600, frames=8, stride=6, ahead=3, iterations=4, height=160)
# Pixels at the top that carry the number of the frame, and grey of the rest behind the head.
_STRIP, _BEHIND = 16, 90


def textured_head(tiny_model):
    """The tiny model with texture coordinates, in single precision, as the embedded model is."""
    s = tiny_model.shape
    shape = LinearShape(*(np.asarray(x, np.float32) for x in (s.mean, s.identity_basis, s.expression_basis)))
    return replace(textured(tiny_model), shape=shape)


def blotches(size=256, seed=0):
    """Blotches of two sizes: (size, size, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), 130, np.float32)
    for cells, height in ((8, 40), (32, 45)):
        coarse = rng.uniform(-height, height, (cells, cells, 1)) + rng.uniform(-20, 20, (cells, cells, 3))
        coarse = coarse.astype(np.float32)
        image += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 10, 250).astype(np.uint8)


def truth_of(model, frames, seed=0, shift=0.0):
    """The `Track` of a head that turns, nods, comes nearer and moves its expressions."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / FPS
    angles = np.stack([0.08 * np.sin(3 * t), 0.3 * np.sin(2.5 * t + seed), 0.05 * np.cos(2 * t)], -1)
    place = np.stack([shift + 10 * np.sin(2 * t), 5 * np.cos(3 * t) - 12, 560 + 20 * np.sin(t)], -1)
    rate, phase = rng.uniform(1, 4, (2, model.expression_count))
    return Track(
        frame_index=np.arange(frames),
        time_s=t,
        rotation=axis_angle_from_matrix(matrix_from_euler(angles)),
        translation=place,
        scale=FOCAL / place[:, 2],
        center=(np.array(SIZE) - 1) / 2,
        identity=rng.normal(0, 0.5, model.identity_count),
        expression=np.clip(0.3 * np.sin(rate * t[:, None] + phase) + 0.35, 0, 1),
        sigma=np.ones((frames, 68)),
        confidence=np.ones(frames),
        image_size=SIZE,
        fps=FPS,
        model=model,
        focal=FOCAL,
    )


def light_of(basis, frames, seed=0):
    """Irradiance that changes in strength and direction: (T, B)."""
    t = np.arange(frames) / FPS + seed
    light = np.zeros((frames, len(basis)), np.float32)
    light[:, 0] = 0.9 + 0.15 * np.sin(4 * t)
    light[:, 1] = 0.25 * np.sin(3 * t)
    light[:, 3] = -0.15
    light[:, 6] = 0.08 * np.cos(5 * t)
    return light


@dataclass
class FilmedHead:
    """Heads of true tracks, their light and what is seen of them.

    truths: list of `Track` of one model; covered: frames in which a flat board hides the faces; half: frames
    in which it hides their lower half; noise: px of the aligner's points, each its own; bias: px, of all
    points of a frame alike.
    """

    truths: list
    covered: tuple = ()
    half: tuple = ()
    noise: float = 0.3
    bias: float = 0.0
    size: tuple = SIZE
    calls: list = field(default_factory=list)

    def __post_init__(self):
        self.model = self.truths[0].model
        self.vertices = np.flatnonzero(self.model.regions["face"])
        self.shape = self.model.shape.points(self.vertices)
        basis = IrradianceBasis.of(self.model)
        self.light = [light_of(basis, len(t), i) for i, t in enumerate(self.truths)]

    @cached_property
    def frames(self):
        """(H, W, 3) uint8 of every frame."""
        return [self.frame(i) for i in range(max(map(len, self.truths)))]

    def frame(self, index):
        image = np.maximum(Scene([], size=self.size).image(index), _BEHIND)
        # What carries the number stays readable.
        image[:_STRIP] = Scene([], size=self.size).image(index)[:_STRIP]
        shine = VertexIrradiance(self.model)
        for i, truth in enumerate(self.truths):
            if index >= len(truth):
                continue
            flat = SimpleNamespace(color=blotches(seed=i), uv=texture_layout(self.model))
            light = shine(truth.vertices(index), self.light[i][index])
            drawn, _ = render_textured(truth, index, flat, irradiance=light)
            there = drawn.any(-1)
            there[:_STRIP] = False
            image[there] = np.rint(drawn[there])
            if index in self.covered or index in self.half:
                points = truth.image_points(self.model.shape, index)[:, :2]
                (left, top), (right, bottom) = points.min(0).astype(int) - 4, points.max(0).astype(int) + 4
                top = (top + bottom) // 2 if index in self.half else max(top, _STRIP)
                board = np.random.default_rng(index).integers(0, 256, image.shape, np.uint8)
                window = (slice(max(top, _STRIP), bottom), slice(max(left, 0), right))
                image[window] = cv2.GaussianBlur(board, (0, 0), 2)[window]
        return image

    def points(self, truth, index):
        """What the aligner says: (n, 2) px."""
        rng = np.random.default_rng([index, 3])
        exact = truth.image_points(self.shape, index)[:, :2]
        return exact + rng.normal(0, self.noise, exact.shape) + self.bias * rng.normal(0, 1, 2)

    def __call__(self, image, guess, crop):
        """As a `DenseAligner`."""
        index = Scene([], size=self.size).index(image)
        self.calls.append(index)
        shown = [self.points(t, index) for t in self.truths if index < len(t)]
        own = min(shown, key=lambda p: np.linalg.norm(p.mean(0) - guess.mean(0)))
        return SimpleNamespace(points=own, sigma=np.full(len(own), max(self.noise, self.bias, 0.05)))

    def film(self, path, frames=None):
        """The video, at `path`."""
        with write_video(path, self.size, FPS) as write:
            for i, image in enumerate(self.frames[:frames]):
                write(image, i / FPS)
        return path


def perturbed(track, spread=1.0, seed=5):
    """The track with every frame's pose off on its own: some 0.01 radians, 1 mm across, 3 mm deep."""
    rng = np.random.default_rng(seed)
    turn = matrix_from_axis_angle(rng.normal(0, 0.01 * spread, (len(track), 3)))
    translation = track.translation + rng.normal(0, spread, (len(track), 3)) * [1, 1, 3]
    return replace(
        track,
        rotation=axis_angle_from_matrix(turn @ matrix_from_axis_angle(track.rotation)),
        translation=translation,
        scale=track.focal / translation[:, 2],
    )


def problem_of(head, config=SMALL):
    """The `Problem` of a filmed head."""
    truth = head.truths[0]
    surface = Surface(head.model, config.samples)
    return Problem(surface, head.shape, truth.image_size, truth.center, config)


def observations(head, problem, guess, rows=None):
    """What is known of frames whose poses are guessed: list of `Observation`."""
    out = []
    for row in range(len(guess)) if rows is None else rows:
        around = guess.image_points(problem.surface.samples.shape, row)[:, :2]
        points = head.points(head.truths[0], row).astype(np.float32)
        out.append(
            Observation(
                cut(head.frames[row], around, problem.config.height),
                points,
                np.full(len(points), max(head.noise, head.bias, 0.05), np.float32),
                matrix_from_axis_angle(guess.rotation[row]),
                guess.translation[row],
                guess.expression[row],
                float(guess.time_s[row]),
            )
        )
    return out


def view_at(problem, track, row, patch):
    """The `View` of a frame at the pose of a track."""
    return problem.surface.view(
        patch,
        matrix_from_axis_angle(track.rotation[row]),
        track.translation[row],
        track.identity,
        track.expression[row],
        track.focal,
        track.center,
    )


def error(found, truth, rows=slice(None)):
    """Mean distance of the 68 points from the truth in the image, px."""
    here, there = found.landmarks("ibug68", rows), truth.landmarks("ibug68", rows)
    return float(np.linalg.norm((here - there)[..., :2], axis=-1).mean())
