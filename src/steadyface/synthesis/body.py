"""Neck and clothes: what someone wears, painted on the torso, and how the torso follows the head."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..rotation import axis_angle_from_matrix, matrix_from_axis_angle

KINDS = {"shirt": 0.3, "round": 0.35, "deep": 0.15, "suit": 0.2}
#: The point that the torso turns about and hangs from, model frame, mm.
NECK_BASE = np.array([0.0, 155.0, 111.0])
# Of the head's turn (about x, y, z), what the torso takes part in.
_FOLLOW = np.array([0.12, 0.3, 0.12])


@dataclass(frozen=True)
class Outfit:
    """Clothes on a torso.

    kind: of `KINDS`; color, second, tie: (3,) RGB 0..255; pattern: "plain", "stripes" or "checks"; wide: of
    the shoulders, 1 as modelled; thick: of the neck; seed: of folds and weave.
    """

    kind: str
    color: np.ndarray
    second: np.ndarray
    tie: np.ndarray | None
    pattern: str
    wide: float
    thick: float
    seed: int

    @classmethod
    def random(cls, rng):
        """What people wear before cameras."""
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))

        def cloth(low=10, high=235):
            grey = rng.uniform(low, high)
            return np.clip(grey + rng.normal(0, rng.choice([3, 20]), 3), 5, 245)

        dark = kind == "suit"
        return cls(
            kind=kind,
            color=np.clip(rng.uniform(15, 80) + rng.normal(0, 5, 3), 5, 120) if dark else cloth(),
            second=np.clip(rng.uniform(190, 240) + rng.normal(0, 7, 3), 0, 250),
            tie=rng.uniform(10, 190, 3) if dark and rng.random() < 0.7 else None,
            pattern=str(rng.choice(["plain", "stripes", "checks"], p=[0.7, 0.17, 0.13])),
            wide=float(rng.uniform(0.84, 1.1)),
            thick=float(rng.uniform(0.96, 1.1)),
            seed=int(rng.integers(2**31)),
        )


def paint_torso(outfit, skin, position, ring):
    """Colours of the torso's texels: (h, w, 3) float32 0..255.

    skin: (3,) RGB of the neck; position: (h, w, 3) mm at rest; ring: (h, w, 2) angle and height, see
    `Figure.ring`.
    """
    rng = np.random.default_rng(outfit.seed)
    h, w = position.shape[:2]
    x, y = position[..., 0], position[..., 1]
    front = np.clip(np.cos(2 * np.pi * (ring[..., 0] - 0.5)), -1, 1)
    cloth = _cloth(outfit, rng, x, y)
    # The opening of the clothes: y of their upper edge, lower in front.
    edge = {"round": 156, "deep": 156, "shirt": 146, "suit": 146}[outfit.kind]
    drop = {"round": 30, "deep": 34, "shirt": 22, "suit": 22}[outfit.kind]
    edge = edge + drop * np.clip(front, 0, 1) ** 1.5
    if outfit.kind == "deep":
        edge = edge + np.clip(70 - 1.5 * np.abs(x), 0, 70) * (front > 0)
    out = np.broadcast_to(np.asarray(skin, np.float32), (h, w, 3)).copy()
    # The collar's shadow on the neck.
    out *= (1 - 0.35 * np.exp(-np.maximum(edge - y, 0) / 5))[..., None]
    inside = np.clip((y - edge) / 1.5 + 0.5, 0, 1)[..., None]
    ahead = (front > 0.05).astype(np.float32)
    if outfit.kind == "suit":
        shirt = outfit.second * (1 - 0.1 * np.exp(-np.abs(np.abs(x) - 12) / 2))[..., None]
        if outfit.tie is not None:
            width = np.interp(y, [163, 176, 193, 420], [11, 13, 11, 34])
            knot = np.clip((width - np.abs(x)) / 2, 0, 1) * ahead * (y > edge - 4)
            tie = outfit.tie * (0.85 + 0.15 * np.sin((x + y) / 5))[..., None]
            shirt = shirt + (tie - shirt) * knot[..., None]
        # Lapels leave a wedge of shirt.
        wedge = np.interp(y, [138, 188, 390], [62, 50, 0])
        coat = 1 - np.clip((wedge - np.abs(x)) / 2, 0, 1) * ahead
        seam = np.exp(-(((np.abs(x) - wedge - 32 * np.clip((330 - y) / 130, 0, 1)) / 2.5) ** 2)) * ahead
        jacket = (
            cloth * (1 - 0.35 * seam * (y < 330) - 0.3 * np.exp(-np.abs(np.abs(x) - wedge) / 3))[..., None]
        )
        # The jacket's collar stands lower than the shirt's.
        coat = coat * np.clip((y - edge - 16 + 8 * (1 - front)) / 2, 0, 1)
        cloth = shirt + (jacket - shirt) * coat[..., None]
    elif outfit.kind == "shirt":
        # A collar of two wings and a row of buttons.
        wing = np.clip(1 - (np.abs(np.abs(x) - 34) / 26), 0, 1) * 34
        collar = np.clip((edge + 16 + wing - y) / 2, 0, 1)
        shadow = np.exp(-np.maximum(y - edge - 16 - wing, 0) / 4) * (1 - collar)
        cloth = cloth * (1 - 0.3 * shadow + 0.06 * collar)[..., None]
        placket = np.exp(-((np.abs(x) - 16) ** 2) / 3) * ahead * (1 - collar)
        cloth = cloth * (1 - 0.15 * placket)[..., None]
        button = (np.hypot(x, (y - 215) % 75 - 37) < 4) * ahead * (1 - collar)
        cloth = cloth + (outfit.second - cloth) * (0.7 * button)[..., None]
    else:
        hem = np.exp(-((y - edge - 9) ** 2) / 3)
        cloth = cloth * (1 - 0.2 * hem)[..., None]
    return out + (cloth - out) * inside


def _cloth(outfit, rng, x, y):
    h, w = x.shape
    color = np.broadcast_to(outfit.color.astype(np.float32), (h, w, 3)).copy()
    period = rng.uniform(14, 40)
    if outfit.pattern != "plain":
        line = np.sin(2 * np.pi * x / period) > rng.uniform(0.2, 0.9)
        if outfit.pattern == "checks":
            line = line.astype(np.float32) * 0.5 + 0.5 * (np.sin(2 * np.pi * y / period) > 0.5)
        color += (outfit.second - color) * (0.5 * line.astype(np.float32))[..., None]
    for rows, columns, strength in ((3, 10, 0.09), (5, 36, 0.06), (h // 3, w // 3, 0.025)):
        fold = rng.normal(0, strength, (max(rows, 2), max(columns, 2))).astype(np.float32)
        color *= 1 + cv2.resize(fold, (w, h), interpolation=cv2.INTER_CUBIC)[..., None]
    return color


def follow(script, outfit):
    """Where the torso is while the head moves: rotations (T, 3, 3) and translations (T, 3) mm of its frame.

    The torso's points at rest are in the model frame; it takes part in a share of the head's slow motion.
    """
    count = len(script)
    # A body is heavy: it follows over about a second.
    reach = max(1.0, 0.45 * script.fps)
    mean = axis_angle_from_matrix(_mean_rotation(script.matrices))
    home = matrix_from_axis_angle(mean * np.array([0.15, 0.75, 0.3]))
    relative = axis_angle_from_matrix(np.einsum("ji,tjk->tik", home, script.matrices))
    rotation = matrix_from_axis_angle(home) if home.ndim == 1 else home
    turned = matrix_from_axis_angle(_slow(relative, reach) * _FOLLOW)
    rotations = rotation @ turned
    # The neck swings about its base: a head that nods or leans moves, its shoulders hardly.
    base = script.translation + script.matrices @ NECK_BASE
    hung = _slow(np.asarray(script.translation, float), reach) + rotations @ NECK_BASE
    anchor = _slow(0.7 * base + 0.3 * hung, 0.6 * reach)
    return rotations, anchor - np.einsum("tij,j->ti", rotations, NECK_BASE).reshape(count, 3)


def _mean_rotation(matrices):
    u, _, vt = np.linalg.svd(matrices.mean(0))
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


def _slow(values, reach):
    """A Gaussian average over time, ends held: (T, C), reach in frames."""
    n = int(np.ceil(3 * reach))
    kernel = np.exp(-0.5 * (np.arange(-n, n + 1) / reach) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, ((n, n), (0, 0)), mode="edge")
    return np.stack([np.convolve(c, kernel, "valid") for c in padded.T], -1)
