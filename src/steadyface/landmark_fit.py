"""2D landmarks that some tool has found already, in one or more cameras, to a `Track`."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .errors import InputError
from .face_model.morphable import MorphableModel, load_face_model
from .face_model.neutral_file import read_neutral
from .fit.image import weak_perspective_pose
from .fit.rig import Rig
from .fit.rig_file import read_cameras
from .fit.sequence import SequenceFit, fit_sequence
from .fit.sequence_start import ENOUGH_POINTS
from .fit.sequence_terms import NeutralPrior, SequenceWeights
from .fit.spread_offsets import spread_offsets
from .points.image_points import GAP_S, ImagePoints, numbers, on_one_time_line
from .points.markup import KnownPoints, known_points, part_of
from .points.read import read_points
from .track import Track
from .video import read_video

#: Standard deviation of points that come without one, on the head.
SIGMA_MM = 2.0
#: Frames that the errors of other tools are taken to be new in (`SequenceWeights.independent_frames`).
INDEPENDENT_FRAMES = 2.0
#: Vertices whose uncertainty is in the track.
_TOLD = 150


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """A face fitted to 2D landmarks of C cameras.

    track: the `Track` in the first camera; rig: the cameras, whose world is the frame of the first one unless
    their places were given; image_sizes: C pairs (width, height) px; sequence: the `SequenceFit`; points: the
    `KnownPoints` that were fitted; distance: (C,) px, median distance of the seen points from the fit; moved:
    (V,) bool, the region whose vertices have offsets of their own, or None.
    """

    track: Track
    image_sizes: list[tuple[int, int]]
    sequence: SequenceFit
    points: KnownPoints
    distance: np.ndarray
    moved: np.ndarray | None = None

    @property
    def rig(self):
        """The fitted `Rig`."""
        return self.sequence.rig

    def neutral(self):
        """The person's face without expression, offsets included, in the model frame: (V, 3) mm."""
        model = self.track.model
        face = np.array(model.shape.neutral(self.track.identity), float)
        if self.moved is None:
            return face
        at = self.sequence.moved
        return face + spread_offsets(
            self.sequence.offsets,
            self.points.corners[at],
            self.points.weights[at],
            model.triangles,
            self.moved,
        )


def fit_landmarks(
    points,
    *,
    image_size=None,
    fps=None,
    sigma=None,
    markup=None,
    vertices=None,
    model: MorphableModel | None = None,
    video=None,
    focal=None,
    cameras=None,
    neutral=None,
    offsets=None,
    gap_s=GAP_S,
    weights: SequenceWeights | None = None,
):
    """Fit one face, its cameras and a smooth motion to 2D landmarks: `LandmarkFit`, with a `Track`.

    points: one camera's, or a list of several cameras': arrays (T, L, 2) px with NaN where a point is not
    seen, `ImagePoints`, or paths of files (`read_points`); an array (T, C, L, 2) is C cameras. Known are the
    iBUG-68 points, of these the inner 51, MediaPipe's 468 or 478, and all vertices of the model.

    image_size: (width, height) px, fps: frames a second (30 if nobody tells), sigma: px, each where the
    points do not tell; a sigma that nobody tells is `SIGMA_MM` on the head. markup: name of the points where
    their number does not tell; vertices: of the model, one for each point, or a mapping of the points'
    names. video: path of the (first camera's) video: its size and the true times of its frames.

    model: `MorphableModel`, the embedded one if None; focal: px, if it is known, else it is found; cameras:
    `Rig` or path of `read_cameras`, None where nothing is known of several cameras; neutral: the person's
    neutral face, (V, 3) mm in the model frame or path of `read_neutral`; offsets: name of a region whose
    points may leave the model, for several cameras; gap_s: a face not seen for no longer is filled in, its
    frames marked in `Track.interpolated`; weights: of the energy.

    Raises InputError if something is missing or does not fit, VideoError if the video cannot be read.
    """
    model = model or load_face_model()
    size, times = (image_size, None) if video is None else _of_video(video)
    views = _views(points, size, fps, markup)
    if video is not None and views[0].image_size != size:
        raise InputError(f"the points are of images of {views[0].image_size} px, the video's are {size}")
    views, known = _known(model, views, vertices)
    views = [v if v.sigma is not None else replace(v, sigma=_sigma(v, sigma, known.shape)) for v in views]
    line = on_one_time_line(views, times, gap_s)
    rig, sizes = _rig(cameras, [v.image_size for v in views], focal)
    weights = weights or SequenceWeights(independent_frames=INDEPENDENT_FRAMES)
    if focal is not None or cameras is not None:
        weights = replace(weights, focal_log_sigma=0)
    region, moved = _region(model, known, offsets, len(views))
    fit = fit_sequence(
        line.points,
        line.sigma,
        known.shape,
        rig=rig,
        time_s=line.time_s,
        weights=weights,
        neutral=_prior(model, neutral),
        moved=moved,
    )
    track = fit.to_track(
        model, image_size=sizes[0], fps=line.fps, frame_index=line.frame_index, time_s=line.time_s
    )
    track = _with_vertices(track, fit, known)
    return LandmarkFit(track, sizes, fit, known, _distances(fit, known, line), region)


