"""Draw a tracked face on its frame: shaded mesh, 68 landmarks, head axes, name and confidence."""

import cv2
import numpy as np

from .rasterize import rasterize_colors
from .shade import Lighting, shade, vertex_normals

# The lines of the iBUG-68 mark-up: first point, last point, closed.
_LINES = (
    (0, 16, False),
    (17, 21, False),
    (22, 26, False),
    (27, 30, False),
    (31, 35, False),
    (36, 41, True),
    (42, 47, True),
    (48, 59, True),
    (60, 67, True),
)
# One colour per face, easy to tell apart by most eyes (Okabe and Ito).
_COLORS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0))
# Larger faces are shaded at half the size and enlarged: the mesh is smooth, so nobody sees it.
_FULL_SIZE_PX = 200
# OpenCV's drawing takes 16-bit-safe coordinates; points farther out than this are not drawn.
_FAR_PX = 30000


def draw_overlay(
    image,
    vertices,
    triangles,
    landmarks68,
    rotation,
    origin,
    scale,
    face_id=0,
    confidence=None,
    mesh_opacity=0.45,
):
    """Draw one face on the image, in place.

    image: (H, W, 3) uint8 RGB, contiguous. vertices: (V, 3) pixels + depth in pixels; triangles: (F, 3);
    landmarks68: (68, 2+) pixels; rotation: (3, 3) of the head; origin: (2,) pixels, the projection of the
    model's origin; scale: px/mm. face_id: number that picks the colour and is written beside the head
    with the confidence (0..1) if given. mesh_opacity: 0 draws no mesh. Parts outside the image are
    clipped. Returns the image.
    """
    if not (np.isfinite(vertices).all() and np.isfinite(landmarks68).all()) or min(image.shape[:2]) == 0:
        return image
    color = _COLORS[face_id % len(_COLORS)]
    if mesh_opacity > 0:
        draw_mesh(image, vertices, triangles, color, mesh_opacity)
    draw_landmarks(image, landmarks68, color, scale)
    draw_axes(image, rotation, origin, scale)
    text = f"face {face_id}" if confidence is None else f"face {face_id}  {100 * confidence:.0f} %"
    low, high = vertices[:, :2].min(0), vertices[:, :2].max(0)
    draw_label(image, text, ((low[0] + high[0]) / 2, low[1]), color, high[0] - low[0])
    return image


def draw_mesh(image, vertices, triangles, color, opacity):
    """Blend the lit mesh over the image, in place; arguments as `draw_overlay`."""
    height, width = image.shape[:2]
    low = np.clip(np.floor(vertices[:, :2].min(0)), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(vertices[:, :2].max(0)) + 1, 0, [width, height]).astype(int)
    if (high <= low).any():
        return image
    w, h = high - low
    step = max(1, int(np.ceil(max(w, h) / _FULL_SIZE_PX)))
    size = (int(np.ceil(h / step)), int(np.ceil(w / step)))
    points = vertices.astype(np.float32).copy()
    points[:, :2] = (points[:, :2] - low + 0.5) / step - 0.5
    normals = vertex_normals(points * np.array([1, 1, 1 / step], np.float32), triangles)
    lit = shade(np.full((len(points), 3), 0.85) * np.array(color) / 255, normals, Lighting(specular=0.15))
    colors, mask = rasterize_colors(points, triangles, np.clip(lit, 0, 1), size, cull=True)
    patch = image[low[1] : high[1], low[0] : high[0]]
    grown, alpha = colors * np.float32(255 * opacity), mask.astype(np.float32) * np.float32(opacity)
    if step > 1:
        full = (size[1] * step, size[0] * step)
        grown = cv2.resize(grown, full, interpolation=cv2.INTER_LINEAR)[:h, :w]
        alpha = cv2.resize(alpha, full, interpolation=cv2.INTER_LINEAR)[:h, :w]
    # Premultiplied colours, so that the enlarged edge fades instead of darkening.
    keep = cv2.merge([np.float32(1) - alpha] * 3)
    blended = cv2.add(cv2.multiply(patch, keep, dtype=cv2.CV_32F), grown)
    patch[:] = cv2.convertScaleAbs(blended)
    return image


def draw_landmarks(image, landmarks68, color, scale):
    """Draw the iBUG-68 points and their lines, in place. scale: px/mm, for the size of the dots."""
    points = np.asarray(landmarks68)[:, :2]
    if np.abs(points).max() > _FAR_PX:
        return image
    fixed = np.rint(points * 16).astype(np.int32)
    thin = max(1, round(0.4 * scale))
    for first, last, closed in _LINES:
        line = [fixed[first : last + 1, None]]
        cv2.polylines(image, line, closed, color, thin, cv2.LINE_AA, shift=4)
    radius = int(16 * np.clip(0.9 * scale, 0.8, 6))
    for x, y in fixed:
        cv2.circle(image, (int(x), int(y)), radius, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
    return image


def draw_axes(image, rotation, origin, scale, length_mm=60.0):
    """Draw the head's axes from the origin, in place: subject's left red, down green, gaze ahead blue."""
    axes = np.asarray(rotation) * np.array([1, 1, -1])  # the face looks along the model's -z
    start = np.asarray(origin, float)
    ends = start + scale * length_mm * axes[:2].T
    if not np.isfinite(ends).all() or max(np.abs(ends).max(), np.abs(start).max()) > _FAR_PX:
        return image
    thick = max(1, round(0.8 * scale))
    # Farthest first, so that the nearest axis lies on top.
    for k in np.argsort(-axes[2]):
        color = ((235, 70, 60), (70, 200, 80), (70, 110, 255))[k]
        a, b = (tuple(int(v) for v in np.rint(16 * p)) for p in (start, ends[k]))
        cv2.line(image, a, b, color, thick, cv2.LINE_AA, shift=4)
    return image


def draw_label(image, text, above, color, face_width):
    """Write a text in a dark box centred above a point (2,), kept inside the image, in place."""
    height, width = image.shape[:2]
    size = float(np.clip(face_width / 260, 0.35, 2.0))
    thick = max(1, round(1.6 * size))
    (w, h), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    if w + 8 > width or h + base + 8 > height:
        return image
    x = int(np.clip(above[0] - w / 2, 4, width - w - 4))
    y = int(np.clip(above[1] - 6 - base, h + 4, height - base - 4))
    box = image[y - h - 4 : y + base + 4, x - 4 : x + w + 4]
    box[:] = box // 3
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, thick, cv2.LINE_AA)
    return image
