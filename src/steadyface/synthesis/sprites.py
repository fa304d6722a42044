"""Pictures of what people hold before their faces: a hand, a microphone, a cup; reliefs of capsules."""

from dataclasses import dataclass, field

import cv2
import numpy as np

#: Pixels a millimetre.
DENSITY = 1.6
_LAMP = np.array([-0.35, -0.55, 0.76], np.float32)


@dataclass(frozen=True)
class Sprite:
    """A flat picture: color (h, w, 3) and alpha (h, w), uint8; origin: (2,) px, the point that is placed."""

    color: np.ndarray = field(repr=False)
    alpha: np.ndarray = field(repr=False)
    origin: np.ndarray


class _Relief:
    """A height field in millimetres with colours, built up from rounded parts. size: (width, height) mm."""

    def __init__(self, size, origin):
        w, h = (round(n * DENSITY) for n in size)
        self.origin = np.asarray(origin, float)
        y, x = np.mgrid[:h, :w].astype(np.float32) / DENSITY
        self.x, self.y = x - origin[0], y - origin[1]
        self.height = np.full((h, w), -50, np.float32)
        self.color = np.zeros((h, w, 3), np.float32)
        self.alpha = np.zeros((h, w), np.float32)

    def box(self, low, high):
        """Slices of the pixels from low to high (2,) mm."""
        h, w = self.height.shape
        x0, y0 = np.clip(np.floor((low + self.origin) * DENSITY).astype(int) - 2, 0, [w, h])
        x1, y1 = np.clip(np.ceil((high + self.origin) * DENSITY).astype(int) + 3, 0, [w, h])
        return slice(y0, y1), slice(x0, x1)

    def capsule(self, a, b, r0, r1, color, lift=0.0):
        """A rod from a to b (2,) mm with radii r0 and r1; color: (3,) or (h, w, 3)."""
        a, b = np.asarray(a, float), np.asarray(b, float)
        d, reach = b - a, max(r0, r1)
        place = self.box(np.minimum(a, b) - reach, np.maximum(a, b) + reach)
        x, y = self.x[place], self.y[place]
        t = np.clip(((x - a[0]) * d[0] + (y - a[1]) * d[1]) / max(float(d @ d), 1e-12), 0, 1)
        away = np.hypot(x - (a[0] + t * d[0]), y - (a[1] + t * d[1]))
        r = r0 + (r1 - r0) * t
        inside = np.clip((r - away) * DENSITY + 0.5, 0, 1)
        height = np.sqrt(np.maximum(r * r - away * away, 0)) + lift
        over = (inside > 0) & (height > self.height[place] - 0.5)
        color = np.asarray(color)
        self.color[place][over] = color[place][over] if color.ndim == 3 else color
        self.height[place] = np.where(inside > 0, np.maximum(self.height[place], height), self.height[place])
        self.alpha[place] = np.maximum(self.alpha[place], inside)

    def finish(self, ambient=0.55, blur=1.0):
        """Lit from above: a `Sprite`."""
        low = np.where(self.alpha > 0, self.height, self.height[self.alpha > 0].min())
        smooth = cv2.GaussianBlur(low, (0, 0), 0.9 * DENSITY)
        gy, gx = np.gradient(smooth * DENSITY)
        normal = np.stack([-gx, -gy, np.ones_like(gx)], -1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        # Valleys between fingers are dark.
        hollow = np.clip((cv2.GaussianBlur(smooth, (0, 0), 5 * DENSITY) - smooth) / 9, 0, 0.5)
        light = ambient + (1.1 - ambient) * np.clip(normal @ _LAMP, 0, 1) - 0.7 * hollow
        color = cv2.GaussianBlur(self.color, (0, 0), blur) if blur else self.color
        color = np.where(self.alpha[..., None] > 0, color, 0) * light[..., None]
        return Sprite(
            np.clip(color, 0, 255).astype(np.uint8),
            np.rint(255 * self.alpha).astype(np.uint8),
            self.origin * DENSITY,
        )


def _skin(relief, tone, rng):
    """Uneven, a little redder than the face, in the relief's size."""
    h, w = relief.height.shape
    noise = cv2.resize(rng.normal(0, 0.04, (h // 24, w // 24)).astype(np.float32), (w, h))
    fine = cv2.GaussianBlur(rng.normal(0, 0.06, (h, w)).astype(np.float32), (0, 0), 1.2)
    return np.asarray(tone) * np.array([0.96, 0.92, 0.91]) * (1 + noise + fine)[..., None]


def _finger(relief, base, angle, length, radius, skin, rng, dorsal, lift=0.0):
    """A finger of three phalanges, slightly bent, with creases (and a nail if seen from the back)."""
    at, turn = np.asarray(base, float), angle
    bend = rng.normal(0, 0.07)
    for k, share in enumerate((0.45, 0.3, 0.25)):
        step = share * length * np.array([np.sin(turn), -np.cos(turn)])
        r0, r1 = radius * (1 - 0.07 * k), radius * (1 - 0.07 * (k + 1))
        relief.capsule(at, at + step, r0, r1, skin, lift)
        if k:
            # A crease across each joint.
            place, along, aside = _about(relief, at, turn, 2 * radius)
            line = sum(np.exp(-(((along - shift) / 0.7) ** 2)) for shift in (-1.6, 1.6))
            relief.color[place] *= 1 - (0.16 * line * np.exp(-((aside / r0) ** 4)))[..., None]
        at, turn = at + step, turn + bend
    if dorsal:
        tip = at - 0.06 * length * np.array([np.sin(turn), -np.cos(turn)])
        place, along, aside = _about(relief, tip, turn, 2 * radius)
        nail = np.clip(3 - 3 * ((along / 6.5) ** 4 + (aside / (0.68 * radius)) ** 4), 0, 1)[..., None]
        relief.color[place] += nail * (np.array([26, 18, 18]) + 0.05 * relief.color[place])
    return at


def _about(relief, at, turn, reach):
    """The pixels about a point: slices, and how far along and aside of a direction they lie, mm."""
    place = relief.box(at - reach, at + reach)
    x, y = relief.x[place] - at[0], relief.y[place] - at[1]
    return place, x * np.sin(turn) - y * np.cos(turn), x * np.cos(turn) + y * np.sin(turn)


def _arm(relief, wrist, elbow, skin, sleeve, rng):
    wrist, elbow = np.asarray(wrist, float), np.asarray(elbow, float)
    cuff = wrist + rng.uniform(0.15, 0.5) * (elbow - wrist)
    relief.capsule(wrist, elbow, 27, 36, skin, lift=-8)
    h, w = relief.height.shape
    fold = cv2.resize(rng.normal(0, 0.12, (h // 20, w // 12)).astype(np.float32), (w, h))
    relief.capsule(cuff, elbow, 38, 50, np.asarray(sleeve) * (1 + fold)[..., None], lift=-6)


def hand(tone, sleeve, rng):
    """An open hand with its forearm, fingers up: a `Sprite` placed by the middle of the fingers."""
    relief = _Relief((330, 520), (165, 130))
    skin = _skin(relief, tone, rng)
    dorsal, spread = rng.random() < 0.5, rng.uniform(0.3, 1.3)
    _arm(relief, (0, 150), (rng.normal(0, 30), 420), skin, sleeve, rng)
    bases = np.array([(-33, 52), (-11.5, 46), (11, 48), (31, 58)], float)
    for base in bases:
        relief.capsule((0.45 * base[0], 140), base, 17, 12.5, skin, lift=-3)
    # The ball of the thumb.
    relief.capsule((-18, 120), (-34, 92), 20, 17, skin, lift=-2)
    angles = np.array([-0.2, -0.05, 0.07, 0.24]) * spread + rng.normal(0, 0.04, 4)
    lengths = np.array([72, 82, 76, 60]) * rng.uniform(0.72, 1.0)
    for base, angle, length, radius in zip(bases, angles, lengths, (9.6, 9.9, 9.4, 8.4), strict=True):
        _finger(relief, base, angle, length, radius, skin, rng, dorsal)
    _finger(relief, (-38, 96), -0.75 * rng.uniform(0.6, 1.2), 62, 11, skin, rng, dorsal, lift=3)
    return relief.finish()


def _fist(relief, at, skin, rng, grip=1.0):
    """Four fingers around something upright at (2,) mm, the thumb along it."""
    x, y = at
    relief.capsule((x + 26 * grip, y - 20), (x + 30 * grip, y + 48), 20, 24, skin, lift=-6)
    for k in range(4):
        high = y - 27 + 19 * k
        relief.capsule((x + 28, high + 3), (x - 20 + 2 * k, high), 11, 9.6, skin, lift=7)
    relief.capsule((x + 26, y - 30), (x + 3, y - 46), 12, 10, skin, lift=9)
    return x + 34, y + 45


def microphone(tone, sleeve, rng):
    """A microphone in a fist: a `Sprite` placed by the middle of its head."""
    relief = _Relief((300, 480), (110, 45))
    skin = _skin(relief, tone, rng)
    metal = np.full(3, rng.uniform(25, 70))
    wrist = (54, 150)
    _arm(relief, wrist, (rng.uniform(60, 150), 400), skin, sleeve, rng)
    relief.capsule((0, 10), (8, 200), 17, 12, metal)
    head = np.full(3, rng.uniform(35, 150)) if rng.random() < 0.8 else rng.uniform(30, 220, 3)
    mesh = 1 + 0.22 * np.sin(relief.x * 2.6) * np.sin(relief.y * 2.6)
    r = rng.uniform(23, 30)
    relief.capsule((0, -2), (0, 2), r, r, head * mesh[..., None], lift=1)
    relief.capsule((-16, r - 1), (16, r), 3.2, 3.2, metal * 1.6, lift=18)
    wrist = _fist(relief, (6, 112), skin, rng)
    relief.capsule(wrist, (wrist[0] + 8, wrist[1] + 40), 26, 27, skin, lift=-8)
    return relief.finish()


def cup(tone, sleeve, rng):
    """A cup in a hand: a `Sprite` placed by the middle of its rim."""
    relief = _Relief((330, 460), (120, 30))
    skin = _skin(relief, tone, rng)
    wide, tall = rng.uniform(37, 44), rng.uniform(82, 105)
    color = rng.uniform(30, 240, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(200, 245))
    _arm(relief, (72, 110), (rng.uniform(90, 170), 400), skin, sleeve, rng)
    band = np.where((np.abs(relief.y - 0.5 * tall) < rng.uniform(0, 18))[..., None], 0.7 * color + 40, color)
    for y in np.linspace(6, tall, 24):
        relief.capsule((-wide + 14, y), (wide - 14, y), 14, 14, band)
    body = (np.abs(relief.x) < wide) & (relief.y > 0) & (relief.y < tall + 8)
    relief.height = np.where(body, np.sqrt(np.maximum(wide**2 - relief.x**2, 0)), relief.height)
    rim = (relief.x / wide) ** 2 + (relief.y / 7) ** 2
    relief.color = np.where((rim < 1)[..., None], color * 0.45, relief.color)
    relief.color = np.where((np.abs(rim - 1) < 0.16)[..., None], np.minimum(color * 1.15, 250), relief.color)
    relief.alpha = np.maximum(relief.alpha, np.clip((1.12 - rim) * 8, 0, 1))
    wrist = _fist(relief, (wide - 2, 52), skin, rng)
    relief.capsule(wrist, (wrist[0] + 12, wrist[1] + 40), 26, 27, skin, lift=-8)
    return relief.finish()
