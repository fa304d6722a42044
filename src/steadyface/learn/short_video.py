"""3D-aided short-video synthesis: n adjacent frames with their labels from one still (3DDFA_V2, sec. 2.4).

x'_j = (M o P)(x_j) with x_j = (T o F)(x_{j-1}): F turns the head a little out of the plane (face
profiling), T moves it in the plane (eq. 8), P adds noise and M motion blur along the motion.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..rotation import euler_from_matrix, matrix_from_euler
from .augment import View, draw_view, view_labels, view_pixels
from .parameters import join, pose_from_similarity, similarity_from_pose, split
from .photograph import crop_pose, take_apart


@dataclass(frozen=True)
class ShortVideoConfig:
    """How far adjacent frames differ: standard deviations of the drift per frame, in the paper's symbols."""

    scale: float = 0.02
    """Delta s, logarithm."""
    roll_deg: float = 2.0
    """Delta theta."""
    shift: float = 0.015
    """Delta t, crop sides."""
    yaw_deg: float = 4.0
    """Delta phi."""
    pitch_deg: float = 2.0
    """Delta gamma."""
    shake: float = 0.25
    """Share of the motion that is not a steady drift."""
    noise: float = 4.0
    """Largest sigma of the noise, grey levels."""
    blur: float = 1.0
    """How much of its motion to the next frame a frame is blurred by, at most."""


def short_video(
    picture,
    params,
    landmarks,
    n,
    rng,
    flip_index,
    head,
    *,
    out_of_plane=False,
    size=120,
    config=None,
    augment=None,
):
    """n adjacent frames of a cached picture.

    picture: (160, 160, 3) uint8 of the cache with its params (P,) and landmarks (478, 2) in crop units;
    flip_index: as `mediapipe_flip_index`; head: `Head`, whose model the labels belong to; out_of_plane: also
    turn the head (some 10 ms a frame); augment: `AugmentConfig` of the first frame's view, None: the crop
    itself, unmirrored. Returns images (n, size, size, 3) uint8, params (n, P), landmarks (n, 478, 2). The
    first frame is the still in that view, without noise or blur.
    """
    config = config or ShortVideoConfig()
    first = draw_view(rng, augment) if augment else View(False, 1.0, 0.0, np.zeros(2))
    views = in_plane(first, n, rng, config)
    pictures, rows, points = [picture] * n, np.repeat(params[None], n, 0), np.repeat(landmarks[None], n, 0)
    if out_of_plane:
        pictures, rows, points = turned_frames(picture, params, landmarks, n, rng, head, config)
    rows, points = view_labels(rows, points, views, head.model, flip_index)
    images = np.empty((n, size, size, 3), np.uint8)
    for j, view in enumerate(views):
        images[j] = view_pixels(pictures[j], view, size)
        if j:
            # The landmarks' mean motion is the face's, whether in the plane or out of it.
            motion = np.nanmean(points[j] - points[j - 1], 0) * size
            images[j] = noise(motion_blur(images[j], config.blur * rng.random() * motion), rng, config)
    return images, rows, points


def in_plane(first, n, rng, config):
    """n views that drift smoothly from the first, with a little shake (eq. 8)."""
    drift = rng.standard_normal(4)
    views = [first]
    for _ in range(1, n):
        size, roll, x, y = drift + config.shake * rng.standard_normal(4)
        last = views[-1]
        views.append(
            View(
                first.mirrored,
                last.scale * float(np.exp(config.scale * size)),
                last.roll + float(np.radians(config.roll_deg * roll)),
                last.shift + config.shift * np.array([x, y]),
            )
        )
    return views


def turned_frames(picture, params, landmarks, n, rng, head, config):
    """The still and n - 1 pictures of its head turned further and further (face profiling).

    Returns n pictures, params (n, P) and landmarks (n, 478, 2) in units of each one's own crop. The measured
    landmarks of the still keep their difference from the model's, turned along.
    """
    similarity, identity, expression = split(params, head.model.identity_count)
    rotation, scale, translation = pose_from_similarity(similarity)
    photograph = take_apart(head, picture, rotation, float(scale), translation, identity, expression)
    shape = head.model.landmarks("mediapipe478")(identity, expression)
    residual = landmarks - (scale * (shape @ rotation.T)[:, :2] + translation)
    angles = euler_from_matrix(rotation)
    drift = rng.standard_normal(2) * np.radians([config.pitch_deg, config.yaw_deg])
    # Far to the side it turns back rather than away, where less and less of it was photographed.
    drift[1] *= -np.sign(angles[1]) if abs(angles[1]) > 1.2 and drift[1] * angles[1] > 0 else 1
    pictures, rows, points = [picture], [params], [landmarks]
    for _ in range(1, n):
        shake = config.shake * rng.standard_normal(2) * np.radians([config.pitch_deg, config.yaw_deg])
        angles = angles + np.array([*(drift + shake), 0])
        turned, new_scale, new_translation = crop_pose(matrix_from_euler(angles))
        pictures.append(photograph.render(turned, expression, rng))
        rows.append(join(similarity_from_pose(turned, new_scale, new_translation), identity, expression))
        points.append(new_scale * (shape @ turned.T)[:, :2] + new_translation + residual)
    return pictures, np.stack(rows).astype(params.dtype), np.stack(points).astype(landmarks.dtype)


def motion_blur(picture, motion):
    """M(x) = K * x with K a line along the motion (2,) px."""
    length = float(np.hypot(*motion))
    if length < 0.5:
        return picture
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    a, b = (half + s * np.asarray(motion) / 2 for s in (-1, 1))
    ends = [tuple(int(v) for v in np.rint(256 * p)) for p in (a, b)]
    cv2.line(kernel, *ends, 1.0, 1, shift=8)
    return cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def noise(picture, rng, config):
    """P(x) = x + N(0, sigma^2 I) with a random sigma."""
    sigma = config.noise * rng.random()
    if sigma < 0.3:
        return picture
    # A table of Gaussian values is read at random places: ten times cheaper than drawing them.
    table = _gaussian_table()
    at = rng.integers(len(table) - picture.size)
    grain = table[at : at + picture.size].reshape(picture.shape)
    return cv2.addWeighted(picture, 1, grain, sigma / 32, -128 * sigma / 32)


_TABLE = []


def _gaussian_table():
    if not _TABLE:
        draws = np.random.default_rng(0).normal(128, 32, 1 << 18)
        _TABLE.append(np.clip(np.rint(draws), 0, 255).astype(np.uint8))
    return _TABLE[0]
