"""What every dataset reader gives: a `Sample` (one image) or a `Clip` (one video), pixels on demand."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ...errors import InputError


@dataclass(frozen=True)
class Mesh:
    """A surface. vertices: (V, 3) mm, unless the reader says otherwise; triangles: (F, 3) indices."""

    vertices: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """A calibrated camera of OpenCV's kind (x right, y down, z forward), from world mm to pixels.

    intrinsics: (3, 3); extrinsics: (3, 4), camera = extrinsics @ (world, 1); distortion: (5,) k1 k2 p1 p2
    k3, zero where images come undistorted.
    """

    intrinsics: np.ndarray
    extrinsics: np.ndarray
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(5))

    def to_camera(self, points):
        """points: (*, 3) world mm. Returns (*, 3) mm in the camera's frame."""
        return points @ self.extrinsics[:, :3].T + self.extrinsics[:, 3]

    def project(self, points):
        """points: (*, 3) world mm, before the camera. Returns (*, 2) pixels, distorted as the image is."""
        camera = np.ascontiguousarray(self.to_camera(np.asarray(points, float)).reshape(-1, 1, 3))
        pixels, _ = cv2.projectPoints(camera, np.zeros(3), np.zeros(3), self.intrinsics, self.distortion)
        return pixels.reshape(*np.shape(points)[:-1], 2)


def read_stored_image(path):
    """RGB uint8 (H, W, 3) pixels as they are stored, in which annotations are given: EXIF turns are ignored.

    Raises InputError if the file is missing or no image.
    """
    image = None
    if Path(path).is_file():
        image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise InputError(f"cannot read the image {path}")
    return image


@dataclass(frozen=True)
class Sample:
    """One image with what is known of its face.

    name: unique in the dataset; image_path: the file, None where there is none; markup: what the landmarks
    are ("ibug68", "wflw98", "aflw21", "mediapipe478", ...), None without any; landmarks: (L, 2) or (L, 3),
    pixels with centres at integers (and depth in pixels, away from the camera), NaN where not annotated;
    visible: (L,) bool, None where nobody says; box: (4,) left, top, right, bottom, pixels; rotation: (3, 3)
    of the head, model to camera, a face that looks into the camera being I; calibration; mesh: gives the
    true `Mesh` when called; attributes: what else the dataset says, under the names its reader lists.
    """

    dataset: str
    name: str
    image_path: Path | None
    markup: str | None = None
    landmarks: np.ndarray | None = None
    visible: np.ndarray | None = None
    box: np.ndarray | None = None
    rotation: np.ndarray | None = None
    calibration: Calibration | None = None
    mesh: Callable[[], Mesh] | None = None
    attributes: Mapping = field(default_factory=dict)

    def image(self):
        """RGB uint8 (H, W, 3). Raises InputError if there is none."""
        if self.image_path is None:
            raise InputError(f"{self.dataset} {self.name} has no image")
        return read_stored_image(self.image_path)


@dataclass(frozen=True)
class Clip:
    """One video with what is known of its face, over T frames.

    name: unique in the dataset; source: a video file, or a tuple of T image files; markup, landmarks
    (T, L, 2) or (T, L, 3) and visible (T, L) as in `Sample`, NaN in frames without annotation; fps: frames a
    second, None where only the video file says; calibration; mesh: gives the true `Mesh` of frame t (0-based)
    in the world's frame; attributes: what else the dataset says. len(clip) is T.
    """

    dataset: str
    name: str
    source: Path | tuple[Path, ...]
    length: int
    markup: str | None = None
    landmarks: np.ndarray | None = None
    visible: np.ndarray | None = None
    fps: float | None = None
    calibration: Calibration | None = None
    mesh: Callable[[int], Mesh] | None = None
    attributes: Mapping = field(default_factory=dict)

    def __len__(self):
        return self.length

    def frames(self) -> Iterator[np.ndarray]:
        """The T images, RGB uint8 (H, W, 3), one at a time.

        Raises VideoError or InputError if a file cannot be read, InputError if the video has fewer frames.
        """
        if isinstance(self.source, tuple):
            yield from map(read_stored_image, self.source)
            return
        from ...video import read_video

        count = 0
        with read_video(self.source) as reader:
            for frame in reader:
                if count == self.length:
                    return
                count += 1
                yield frame.image
        if count < self.length:
            raise InputError(
                f"{self.source} has {count} frames and {self.length} are annotated: is the file complete?"
            )
