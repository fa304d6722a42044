"""Backgrounds and hard negatives without faces: drawn textures, and portraits with the face taken out."""

from itertools import pairwise

import cv2
import numpy as np

POOL_SIDE = 400


def smooth_noise(rng, size, octaves=5, channels=3):
    """Fractal value noise.

    Returns (size, size, channels) float32 in about 0..1: octaves of random grids, each half as strong.
    """
    total = np.zeros((size, size, channels), np.float32)
    first = rng.integers(1, 4)
    fall = rng.uniform(0.4, 0.9)
    for k in range(octaves):
        n = min(first * 2**k + 1, size)
        grid = rng.random((n, n, channels), np.float32).reshape(n, n, channels) - 0.5
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC).reshape(total.shape) * fall**k
    return total + 0.5


def _color(rng):
    if rng.random() < 0.3:
        return np.full(3, rng.uniform(0, 255)) + rng.normal(0, 8, 3)
    return rng.uniform(0, 255, 3)


def _noise(rng):
    mix = smooth_noise(rng, POOL_SIDE, rng.integers(2, 8), 1)
    a, b = _color(rng), _color(rng)
    image = a + (b - a) * np.clip(mix * rng.uniform(0.6, 2) - rng.uniform(0, 0.5), 0, 1)
    return image + (smooth_noise(rng, POOL_SIDE, 6) - 0.5) * rng.uniform(0, 120)


def _plain(rng):
    y, x = np.mgrid[:POOL_SIDE, :POOL_SIDE].astype(np.float32) / POOL_SIDE - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (x * np.cos(angle) + y * np.sin(angle) + 0.5)[..., None]
    if rng.random() < 0.4:
        ramp = np.sqrt((x - rng.normal(0, 0.3)) ** 2 + (y - rng.normal(0, 0.3)) ** 2)[..., None] * 1.5
    a = _color(rng)
    b = a + rng.normal(0, 40, 3)
    return a + (b - a) * ramp


def _shapes(rng):
    image = np.clip(_plain(rng) if rng.random() < 0.5 else _noise(rng), 0, 255).astype(np.uint8)
    for _ in range(rng.integers(4, 40)):
        color = [int(v) for v in np.clip(_color(rng), 0, 255)]
        at = rng.integers(-20, POOL_SIDE + 20, 2)
        size = np.exp(rng.uniform(np.log(5), np.log(140), 2)).astype(int)
        fill = -1 if rng.random() < 0.7 else int(rng.integers(1, 8))
        kind = rng.integers(4)
        if kind == 0:
            cv2.rectangle(image, at.tolist(), (at + size).tolist(), color, fill, cv2.LINE_AA)
        elif kind == 1:
            cv2.ellipse(
                image,
                at.tolist(),
                (size // 2 + 1).tolist(),
                rng.uniform(0, 180),
                0,
                360,
                color,
                fill,
                cv2.LINE_AA,
            )
        elif kind == 2:
            cv2.line(
                image,
                at.tolist(),
                rng.integers(0, POOL_SIDE, 2).tolist(),
                color,
                int(rng.integers(1, 25)),
                cv2.LINE_AA,
            )
        else:
            corners = at + rng.normal(0, size.mean(), (rng.integers(3, 8), 2))
            cv2.fillPoly(image, [corners.astype(np.int32)], color, cv2.LINE_AA)
    return image


def _stripes(rng):
    y, x = np.mgrid[:POOL_SIDE, :POOL_SIDE].astype(np.float32)
    mix = 1.0
    for _ in range(rng.integers(1, 3)):
        angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(4), np.log(120)))
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period + rng.uniform(0, 6))
        mix = mix * (wave > rng.uniform(-0.8, 0.8) if rng.random() < 0.6 else wave * 0.5 + 0.5)
    a, b = _color(rng), _color(rng)
    return a + (b - a) * np.asarray(mix, np.float32)[..., None] + (smooth_noise(rng, POOL_SIDE) - 0.5) * 50


def _room(rng):
    # Walls, panes and shelves: straight edges in two directions, as behind most talking heads.
    image = np.clip(_plain(rng), 0, 255).astype(np.uint8)
    xs, ys = (np.sort(rng.integers(0, POOL_SIDE, rng.integers(2, 9))) for _ in range(2))
    for x0, x1 in pairwise(xs):
        for y0, y1 in pairwise(ys):
            if rng.random() < 0.6:
                color = [int(v) for v in np.clip(_color(rng), 0, 255)]
                cv2.rectangle(
                    image, (int(x0), int(y0)), (int(x1), int(y1)), color, -1 if rng.random() < 0.7 else 3
                )
    for _ in range(rng.integers(0, 6)):
        at = rng.integers(0, POOL_SIDE, 2).tolist()
        cv2.circle(
            image,
            at,
            int(rng.integers(2, 30)),
            (255, 250, 240) if rng.random() < 0.5 else (90, 70, 40),
            -1,
            cv2.LINE_AA,
        )
    if rng.random() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 12))
    turn = cv2.getRotationMatrix2D((POOL_SIDE / 2, POOL_SIDE / 2), rng.normal(0, 6), 1.1)
    return cv2.warpAffine(image, turn, (POOL_SIDE, POOL_SIDE), borderMode=cv2.BORDER_REPLICATE)


