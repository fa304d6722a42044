"""Things drawn in front of a face in one picture, placed by the head's pose: hats, hair, hands, masks."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..face_model.mediapipe import CHIN, LEFT_OVAL, RIGHT_OVAL
from .picture import PICTURE_MARGIN

# MediaPipe points of the mask's outline: down one cheek, under the chin, up the other, over the nose.
_MASK = (*RIGHT_OVAL[7:], CHIN, *reversed(LEFT_OVAL[7:]), 454, 347, 330, 6, 101, 118, 234)


@dataclass(frozen=True)
class HeadPlacement:
    """Where a head is in a picture: everything needed to draw on or before it.

    rotation: (3, 3); scale: px/mm; translation: (2,) px, the image of the model's origin; points478: (478, 3)
    mm, the face's MediaPipe points in the model frame.
    """

    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    points478: np.ndarray

    @classmethod
    def in_picture(cls, rotation, scale, translation, points478, size):
        """Of a cached picture of `size` pixels; pose in crop coordinates."""
        unit = size / PICTURE_MARGIN
        return cls(
            np.asarray(rotation), scale * unit, np.asarray(translation) * unit + (size - 1) / 2, points478
        )

    def project(self, points):
        """points: (N, 3) mm, model frame. Returns (N, 2) px."""
        return self.scale * (np.asarray(points) @ self.rotation.T)[:, :2] + self.translation

    @property
    def yaw(self):
        """Radians, positive to the subject's left."""
        return float(-np.arctan2(self.rotation[0, 2], self.rotation[2, 2]))


def blend(image, color, alpha):
    """Lay a colour or picture over an image, in place.

    image: (h, w, 3) uint8; color: (3,) or (h, w, 3); alpha: (h, w) in 0..1.
    """
    a = alpha[..., None]
    image[:] = np.clip(image * (1 - a) + np.asarray(color, np.float32) * a + 0.5, 0, 255).astype(np.uint8)
    return image


