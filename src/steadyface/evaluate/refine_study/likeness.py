"""How like its video a track draws the face: SSIM inside the face, with the track's own texture and light."""

import numpy as np

from ...refine.irradiance import VertexIrradiance
from ...refine.texture import VideoTexture
from ...render.rasterize import rasterize
from ...render.shade import interpolate
from ...render.textured import render_textured
from ...video import read_video
from ..metrics import ssim


def likeness(video, track, every=10, visible=None):
    """Mean SSIM inside the face over every so many-th frame of a video: of all of it, and of what is seen.

    track: `Track` of the studio quality; visible: (T, V), whether each vertex is seen in each of the video's
    frames, None where nobody knows. Two numbers, the second NaN without `visible`, both NaN where no frame
    counts. Raises InputError if the track has no texture.
    """
    texture, light = VideoTexture.of_track(track), VertexIrradiance(track.model)
    rows = {int(index): row for row, index in enumerate(track.frame_index)}
    whole, seen = [], []
    with read_video(video) as reader:
        for frame in reader:
            row = rows.get(frame.index) if frame.index % every == every // 2 else None
            if row is None:
                continue
            points = track.image_points(track.model.shape, row).astype(np.float32)
            x, y, w, h = window = _around(points, frame.image.shape)
            shine = light(track.vertices(row), track.irradiance[row])
            drawn, face = render_textured(track, row, texture, window, shine)
            part = frame.image[y : y + h, x : x + w]
            whole.append(ssim(drawn, part, face))
            if visible is not None:
                points[:, :2] -= (x, y)
                known = np.asarray(visible[frame.index], np.float32)[:, None]
                raster = rasterize(points, track.model.triangles, (h, w), cull=True)
                open_ = interpolate(raster, track.model.triangles, known)[..., 0] > 0.5
                seen.append(ssim(drawn, part, face & open_))
    return _mean(whole), _mean(seen)


def _around(points, shape):
    """The window (x, y, width, height) px of an image that shows points (N, 2+); a pixel at least."""
    limit = np.array(shape[1::-1])
    first = np.clip(np.floor(points[:, :2].min(0)).astype(int), 0, limit - 1)
    last = np.clip(np.ceil(points[:, :2].max(0)).astype(int) + 1, first + 1, limit)
    return (*first.tolist(), *(last - first).tolist())


def _mean(values):
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")