def _text(rng):
    image = np.clip(_plain(rng) if rng.random() < 0.6 else _noise(rng), 0, 255).astype(np.uint8)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:%&#@()OQo80"
    for _ in range(rng.integers(4, 40)):
        word = "".join(rng.choice(list(letters), rng.integers(2, 18)))
        color = [int(v) for v in np.clip(_color(rng), 0, 255)]
        at = rng.integers(-40, POOL_SIDE, 2).tolist()
        cv2.putText(
            image,
            word,
            at,
            int(rng.integers(0, 8)),
            float(np.exp(rng.uniform(-1.2, 1.3))),
            color,
            int(rng.integers(1, 6)),
            cv2.LINE_AA,
        )
    return image


def _hide_face(rng, portrait):
    """A portrait whose face is gone: hair, ears, neck and clothes stay."""
    image, points = portrait.image.copy(), portrait.points
    if image.shape[0] > 200:
        image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        points = (points - 0.5) / 2
    hull = cv2.convexHull(points.astype(np.float32))[:, 0]
    middle = hull.mean(0)
    hull = (hull - middle) * rng.uniform(1.05, 1.3) + middle
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [hull.astype(np.int32)], 255)
    kind = rng.integers(3)
    if kind == 0:
        # Smooth skin without features.
        small = cv2.resize(image, (4, 4), interpolation=cv2.INTER_AREA)
        cover = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
        inside = image[mask > 0].astype(np.float32)
        cover += inside.mean(0) - cover[mask > 0].mean(0) + (smooth_noise(rng, 64, 4)[0, 0] - 0.5) * 20
    elif kind == 1:
        cover = np.broadcast_to(_color(rng), image.shape)
    else:
        y0, x0 = np.maximum(hull.min(0)[::-1].astype(int), 0)
        y1, x1 = hull.max(0)[::-1].astype(int)
        cover = image.copy()
        cover[y0:y1, x0:x1] = _shuffle(rng, image[y0:y1, x0:x1], rng.integers(3, 7))
    alpha = (
        cv2.GaussianBlur(mask, (0, 0), image.shape[0] * rng.uniform(0.005, 0.03)).astype(np.float32)[
            ..., None
        ]
        / 255
    )
    return np.clip(image + (cover - image.astype(np.float32)) * alpha, 0, 255).astype(np.uint8)


