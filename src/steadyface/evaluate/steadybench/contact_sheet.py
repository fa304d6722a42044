"""One picture with a frame of each clip, to look at a benchmark at a glance."""

from pathlib import Path

import cv2
import numpy as np

from ...errors import OutputError
from ...output import replacing
from ..datasets.steadybench import read_steadybench

_INK = (255, 255, 255)


def contact_sheet(root, columns=6, width=213, at=0.5, landmarks=False):
    """Frames of all clips of a benchmark folder, labelled with their names: (h, w, 3) uint8 RGB.

    at: which frame, share of a clip's length; landmarks: draw the true 68 points, those out of sight in red.
    Raises InputError if the folder is no benchmark.
    """
    tiles = []
    for clip in read_steadybench(root):
        i = min(int(at * len(clip)), len(clip) - 1)
        image = next(frame for k, frame in enumerate(clip.frames()) if k == i)
        if landmarks:
            truth = clip.attributes["truth"]
            draw_points(image, truth.points("ibug68", i), truth.visible_points("ibug68")[i])
        height = round(width * image.shape[0] / image.shape[1])
        tile = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        # A darkened strip, on which the name can be read whatever is behind it.
        strip = tile[-max(height // 10, 1) :]
        strip[:] = strip // 3
        place = (4, height - 5)
        cv2.putText(tile, clip.name, place, cv2.FONT_HERSHEY_SIMPLEX, width / 640, _INK, 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def draw_points(image, points, visible):
    """Landmarks on a picture, in place: green, or red where they are out of sight."""
    for (x, y, _), seen in zip(points, visible, strict=True):
        color = (80, 255, 80) if seen else (255, 60, 60)
        cv2.circle(image, (round(x * 16), round(y * 16)), 24, color, -1, cv2.LINE_AA, 4)


def save_contact_sheet(root, path, most_bytes=400_000, **options):
    """Write `contact_sheet` as JPEG, as good as fits into most_bytes. Raises OutputError if it cannot."""
    path = Path(path)
    sheet = contact_sheet(root, **options)
    for quality in (90, 80, 70, 60, 50, 40):
        done, data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise OutputError(f"cannot write {path}: the picture cannot be encoded")
        if len(data) <= most_bytes:
            break
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())