def _views(points, image_size, fps, markup):
    """The cameras' `ImagePoints`."""
    if isinstance(points, (str, Path, ImagePoints, np.ndarray)):
        points = [points]
    views = []
    for view in points:
        if isinstance(view, (str, Path)):
            views += read_points(view, image_size=image_size, markup=markup)
            continue
        if not isinstance(view, ImagePoints):
            array = numbers("points", view)
            if array.ndim == 4:
                views += [ImagePoints(array[:, c]) for c in range(array.shape[1])]
                continue
            view = ImagePoints(array)
        views.append(view)
    if not views:
        raise InputError("a fit needs the points of one camera or more; got none")
    return [v.with_known(image_size=image_size, fps=fps, markup=markup) for v in views]


def _known(model, views, vertices):
    """The points of each camera that the model knows, and which they are: `KnownPoints`."""
    known = [known_points(model, view, vertices) for view in views]
    counts = {len(k.index) for k in known}
    if len(counts) > 1:
        raise InputError(f"all cameras need the same points; got {sorted(counts)} of them")
    if len(np.unique(known[0].vertices)) < ENOUGH_POINTS:
        raise InputError(f"a fit needs at least {ENOUGH_POINTS} different points; got {min(counts)}")
    chosen = []
    for i, (view, k) in enumerate(zip(views, known, strict=True)):
        sigma = None if view.sigma is None else view.sigma[:, k.index]
        chosen.append(replace(view, points=view.points[:, k.index], sigma=sigma, names=None))
        seen = chosen[-1].points[chosen[-1].seen]
        if len(seen) and np.ptp(seen, axis=0).max() < 3:
            raise InputError(
                f"the points of camera {i} lie within {np.ptp(seen, axis=0).max():.2g} px: if they are "
                "normalized, say so (--pixels normalized) or multiply them by the image's size"
            )
    return chosen, known[0]


def _of_video(path):
    """Size (width, height) px and times (N,) of the frames of a video."""
    with read_video(path) as reader:
        times = np.array([frame.time_s for frame in reader])
        return reader.info.size, times


def _sigma(view, sigma, shape):
    """Standard deviations (T, L) px for points that have none."""
    if sigma is not None:
        width = numbers("sigma", sigma)
        if width.ndim or not (np.isfinite(width) and width > 0):
            raise InputError(f"sigma must be a number of pixels > 0; got {sigma}")
        return np.full(view.points.shape[:2], width)
    enough = view.seen.sum(1) >= ENOUGH_POINTS
    scale = np.ones(len(view))
    if enough.any():
        seen = view.seen[enough]
        placed = np.where(seen[..., None], view.points[enough], 0)
        found = weak_perspective_pose(placed, np.asarray(shape.mean, float), seen.astype(float))[1]
        scale[:] = np.median(found)
        # A face comes nearer and goes, but not by much from one frame to the next.
        scale[enough] = np.clip(found, scale[enough] / 4, scale[enough] * 4)
    return np.repeat(SIGMA_MM * scale[:, None], view.points.shape[1], 1)


def _rig(cameras, sizes, focal):
    """The `Rig` and the sizes of the cameras' images."""
    if focal is not None and cameras is not None:
        raise InputError("give the focal length or the cameras, not both")
    if cameras is not None:
        if isinstance(cameras, Rig):
            rig, told = cameras, sizes
        else:
            rig, told = read_cameras(cameras, sizes)
        if len(rig) != len(sizes):
            raise InputError(f"there are {len(rig)} cameras, but the points of {len(sizes)}")
        sizes = [mine or theirs for mine, theirs in zip(sizes, told, strict=True)]
    if any(s is None for s in sizes):
        raise InputError(
            "the image size is unknown: give image_size=(width, height), --image-size WIDTH HEIGHT, or the "
            "video"
        )
    if cameras is None:
        rig = Rig.unknown(sizes, None if focal is None else np.full(len(sizes), float(focal)))
    return rig, [(int(w), int(h)) for w, h in sizes]


def _prior(model, neutral):
    if neutral is None:
        return None
    face = read_neutral(neutral, model) if isinstance(neutral, (str, Path)) else numbers("neutral", neutral)
    return NeutralPrior(model.shape, face)


def _region(model, known, name, cameras):
    """The region (V,) bool that may leave the model, and the points (M,) in it; None without one."""
    if name is None:
        return None, None
    if cameras < 2:
        raise InputError("offsets need the points of two cameras or more: one does not tell them")
    region = model.region(name)
    inside = np.flatnonzero((region[known.corners] * known.weights).sum(1) > 0.5)
    if not len(inside):
        raise InputError(f"none of the points lies in the region {name!r}")
    return region, inside


def _with_vertices(track, fit, known):
    """The track, its interpolated frames marked, with what the fit tells of vertices among the points."""
    vertices, at = np.unique(known.vertices, return_index=True)
    if len(vertices) > _TOLD:
        kept = np.linspace(0, len(vertices) - 1, _TOLD).astype(int)
        vertices, at = vertices[kept], at[kept]
    return replace(
        track,
        interpolated=fit.seen == 0,
        dense_vertices=vertices,
        dense_sigma=fit.point_sigma(part_of(track.model.shape, vertices)).astype(np.float16),
        dense_confidence=fit.inlier[:, 0, at].astype(np.float16),
    )


def _distances(fit, known, line):
    """(C,) px, median distance of the seen points from the fit, offsets left out."""
    out = []
    for c in range(len(fit.rig)):
        away = np.linalg.norm(fit.project(known.shape, c) - line.points[:, c], axis=-1)
        seen = np.isfinite(away) & np.isfinite(line.sigma[:, c])
        out.append(np.median(away[seen]) if seen.any() else np.nan)
    return np.array(out)