def _shuffle(rng, patch, n):
    h, w = patch.shape[0] // n * n, patch.shape[1] // n * n
    if not h or not w:
        return patch
    tiles = (
        patch[:h, :w]
        .reshape(n, h // n, n, w // n, 3)
        .transpose(0, 2, 1, 3, 4)
        .reshape(n * n, h // n, w // n, 3)
    )
    tiles = tiles[rng.permutation(n * n)].reshape(n, n, h // n, w // n, 3).transpose(0, 2, 1, 3, 4)
    out = patch.copy()
    out[:h, :w] = tiles.reshape(h, w, 3)
    return out


def _faceless(rng, portraits):
    image = _hide_face(rng, portraits[rng.integers(len(portraits))])
    return cv2.resize(image, (POOL_SIDE, POOL_SIDE), interpolation=cv2.INTER_LINEAR)


def _surroundings(rng, portraits):
    # Enlarged corners of portraits: cloth, flags, curtains, hair.
    image = np.zeros((POOL_SIDE, POOL_SIDE, 3), np.uint8)
    step = POOL_SIDE // int(rng.integers(1, 4)) + 1
    for y in range(0, POOL_SIDE, step):
        for x in range(0, POOL_SIDE, step):
            portrait = portraits[rng.integers(len(portraits))]
            h, w = portrait.image.shape[:2]
            low, high = portrait.points.min(0), portrait.points.max(0)
            boxes = [
                (0, int(high[1]), w, h),
                (0, 0, int(low[0] - 0.1 * w), h),
                (int(high[0] + 0.1 * w), 0, w, h),
            ]
            boxes = [b for b in boxes if b[2] - b[0] > 12 and b[3] - b[1] > 12]
            if boxes:
                x0, y0, x1, y1 = boxes[rng.integers(len(boxes))]
                part = cv2.resize(portrait.image[y0:y1, x0:x1], (step, step), interpolation=cv2.INTER_LINEAR)
                image[y : y + step, x : x + step] = part[: POOL_SIDE - y, : POOL_SIDE - x]
    return image


def _disc(rng, size, soft):
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    angle, aspect = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    radius = np.sqrt((u / aspect) ** 2 + v**2)
    return np.clip((0.46 - radius) * (size if not soft else 6), 0, 1)


def skin_blob(rng, size):
    """A skin-coloured hard negative: an ellipse, or fingers side by side.

    Returns patch (size, size, 3) and alpha (size, size), float32.
    """
    tone = np.array([1.0, rng.uniform(0.62, 0.85), rng.uniform(0.4, 0.75)]) * rng.uniform(50, 245)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    shade = 1 + rng.uniform(0, 0.9) * (x * np.cos(angle) + y * np.sin(angle))
    patch = tone * shade[..., None] + (smooth_noise(rng, size, 4) - 0.5) * rng.uniform(0, 40)
    if rng.random() < 0.4:
        mask = np.zeros((size, size), np.uint8)
        root = np.array([0.5, 0.75]) * size
        cv2.circle(mask, root.astype(int).tolist(), int(0.22 * size) + 1, 255, -1)
        for a in np.linspace(-0.9, 0.9, rng.integers(2, 6)) + rng.normal(0, 0.1):
            tip = root + np.array([np.sin(a), -np.cos(a)]) * rng.uniform(0.35, 0.7) * size
            cv2.line(mask, root.astype(int).tolist(), tip.astype(int).tolist(), 255, int(0.1 * size) + 1)
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 360), 1)
        alpha = cv2.warpAffine(mask, turn, (size, size)).astype(np.float32) / 255
    else:
        alpha = _disc(rng, size, rng.random() < 0.3)
    if rng.random() < 0.3:
        # One dark feature too few to be a face.
        at = (rng.uniform(0.3, 0.7, 2) * size).astype(int).tolist()
        cv2.ellipse(
            patch, at, (size // 8 + 1, size // 14 + 1), rng.uniform(0, 180), 0, 360, (tone * 0.3).tolist(), -1
        )
    return np.clip(patch, 0, 255).astype(np.float32), alpha.astype(np.float32)


def scramble(rng, portrait, size):
    """A face whose parts are shuffled, or a portrait without its face.

    Returns patch (size, size, 3) and alpha (size, size), float32.
    """
    if rng.random() < 0.5:
        image = _hide_face(rng, portrait)
    else:
        h, w = portrait.image.shape[:2]
        x0, y0 = np.clip(portrait.center - portrait.side / 2, 0, (w - 16, h - 16)).astype(int)
        x1, y1 = np.clip(portrait.center + portrait.side / 2, 16, (w, h)).astype(int)
        image = _shuffle(rng, portrait.image[y0:y1, x0:x1], int(rng.integers(3, 6)))
    patch = cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=cv2.INTER_AREA)
    alpha = np.ones((size, size), np.float32) if rng.random() < 0.5 else _disc(rng, size, True)
    return patch.astype(np.float32), alpha.astype(np.float32)


class BackgroundPool:
    """Backgrounds made once and cut anew at random each time."""

    def __init__(self, portraits, rng, count):
        drawn = (_noise, _plain, _shapes, _stripes, _room, _text)
        shares = np.array([0.12, 0.12, 0.12, 0.06, 0.18, 0.08, 0.2, 0.12])
        self._images = []
        for kind in rng.choice(len(shares), count, p=shares / shares.sum()):
            if kind < len(drawn):
                image = drawn[kind](rng)
            else:
                image = (_faceless, _surroundings)[kind - len(drawn)](rng, portraits)
            self._images.append(np.clip(image, 0, 255).astype(np.uint8))

    def draw(self, rng, height, width):
        """One background, (height, width, 3) uint8, with nothing of a face in it."""
        image = self._images[rng.integers(len(self._images))]
        zoom = np.exp(rng.uniform(np.log(0.8 * max(height, width) / POOL_SIDE), np.log(1.6)))
        angle = rng.normal(0, 12)
        turn = cv2.getRotationMatrix2D(tuple(rng.uniform(0.3, 0.7, 2) * POOL_SIDE), angle, zoom)
        turn[:, 2] += np.array([width, height]) / 2 - POOL_SIDE / 2
        if rng.random() < 0.5:
            turn = turn @ np.array([[-1.0, 0, POOL_SIDE - 1], [0, 1, 0], [0, 0, 1]])
        out = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
        if rng.random() < 0.3:
            order = rng.permutation(3)
            out = np.ascontiguousarray(out[..., order])
        return out
