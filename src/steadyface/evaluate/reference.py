"""What is known of a clip's face, in the form that every score needs, whatever dataset it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..face_model.mediapipe import INNER_51, OUTER_EYE_CORNERS
from ..rotation import seen_rotation
from .metrics import normalizer_of

#: The points that all methods are compared on: mark-up to the 51 that lie where iBUG-68's 17 to 67 do.
COMMON = {"ibug68": np.arange(17, 68), "mediapipe478": np.array(INNER_51)}
#: Outer eye corners by mark-up.
EYE_CORNERS = {"ibug68": (36, 45), "mediapipe478": OUTER_EYE_CORNERS, "wflw98": (60, 72)}


@dataclass(frozen=True, eq=False)
class Reference:
    """The truth of T frames, in pixels.

    landmarks: mark-up to (T, L, 2), NaN where not annotated; visible: mark-up to (T, L) bool, where it is
    known; lengths: normaliser to (T,) pixels, of "interocular", "bbox_sqrt", "bbox_diagonal"; rotation:
    (T, 3, 3) of the head as the camera sees it along the ray to the face, None if unknown; yaw: (T,)
    degrees, or None; truth: the exact `Truth` of a rendered clip, or None; moving: whether the frames
    follow each other, or are images of their own.
    """

    landmarks: Mapping[str, np.ndarray]
    visible: Mapping[str, np.ndarray]
    lengths: Mapping[str, np.ndarray]
    rotation: np.ndarray | None = None
    yaw: np.ndarray | None = None
    truth: Any = None
    moving: bool = True

    def __len__(self):
        return len(self.lengths["interocular"])

    @classmethod
    def of_clip(cls, clip):
        """Of a `Clip`. Raises InputError if it has no landmarks, or of a mark-up without known eyes."""
        truth = clip.attributes.get("truth")
        _require(clip)
        landmarks = {clip.markup: clip.landmarks[..., :2]}
        visible = {} if clip.visible is None else {clip.markup: clip.visible}
        rotation = yaw = None
        if truth is not None:
            script = truth.script
            landmarks = {markup: truth.points(markup)[..., :2] for markup in script.model.embeddings}
            visible = {markup: truth.visible_points(markup) for markup in landmarks}
            rotation = seen_rotation(script.rotation, face_middle(script))
            yaw = _yaw(rotation)
        return cls(landmarks, visible, lengths_of(clip.landmarks, clip.markup), rotation, yaw, truth)

    @classmethod
    def of_samples(cls, samples):
        """Of still images, one frame each, all of the same mark-up. Raises InputError as `of_clip`."""
        for sample in samples:
            _require(sample)
        markups = {s.markup for s in samples}
        if len(markups) != 1:
            raise InputError(
                f"images of one mark-up are compared at a time, got {', '.join(sorted(markups))}"
            )
        markup = markups.pop()
        points = np.stack([s.landmarks for s in samples])
        yaw = None
        if all("yaw" in s.attributes for s in samples):
            yaw = np.rad2deg([float(s.attributes["yaw"]) for s in samples])
        rotation = np.stack([s.rotation for s in samples]) if samples[0].rotation is not None else None
        if yaw is None and rotation is not None:
            yaw = _yaw(rotation)
        lengths = lengths_of(points, markup)
        return cls({markup: points[..., :2]}, {}, lengths, rotation, yaw, moving=False)


def _require(one):
    if one.landmarks is None:
        raise InputError(f"{one.dataset} {one.name} has no landmarks to compare points with")
    if one.markup not in EYE_CORNERS:
        raise InputError(
            f"{one.dataset} is marked up with {one.markup!r}, where outer eye corners are not known: "
            f"know {', '.join(EYE_CORNERS)}"
        )


def lengths_of(landmarks, markup):
    """The three normalisers of true landmarks (T, L, 2 or 3): name to (T,) pixels.

    The distance of the outer eye corners is that in space where the truth has depth, so that it does not
    vanish in profile; the boxes are those of the points in the image.
    """
    landmarks = np.asarray(landmarks, float)
    right, left = EYE_CORNERS[markup]
    return {
        "interocular": np.linalg.norm(landmarks[:, right] - landmarks[:, left], axis=-1),
        "bbox_sqrt": normalizer_of(landmarks, "bbox_sqrt"),
        "bbox_diagonal": normalizer_of(landmarks, "bbox_diagonal"),
    }


def common_points(points):
    """The 51 points that all mark-ups share, as (mark-up, (T, 51, 2)); the first of `COMMON` that is there.

    points: mark-up to (T, L, 2 or 3). None if there is none of them.
    """
    for markup, which in COMMON.items():
        if markup in points:
            return markup, np.asarray(points[markup], float)[:, which, :2]
    return None


def face_middle(script):
    """Middle of the mean face's landmarks in the camera frame of a `Script`, (T, 3) mm.

    A weak-perspective camera that fits the face's points looks at their middle; the model's origin, between
    the eyes, is some degrees above.
    """
    markup = next(m for m in reversed(COMMON) if m in script.model.embeddings)
    middle = script.model.landmarks(markup).mean.mean(0)
    return script.place(np.broadcast_to(middle, (len(script), 1, 3)))[:, 0]


def _yaw(rotation):
    from ..rotation import euler_from_matrix

    return np.rad2deg(euler_from_matrix(rotation)[:, 1])
