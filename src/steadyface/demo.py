"""The demo: a head whose truth is known talks and turns; it is filmed, tracked, drawn over and measured."""

import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .errors import InputError
from .evaluate.clips import openings
from .evaluate.metrics import nme
from .face_model.morphable import load_face_model
from .pipeline import overlay, track
from .refine.average import average_color
from .render.rasterize import rasterize
from .render.shade import Lighting, interpolate, sample_texture, shade, vertex_normals
from .rotation import axis_angle_from_matrix, matrix_from_euler
from .track import Track
from .video import write_video

SIZE = (640, 480)
FPS = 30.0
#: Focal length of the camera that films, px: a common webcam's.
FOCAL = 800.0
LIGHTING = Lighting(specular=0.04)


@dataclass(frozen=True)
class DemoReport:
    """How far the track is from the truth.

    frames: rendered; tracked: of these; landmarks: mean error of the 68 points, percent of the distance of
    the outer eye corners; angle_deg: mean angle between the rotations; mouth, eyes: correlation of the
    jaw's and the lids' opening with the truth; frames_per_s: of the tracking, decoding included.
    """

    frames: int
    tracked: int
    landmarks: float
    angle_deg: float
    mouth: float
    eyes: float
    frames_per_s: float

    def __str__(self):
        return (
            f"tracked {self.tracked} of {self.frames} frames at {self.frames_per_s:.0f} frames/s\n"
            f"landmarks {self.landmarks:.2f} % of the eyes' distance from the truth, head angle "
            f"{self.angle_deg:.1f} degrees\n"
            f"correlation with the truth: mouth {self.mouth:.2f}, eyes {self.eyes:.2f}"
        )


def run_demo(
    folder, *, seconds=6.0, quality="standard", progress=None, stage=None, tracker=None, aligner=None
):
    """Film, track, overlay and measure: writes demo.mp4, overlay.mp4 and face0.npz into the folder.

    quality, tracker, aligner: as of `track`; stage: called with the name of each stage as it begins;
    progress: called with the stage's frames done and their number. Returns the `DemoReport`. Raises
    InputError for less than a second, an unknown quality or a missing network, NoFaceError if nothing is
    tracked, OutputError if the folder cannot be written.
    """
    stage = stage or _silent
    folder = Path(folder)
    model = tracker.model if tracker else load_face_model()
    truth = script(model, seconds)
    stage("filming")
    film(truth, folder / "demo.mp4", progress=progress)
    start = time.perf_counter()
    tracks = track(
        *(folder / "demo.mp4", quality),
        max_faces=1,
        progress=progress,
        stage=stage,
        tracker=tracker,
        aligner=aligner,
    )
    spent = time.perf_counter() - start
    tracks[0].save(folder / "face0.npz")
    stage("overlay")
    overlay(folder / "demo.mp4", tracks[:1], folder / "overlay.mp4", progress=progress)
    return measure(tracks[0], truth, len(truth) / spent)


def _silent(_name):
    pass


def script(model, seconds):
    """The `Track` of a head that talks, blinks and turns for some seconds, in `SIZE` at `FPS`.

    Raises InputError for less than a second.
    """
    if not seconds >= 1:
        raise InputError(f"the demo must last a second at least, got {seconds}")
    t = np.arange(round(seconds * FPS)) / FPS
    wave = np.sin
    yaw = 0.6 * wave(2 * np.pi * 0.17 * t) + 0.05 * wave(2 * np.pi * 0.9 * t)
    pitch = 0.12 * wave(2 * np.pi * 0.31 * t + 1)
    roll = 0.1 * wave(2 * np.pi * 0.23 * t + 2)
    scale = 1.35 + 0.1 * wave(2 * np.pi * 0.11 * t)
    # The image of the head's origin, from that of the optical axis.
    image = np.column_stack([40 * wave(2 * np.pi * 0.13 * t), 12 * wave(2 * np.pi * 0.29 * t + 1)])
    image += np.array([0.5, 0.5 - 0.08 * SIZE[1]])
    return Track(
        frame_index=np.arange(len(t)),
        time_s=t,
        rotation=axis_angle_from_matrix(matrix_from_euler(np.column_stack([pitch, yaw, roll]))),
        translation=np.column_stack([image / scale[:, None], FOCAL / scale]),
        scale=scale,
        center=(np.array(SIZE) - 1) / 2,
        focal=FOCAL,
        identity=np.random.default_rng(7).normal(0, 0.5, model.identity_count),
        expression=_talk(t, model.expression_names),
        sigma=np.zeros((len(t), 68)),
        confidence=np.ones(len(t)),
        image_size=SIZE,
        fps=FPS,
        model=model,
    )


