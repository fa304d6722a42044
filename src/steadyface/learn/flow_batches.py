"""Training pictures for the dense alignment networks, augmented as FlowFace's were (section 4).

Random scale and rotation (`draw_view`), colour corruption and degradation (`Appearance`), occluders and
backgrounds. A batch is a pure function of (configuration, number), as in `batches`.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..networks.uv_chart import uv_chart
from ..synthesis.backgrounds import smooth_noise
from .augment import Appearance, AugmentConfig, draw_view, view_labels, view_pixels
from .guess import GuessConfig, draw_guesses
from .parameters import split
from .samples import SampleMix, mediapipe_flip_index, read_set


@dataclass(frozen=True)
class FlowBatchConfig:
    """What batches are made of.

    sets: sample folder to share; size: pictures in a batch; image_size: side of a picture, pixels;
    background: share of pictures whose surroundings are exchanged; balance: how strongly rare attributes are
    preferred.
    """

    sets: dict
    size: int = 16
    image_size: int = 256
    face_model: str = "anny"
    background: float = 0.15
    balance: float = 0.5
    seed: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    guess: GuessConfig = field(default_factory=GuessConfig)


def read_perspectives(folders):
    """How pinhole cameras saw the samples of several folders.

    Labels may hold "inverse_distance" (N,), one over the distance of the model's origin from the camera along
    its axis, per mm, and "principal" (N, 2), the image of the camera's principal point in crop units. Returns
    both for all samples in order, zeros (weak perspective) for folders without. Raises InputError if a folder
    has but one of them or they do not fit its pictures.
    """
    inverse, principal = [], []
    for folder in folders:
        images, labels = read_set(folder)
        given = [key in labels for key in ("inverse_distance", "principal")]
        if any(given) and not all(given):
            raise InputError(f"{folder}: labels must hold inverse_distance and principal, or neither")
        a = labels.get("inverse_distance", np.zeros(len(images)))
        b = labels.get("principal", np.zeros((len(images), 2)))
        if a.shape != (len(images),) or b.shape != (len(images), 2):
            raise InputError(
                f"{folder}: inverse_distance must be (N,) and principal (N, 2) for {len(images)} pictures, "
                f"got {a.shape} and {b.shape}"
            )
        inverse.append(a.astype(np.float32))
        principal.append(b.astype(np.float32))
    return np.concatenate(inverse), np.concatenate(principal)


def view_points(points, views):
    """Points (N, 2), crop units, seen through N views."""
    mirrored = np.array([v.mirrored for v in views])
    points = np.where(mirrored[:, None], points * [-1, 1], points)
    scale, roll = np.array([v.scale for v in views]), np.array([v.roll for v in views])
    c, s = scale * np.cos(roll), scale * np.sin(roll)
    x, y = points.T
    return (np.stack([c * x - s * y, s * x + c * y], -1) + [v.shift for v in views]).astype(np.float32)


class FlowBatchMaker:
    """Makes the batches of a configuration one by one.

    Call with a batch number. Returns a dict: image (B, n, n, 3) uint8; params (B, P), inverse_distance (B,)
    and principal (B, 2) as seen in the picture, of which `FlowPoints` makes every vertex' position.
    """

    def __init__(self, config, model=None):
        cv2.setNumThreads(1)
        self.config = config
        self.model = load_face_model(config.face_model) if model is None else model
        self.flip_index = mediapipe_flip_index(self.model)
        self.mix = SampleMix(config.sets, config.balance)
        self.inverse_distance, self.principal = read_perspectives(config.sets)
        self.appearance = Appearance(config.augment, config.image_size, config.seed)
        self.vertices = uv_chart(self.model).vertices[::8]

    def __call__(self, number):
        c = self.config
        rng = np.random.default_rng((c.seed, number))
        rows = self.mix.draw(rng, c.size)
        views = [draw_view(rng, c.augment) for _ in rows]
        params, _ = view_labels(
            self.mix.params[rows], self.mix.landmarks478[rows], views, self.model, self.flip_index
        )
        images = np.empty((c.size, c.image_size, c.image_size, 3), np.uint8)
        # An occluder's texture is cut from a larger picture than the one that it hides.
        large = c.image_size + 40
        for i, (row, view) in enumerate(zip(rows, views, strict=True)):
            look, border, fill = self.appearance.draw_look(rng)
            picture = view_pixels(self.mix.image(row), view, c.image_size, border, fill)
            if rng.random() < c.background:
                picture = self._elsewhere(picture, params[i], rng)
            other = cv2.resize(self.mix.image(rows[i - 1]), (large, large))
            images[i] = self.appearance.draw_degradation(rng)(look(picture, other))
        return {
            "image": images,
            "params": params,
            "guess": draw_guesses(params, self.model, rng, c.guess),
            "inverse_distance": self.inverse_distance[rows],
            "principal": view_points(self.principal[rows], views),
        }

    def _elsewhere(self, picture, params, rng):
        """The head on another background: cut out along its hull, with room for hair."""
        n = self.config.image_size
        similarity, identity, expression = split(params, self.model.identity_count)
        s, v = self.model.shape, self.vertices
        shape = s.mean[v] + np.tensordot(
            np.concatenate([identity, expression]),
            np.concatenate([s.identity_basis[:, v], s.expression_basis[:, v]]),
            1,
        )
        points = (shape @ similarity[:2, :3].T + similarity[:2, 3] + 0.5) * n - 0.5
        hull = cv2.convexHull(points.astype(np.float32))[:, 0]
        hull = hull.mean(0) + (hull - hull.mean(0)) * rng.uniform(1.05, 1.25)
        mask = np.zeros((n, n), np.float32)
        cv2.fillConvexPoly(mask, hull.round().astype(np.int32), 1.0)
        mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 4)))[..., None]
        noise = smooth_noise(rng, n, int(rng.integers(2, 9)), 3 if rng.random() < 0.5 else 1)
        scene = rng.uniform(0, 255, 3) + (noise - 0.5) * rng.uniform(0, 500)
        scene = np.broadcast_to(np.clip(scene, 0, 255), picture.shape)
        return (mask * picture + (1 - mask) * scene).astype(np.uint8)

    def draw_labels(self, count, seed=0):
        """params (count, P), inverse_distance and principal as training pictures have them."""
        rng = np.random.default_rng(seed)
        rows = self.mix.draw(rng, count)
        views = [draw_view(rng, self.config.augment) for _ in rows]
        params, _ = view_labels(
            self.mix.params[rows], self.mix.landmarks478[rows], views, self.model, self.flip_index
        )
        return params, self.inverse_distance[rows], view_points(self.principal[rows], views)