def _polygon(shape, points, soft=0.0):
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(
        mask, [np.rint(np.clip(points, -4000, 4000) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4
    )
    mask = mask.astype(np.float32) / 255
    return cv2.GaussianBlur(mask, (0, 0), soft) if soft > 0.3 else mask


def _stroke(shape, points, width):
    mask = np.zeros(shape[:2], np.uint8)
    fixed = np.rint(np.clip(points, -4000, 4000) * 16).astype(np.int32)
    cv2.polylines(mask, [fixed], False, 255, max(1, round(width)), cv2.LINE_AA, shift=4)
    alpha = mask.astype(np.float32) / 255
    return alpha * min(1.0, width) if width < 1 else alpha


def add_hat(image, head, rng):
    """A cap, hat, hood or scarf above the brows, in place."""
    top = head.points478[10]
    level = top[1] + rng.uniform(-28, 8)
    color = rng.uniform(0, 255, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(5, 230))
    angle = np.linspace(0, 2 * np.pi, 25)[:-1]

    def ring(radius, y, lean=0.0):
        x, z = radius * np.cos(angle), 70 + 1.15 * radius * np.sin(angle)
        return head.project(np.column_stack([x, y + lean * z, z]))

    lean = rng.normal(0.05, 0.06)
    height = rng.uniform(60, 110)
    crown = np.concatenate([ring(86, level, lean), ring(rng.uniform(45, 84), level - height, lean)])
    alpha = _polygon(image.shape, cv2.convexHull(crown.astype(np.float32))[:, 0], 0.5)
    blend(image, _cloth(rng, image.shape, color), alpha)
    kind = rng.integers(3)
    if kind == 0:
        brim = ring(rng.uniform(105, 150), level + 4, lean)
        blend(image, color * 0.7, _polygon(image.shape, cv2.convexHull(brim.astype(np.float32))[:, 0], 0.5))
    elif kind == 1:
        visor = np.linspace(-1.1, 1.1, 9)
        reach = rng.uniform(40, 75)
        edge = np.column_stack(
            [80 * np.sin(visor), np.full(9, level + 12.0), 70 - (88 + reach) * np.cos(visor)]
        )
        back = np.column_stack([80 * np.sin(visor), np.full(9, level + 2.0), 70 - 88 * np.cos(visor)])
        blend(
            image, color * 0.8, _polygon(image.shape, head.project(np.concatenate([edge, back[::-1]])), 0.4)
        )
    return image


def _cloth(rng, shape, color):
    h, w = shape[:2]
    coarse = rng.normal(0, 0.15, (6, 6)).astype(np.float32)
    shade = 1 + cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC) + rng.normal(0, 0.04, (h, w))
    return np.clip(shade[..., None] * color, 0, 255).astype(np.float32)


def hair_texture(rng, shape, color, direction):
    """Streaks of hair along a direction (radians): (h, w, 3) float32."""
    h, w = shape[:2]
    n = max(h, w)
    noise = cv2.resize(
        rng.normal(0, 1, (max(n // 16, 2), n)).astype(np.float32), (n, n), interpolation=cv2.INTER_CUBIC
    )
    turn = cv2.getRotationMatrix2D((n / 2, n / 2), 90 - np.degrees(direction), 1.45)
    streaks = cv2.warpAffine(noise, turn, (n, n), borderMode=cv2.BORDER_REFLECT)[:h, :w]
    return np.clip(np.asarray(color) * (1 + 0.16 * streaks)[..., None], 0, 255).astype(np.float32)


def hair_color(rng):
    """(3,) 0..255: black, brown, blond, red or grey."""
    base = (
        (18, 15, 14),
        (45, 30, 22),
        (85, 58, 38),
        (150, 115, 70),
        (120, 60, 30),
        (150, 150, 150),
        (215, 212, 208),
    )
    share = (0.3, 0.22, 0.14, 0.1, 0.06, 0.1, 0.08)
    return np.array(base[rng.choice(len(base), p=share)]) * rng.uniform(0.7, 1.25)


def add_hair(image, head, rng, color=None):
    """Long hair down one or both sides of the face, or a fringe over the forehead, in place."""
    color = hair_color(rng) if color is None else color
    sides = [(-1,), (1,), (-1, 1)][rng.choice(3, p=[0.2, 0.2, 0.6])]
    contour = head.points478
    for side in sides:
        cheek = contour[454 if side > 0 else 234]
        if side * head.yaw > 0.5:
            continue  # that side is out of sight
        inset = rng.uniform(-4, 16)
        y = np.linspace(-95, rng.uniform(70, 170), 9)
        wave = rng.normal(0, 3, 9)
        inner = np.column_stack([side * (abs(cheek[0]) - inset) + wave, y, np.full(9, cheek[2] - 25)])
        inner[0, 0] *= 0.4
        outer = np.column_stack(
            [side * (abs(cheek[0]) + rng.uniform(15, 40)) + wave, y, np.full(9, cheek[2] + 10)]
        )
        outer[0, 0] *= 0.5
        strip = head.project(np.concatenate([inner, outer[::-1]]))
        texture = hair_texture(rng, image.shape, color, np.pi / 2 + rng.normal(0, 0.15))
        blend(image, texture, _polygon(image.shape, strip, 0.7))
    if rng.random() < 0.5:
        top = contour[10]
        x = np.linspace(-68, 68, 13)
        low = top[1] + rng.uniform(5, 32) + rng.normal(0, 4, 13) - 0.004 * x**2 * rng.uniform(-1, 2)
        z = top[2] + 0.009 * x**2 - 6
        edge = np.column_stack([x, low, z])
        back = np.column_stack([x[::-1] * 0.8, np.full(13, top[1] - 38.0), np.full(13, top[2] + 25.0)])
        fringe = head.project(np.concatenate([edge, back]))
        texture = hair_texture(rng, image.shape, color, np.pi / 2 + rng.normal(0, 0.4))
        blend(image, texture, _polygon(image.shape, fringe, 0.6))
    return image


def add_hand(image, head, rng):
    """Fingers or a fist before the lower face or the cheek, in place."""
    target = head.project(head.points478[[rng.choice([152, 14, 50, 280, 1, 107])]])[0]
    mm = head.scale
    tone = np.array([1.0, rng.uniform(0.65, 0.82), rng.uniform(0.45, 0.7)]) * rng.uniform(50, 240)
    direction = rng.uniform(-0.6, 0.6) + (np.pi / 2)
    along = np.array([np.cos(direction), np.sin(direction)])
    across = np.array([-along[1], along[0]])
    mask = np.zeros(image.shape[:2], np.uint8)
    shade = np.ones(image.shape[:2], np.float32)
    start = target + rng.normal(0, 8, 2) * mm
    for k in range(rng.integers(1, 5)):
        tip = start + across * k * 19 * mm - along * rng.uniform(-8, 8) * mm
        end = tip + along * 75 * mm
        a, b = (np.clip(np.rint(p * 16), -30000, 30000).astype(int).tolist() for p in (tip, end))
        cv2.line(mask, a, b, 255, max(2, int(18 * mm)), cv2.LINE_AA, shift=4)
        cv2.line(shade, a, b, 1 - 0.08 * k, max(2, int(12 * mm)), cv2.LINE_AA, shift=4)
    palm = start + along * 85 * mm + across * 25 * mm
    cv2.circle(
        mask, tuple(int(v) for v in np.clip(palm, -3000, 3000)), max(2, int(42 * mm)), 255, -1, cv2.LINE_AA
    )
    edge = cv2.GaussianBlur(mask, (0, 0), 3 * mm + 0.5).astype(np.float32) / 255
    return blend(image, tone * (shade * (0.55 + 0.45 * edge))[..., None], mask.astype(np.float32) / 255)


def add_microphone(image, head, rng):
    """A microphone before the mouth or chin, in place."""
    mm = head.scale
    mouth = (
        head.project(head.points478[[14]])[0]
        + rng.normal(0, 14, 2) * mm
        + np.array([0, rng.uniform(0, 30)]) * mm
    )
    angle = rng.uniform(0.2, np.pi - 0.2)
    end = mouth + 200 * mm * np.array([np.cos(angle), np.sin(angle)])
    color = np.full(3, rng.uniform(10, 90))
    blend(image, color * 0.8, _stroke(image.shape, np.array([mouth, end]), rng.uniform(5, 22) * mm))
    circle = np.linspace(0, 2 * np.pi, 25)[:-1]
    head_ring = mouth + rng.uniform(14, 26) * mm * np.column_stack([np.cos(circle), np.sin(circle)])
    ball = _cloth(rng, image.shape, color if rng.random() < 0.7 else rng.uniform(0, 255, 3))
    return blend(image, ball, _polygon(image.shape, head_ring, 0.4))


def add_mask(image, head, rng):
    """A surgical mask over mouth and nose, in place."""
    ring = head.project(head.points478[list(_MASK)])
    color = np.array(((170, 200, 220), (235, 235, 235), (30, 30, 35))[rng.integers(3)]) * rng.uniform(
        0.7, 1.05
    )
    return blend(image, _cloth(rng, image.shape, color), _polygon(image.shape, ring, 0.5))


def add_patch(image, head, rng):
    """A plain or noisy shape anywhere over the head, in place."""
    center = head.project(head.points478[[rng.integers(468)]])[0]
    n = rng.integers(3, 8)
    angle = np.sort(rng.uniform(0, 2 * np.pi, n))
    size = rng.uniform(15, 45) * head.scale
    corners = center + size * rng.uniform(0.6, 1.4, (n, 1)) * np.column_stack([np.cos(angle), np.sin(angle)])
    return blend(
        image,
        _cloth(rng, image.shape, rng.uniform(0, 255, 3)),
        _polygon(image.shape, corners, rng.uniform(0, 2)),
    )


#: What may stand before a face, and how often among occlusions.
OCCLUDERS = (
    (add_hair, 0.2),
    (add_hat, 0.14),
    (add_hand, 0.12),
    (add_microphone, 0.08),
    (add_mask, 0.03),
    (add_patch, 0.07),
)