def _talk(t, names):
    syllables = np.clip(np.sin(2 * np.pi * 1.9 * t) * np.sin(2 * np.pi * 0.37 * t + 0.5), 0, 1)
    # A blink takes a fifth of a second, every two and a half seconds.
    blink = np.clip(1.6 * np.exp(-((((t + 1.4) % 2.5) - 1.25) ** 2) / (2 * 0.05**2)), 0, 1)
    smile = np.clip(0.7 * np.sin(2 * np.pi * 0.21 * t - 1), 0, 1)
    round_lips = np.clip(0.6 * np.sin(2 * np.pi * 0.8 * t) * (1 - smile), 0, 1)
    brows = np.clip(0.6 * np.sin(2 * np.pi * 0.33 * t + 2), 0, 1)
    curves = {"jawOpen": 0.65 * syllables, "mouthFunnel": round_lips, "browInnerUp": brows}
    for side in ("Left", "Right"):
        curves |= {f"eyeBlink{side}": blink, f"mouthSmile{side}": smile, f"browOuterUp{side}": 0.7 * brows}
    none = np.zeros_like(t)
    return np.column_stack([curves.get(name, none) for name in names])


def film(truth, path, *, progress=None):
    """Render a track to a video: the textured, lit head over a soft background, with a little noise."""
    model = truth.model
    texture = _texture(model)
    rng = np.random.default_rng(0)
    background = _background(rng)
    with write_video(path, truth.image_size, truth.fps) as write:
        for i in range(len(truth)):
            image = _render(truth, i, texture, background)
            image += rng.normal(0, 2.0, image.shape).astype(np.float32)
            write(np.clip(image, 0, 255).astype(np.uint8), truth.time_s[i])
            if progress:
                progress(i + 1, len(truth))


def _texture(model):
    # Other models have other texture coordinates: plain skin.
    plain = np.full((8, 8, 3), (205, 160, 135), np.uint8)
    return (average_color(model) if model.name == "anny" else plain).astype(np.float32)


def _background(rng):
    coarse = rng.uniform(70, 150, (5, 6, 1)) + rng.uniform(-18, 18, (5, 6, 3))
    coarse = cv2.resize(coarse.astype(np.float32), SIZE, interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(coarse, (0, 0), 9)


def _render(truth, i, texture, background):
    model = truth.model
    points = truth.image_points(model.shape, i).astype(np.float32)
    limit = np.array(truth.image_size)
    first = np.clip(np.floor(points[:, :2].min(0)).astype(int) - 1, 0, limit)
    width, height = np.clip(np.ceil(points[:, :2].max(0)).astype(int) + 2, 0, limit) - first
    light = shade(np.ones((len(points), 3)), vertex_normals(points, model.triangles), LIGHTING)
    # Twice the size and then averaged, so that edges are smooth.
    points[:, :2] = 2 * (points[:, :2] - first) + 0.5
    raster = rasterize(points, model.triangles, (2 * height, 2 * width), cull=True)
    albedo = sample_texture(raster, model.uv, model.uv_triangles, texture)
    lit = albedo * interpolate(raster, model.triangles, light)
    alpha = cv2.resize(raster.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    lit = cv2.resize(lit, (width, height), interpolation=cv2.INTER_AREA)
    image = background.copy()
    patch = image[first[1] : first[1] + height, first[0] : first[0] + width]
    patch[:] = lit + (1 - alpha[..., None]) * patch
    return image


def measure(found, truth, frames_per_s):
    """The `DemoReport` of a track against the true one."""
    rows = found.frame_index
    here, there = found.landmarks("ibug68")[..., :2], truth.landmarks("ibug68", rows)[..., :2]
    turn = found.seen_rotation() @ truth.seen_rotation(rows).swapaxes(-1, -2)
    angle = np.linalg.norm(axis_angle_from_matrix(turn), axis=-1)
    (eyes, mouth), (true_eyes, true_mouth) = (openings(points[:, 17:]) for points in (here, there))
    return DemoReport(
        frames=len(truth),
        tracked=len(found),
        landmarks=float(nme(here, there)),
        angle_deg=float(np.rad2deg(angle.mean())),
        mouth=float(np.corrcoef(mouth, true_mouth)[0, 1]),
        eyes=float(np.corrcoef(eyes, true_eyes)[0, 1]),
        frames_per_s=frames_per_s,
    )
