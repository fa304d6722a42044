"""A head with a known texture, turned before a camera, and its pictures."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np

from steadyface.render.textured import render_textured
from steadyface.track import Track

SIZE = (160, 176)
BACKGROUND = np.array([30, 200, 60], np.uint8)


def textured(tiny_model):
    """The tiny model with texture coordinates that are cut at the back of the head."""
    rows, columns = 20, 20
    # Corners on the cut are double. Column 0 looks into the camera and shall lie in the middle.
    order = (np.arange(columns) + columns // 2) % columns
    column = np.tile(order, rows)
    line = np.repeat(np.arange(rows), columns)
    corners = column[tiny_model.triangles]
    corners = np.where((corners == 0) & (corners.max(1, keepdims=True) == columns - 1), columns, corners)
    u, v = np.meshgrid((np.arange(columns + 1) + 1) / (columns + 1), (np.arange(rows) + 0.5) / rows)
    uv_triangles = line[tiny_model.triangles] * (columns + 1) + corners
    uv = np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)
    return replace(tiny_model, uv=uv, uv_triangles=uv_triangles)


def turning(model, yaw, focal=500.0):
    """A `Track` of the model turning: yaw (T,) radians; focal: None for weak perspective."""
    t = len(yaw)
    scale = np.full(t, 0.7)
    return Track(
        frame_index=np.arange(t),
        time_s=np.arange(t) / 25,
        rotation=np.column_stack([np.zeros(t), yaw, np.zeros(t)]),
        translation=np.column_stack([np.zeros(t), np.full(t, -20.0), (focal or 500.0) / scale]),
        scale=scale,
        center=np.array([79.5, 87.5]),
        identity=np.zeros(model.identity_count),
        expression=np.zeros((t, model.expression_count)),
        sigma=np.ones((t, 68)),
        confidence=np.ones(t),
        image_size=SIZE,
        fps=25.0,
        model=model,
        focal=focal,
    )


def pattern(size, seed=0):
    """Smooth blotches and fine lines, left and right different: (size, size, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 220, (8, 8, 3)).astype(np.float32)
    image = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)


def pictures(track, color, uv, irradiance=None):
    """Frames (T) of uint8 (H, W, 3): the head of a texture before a green background."""
    frames = []
    for row in range(len(track)):
        image, _ = render_textured(track, row, SimpleNamespace(color=color, uv=uv), irradiance=irradiance)
        there = image.any(-1, keepdims=True)
        frames.append(np.where(there, np.rint(image), BACKGROUND).astype(np.uint8))
    return frames
