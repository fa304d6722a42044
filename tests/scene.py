"""A scene of synthetic faces whose truth is known, and networks that know it: stand-ins without weights."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np

from steadyface.align.alignment import Alignment
from steadyface.align.crop import Crop
from steadyface.rotation import axis_angle_from_matrix, matrix_from_euler

SIZE = (320, 240)


def still_face(model, center=(160, 120), scale=0.5, yaw=0.0, seed=0):
    """A face that holds still: function of the frame index."""
    rng = np.random.default_rng(seed)
    rotation = matrix_from_euler(np.array([0.05, yaw, 0.1]))
    truth = Alignment(
        rotation=axis_angle_from_matrix(rotation),
        scale=scale,
        translation=np.array(center, float),
        identity=rng.normal(0, 0.5, model.identity_count),
        expression=rng.uniform(0.1, 0.4, model.expression_count),
        landmark_sigma=np.full(68, 0.6),
        confidence=0.95,
    )
    return lambda index: truth


def moving_face(model, velocity, **still):
    """A face that moves by velocity (2,) px a frame and opens its mouth now and then."""
    still = still_face(model, **still)

    def at(index):
        truth = still(index)
        expression = truth.expression.copy()
        expression[0] = 0.5 + 0.4 * np.sin(index / 5)
        moved = truth.translation + np.array(velocity) * index
        return replace(truth, translation=moved, expression=expression)

    return at


def seen_during(face, *spans):
    """The face, visible only in frames of the half-open spans."""
    return lambda index: face(index) if any(a <= index < b for a, b in spans) else None


@dataclass
class Scene:
    """Faces by frame index. `image(i)` carries the index in its pixels, where the stand-ins read it."""

    faces: list
    noise: float = 0.0
    size: tuple = SIZE
    detector_calls: list = field(default_factory=list)
    regressor_calls: list = field(default_factory=list)

    def image(self, index):
        image = np.full((self.size[1], self.size[0], 3), 60, np.uint8)
        for bit in range(10):
            image[:16, 16 * bit : 16 * bit + 16] = 235 if index >> bit & 1 else 20
        return image

    def index(self, image):
        return sum(1 << bit for bit in range(10) if image[4:12, 16 * bit + 4 : 16 * bit + 12].mean() > 128)

    def truth(self, index):
        return [a for a in (face(index) for face in self.faces) if a is not None]

    def detector(self, image):
        index = self.index(image)
        self.detector_calls.append(index)
        rng = np.random.default_rng(index)
        return [
            SimpleNamespace(
                crop=Crop(
                    a.crop.center + rng.normal(0, 0.05, 2) * a.crop.side,
                    a.crop.side * rng.uniform(0.9, 1.1),
                    a.crop.roll,
                ),
                score=0.9,
            )
            for a in self.truth(index)
        ]

    def regressor(self, image, crops):
        index = self.index(image)
        self.regressor_calls += [index] * len(crops)
        return [self._regress(index, crop) for crop in crops]

    def _regress(self, index, crop):
        rng = np.random.default_rng([index, 1])
        for truth in self.truth(index):
            away = np.linalg.norm(truth.crop.center - crop.center) / crop.side
            if away < 0.5 and 0.5 < truth.crop.side / crop.side < 2:
                # Off-centre faces are seen less well.
                return replace(
                    truth,
                    translation=truth.translation + self.noise * rng.normal(0, 1, 2),
                    rotation=truth.rotation + self.noise * rng.normal(0, 0.02, 3),
                    confidence=0.98 - away,
                )
        any_model = self.faces[0](0) or self.truth(0)[0] if self.faces else None
        k, e = (len(any_model.identity), len(any_model.expression)) if any_model else (6, 4)
        return nothing(crop, k, e)


def nothing(crop, identity_count, expression_count):
    """What a network says of a square without a face: something mean, with no confidence."""
    return Alignment(
        np.zeros(3),
        crop.side / 220,
        np.asarray(crop.center, float),
        np.zeros(identity_count),
        np.zeros(expression_count),
        np.full(68, 0.05 * crop.side),
        0.03,
    )
