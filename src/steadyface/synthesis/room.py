"""Rooms as they look out of focus behind someone: walls, windows, shelves, pictures, lamps, plants."""

import cv2
import numpy as np


def draw_room(rng, width, height):
    """A room: (height, width, 3) uint8 RGB, more or less unsharp."""
    wall = _tint(rng, rng.uniform(90, 215), 0.05)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x / width, y / height
    image = np.broadcast_to(wall, (height, width, 3)).astype(np.float32)
    # Light falls off across the wall.
    image = image * (1 + rng.normal(0, 0.25) * (x - 0.5) + rng.uniform(-0.3, 0.1) * (y - 0.5))[..., None]
    canvas = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
    parts = [_window, _shelves, _pictures, _door, _plant, _lamp, _curtain]
    rng.shuffle(parts)
    for part in parts[: rng.integers(1, 5)]:
        part(canvas, rng)
    blur = rng.choice([0.003, 0.008, 0.016]) * rng.uniform(0.8, 1.6) * width
    canvas = cv2.GaussianBlur(canvas, (0, 0), blur)
    grain = cv2.resize(rng.normal(0, 2.5, (height // 3, width // 3)).astype(np.float32), (width, height))
    return np.clip(canvas + grain[..., None], 0, 255).astype(np.uint8)


def _tint(rng, level, strength):
    color = level * (1 + rng.normal(0, strength, 3) + rng.normal(0.02, 0.05) * np.array([1, 0.2, -1]))
    return np.clip(color, 4, 250)


def _fill(canvas, x0, y0, x1, y1, color, thickness=-1):
    cv2.rectangle(canvas, (int(x0), int(y0)), (int(x1), int(y1)), [float(c) for c in color], thickness)


def _box(canvas, rng, wide, high):
    h, w = canvas.shape[:2]
    bw, bh = rng.uniform(*wide) * w, rng.uniform(*high) * h
    return rng.uniform(-0.2 * bw, w - 0.8 * bw), bw, bh


def _window(canvas, rng):
    h, _ = canvas.shape[:2]
    x, bw, bh = _box(canvas, rng, (0.2, 0.5), (0.4, 0.9))
    y = rng.uniform(-0.2, 0.1) * h
    outside = _tint(rng, rng.uniform(190, 250), 0.03)
    _fill(canvas, x, y, x + bw, y + bh, outside)
    ground = _tint(rng, rng.uniform(80, 160), 0.15)
    _fill(canvas, x, y + bh * rng.uniform(0.5, 0.8), x + bw, y + bh, ground)
    frame = _tint(rng, rng.uniform(150, 245), 0.02)
    bars = rng.integers(1, 4)
    for k in range(bars + 1):
        _fill(canvas, x + bw * k / bars - 5, y, x + bw * k / bars + 5, y + bh, frame)
    for v in (0, rng.uniform(0.4, 0.6), 1):
        _fill(canvas, x, y + bh * v - 5, x + bw, y + bh * v + 5, frame)


def _shelves(canvas, rng):
    h, _ = canvas.shape[:2]
    x, bw, _ = _box(canvas, rng, (0.25, 0.6), (0.1, 0.2))
    wood = _tint(rng, rng.uniform(50, 190), 0.06) * np.array([1.05, 0.95, 0.85])
    gap = rng.uniform(0.18, 0.3) * h
    y = rng.uniform(-0.1, 0.1) * h
    _fill(canvas, x - 8, y - gap, x + bw + 8, h, wood * 0.6)
    while y < h:
        at = x
        while at < x + bw:
            if rng.random() < 0.85:
                thick, tall = rng.uniform(6, 24), gap * rng.uniform(0.45, 0.85)
                _fill(canvas, at, y - tall, at + thick, y, _tint(rng, rng.uniform(20, 200), 0.16))
                at += thick + 1
            else:
                at += rng.uniform(10, 50)
        _fill(canvas, x - 8, y, x + bw + 8, y + 9, wood)
        y += gap


def _pictures(canvas, rng):
    h, _ = canvas.shape[:2]
    for _ in range(rng.integers(1, 4)):
        x, bw, bh = _box(canvas, rng, (0.08, 0.25), (0.12, 0.35))
        y = rng.uniform(0, 0.4) * h
        _fill(canvas, x, y, x + bw, y + bh, _tint(rng, rng.choice([25.0, 120, 235]), 0.08))
        _fill(canvas, x + 7, y + 7, x + bw - 7, y + bh - 7, _tint(rng, rng.uniform(120, 240), 0.05))
        for _ in range(3):
            at = (int(x + rng.uniform(0.2, 0.8) * bw), int(y + rng.uniform(0.2, 0.8) * bh))
            reach = (int(0.15 * bw * rng.uniform(0.5, 1.5)) + 1, int(0.15 * bh * rng.uniform(0.5, 1.5)) + 1)
            cv2.ellipse(canvas, at, reach, rng.uniform(0, 180), 0, 360, _list(_tint(rng, 120, 0.2)), -1)


def _door(canvas, rng):
    h, _ = canvas.shape[:2]
    x, bw, _ = _box(canvas, rng, (0.18, 0.3), (0.5, 0.9))
    y = rng.uniform(0.0, 0.2) * h
    color = _tint(rng, rng.uniform(40, 230), 0.06)
    _fill(canvas, x - 10, y - 10, x + bw + 10, h, color * 0.85)
    _fill(canvas, x, y, x + bw, h, color)
    for k in range(2):
        top = y + (0.06 + 0.45 * k) * (h - y)
        _fill(canvas, x + 0.15 * bw, top, x + 0.85 * bw, top + 0.36 * (h - y), color * 0.9, 4)


def _plant(canvas, rng):
    h, w = canvas.shape[:2]
    x, y = rng.uniform(0, 1) * w, rng.uniform(0.5, 0.95) * h
    green = np.array([rng.uniform(20, 80), rng.uniform(70, 130), rng.uniform(20, 60)])
    for _ in range(rng.integers(15, 45)):
        turn, reach = rng.uniform(-1.4, 1.4), rng.uniform(0.1, 0.35) * h
        tip = (int(x + np.sin(turn) * reach), int(y - np.cos(turn) * reach))
        axes = (int(rng.uniform(8, 26)), int(rng.uniform(4, 11)))
        shade = green * rng.uniform(0.5, 1.4)
        cv2.line(canvas, (int(x), int(y)), tip, _list(shade * 0.7), 2)
        cv2.ellipse(canvas, tip, axes, float(np.degrees(turn)) - 90, 0, 360, _list(shade), -1)
    _fill(canvas, x - 30, y - 5, x + 30, y + 60, _tint(rng, rng.uniform(60, 200), 0.15))


def _lamp(canvas, rng):
    h, w = canvas.shape[:2]
    x, y, r = rng.uniform(0, 1) * w, rng.uniform(0.05, 0.5) * h, rng.uniform(0.03, 0.09) * w
    glow = np.zeros((h, w), np.float32)
    cv2.circle(glow, (int(x), int(y)), int(r), 1.0, -1)
    glow = glow + 1.2 * cv2.GaussianBlur(glow, (0, 0), 2.5 * r)
    warm = np.array([255, 226, 180.0])
    canvas[:] = np.clip(canvas + (warm - 0.5 * canvas) * glow[..., None] * 0.8, 0, 255).astype(np.uint8)


def _curtain(canvas, rng):
    w = canvas.shape[1]
    x, bw, _ = _box(canvas, rng, (0.12, 0.4), (1, 1))
    x0, x1 = int(max(x, 0)), int(min(x + bw, w))
    if x1 - x0 < 8:
        return
    t = np.arange(x1 - x0) / w
    fold = 1 + 0.18 * np.sin(2 * np.pi * t * rng.uniform(14, 34) + 2 * np.sin(2 * np.pi * t * 6))
    color = _tint(rng, rng.uniform(40, 210), 0.12)
    canvas[:, x0:x1] = np.clip(color * fold[None, :, None], 0, 255).astype(np.uint8)


def _list(color):
    return [float(c) for c in np.clip(color, 0, 255)]
