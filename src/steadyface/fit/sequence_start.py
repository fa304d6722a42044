"""Where a sequence fit starts: poses in closed form, expressions from a few frames or from a track."""

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..rotation import axis_angle_from_matrix, matrix_from_axis_angle
from .image import FitConfig, fit_image, weak_perspective_pose

#: Fewest points that give a frame a pose of its own.
ENOUGH_POINTS = 6
#: About as many points of a frame give the guess of its expression.
GUESS_POINTS = 160


@dataclass(frozen=True)
class SequenceStart:
    """A guess of every frame: rotation (T, 3) axis-angle, head to world; translation (T, 3) mm; expression
    (T, E) in [0, 1]; identity (K,). Raises InputError if shapes do not match or a value is not finite."""

    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray
    identity: np.ndarray

    def __post_init__(self):
        t = len(self.rotation)
        shapes = {"rotation": (t, 3), "translation": (t, 3)}
        shapes |= {"expression": (t, np.shape(self.expression)[-1]), "identity": np.shape(self.identity)[-1:]}
        for name, shape in shapes.items():
            value = np.asarray(getattr(self, name), float)
            if value.shape != shape or not np.isfinite(value).all():
                raise InputError(
                    f"a start of {t} frames needs finite {name} of shape {shape}; got {value.shape}"
                )
            object.__setattr__(self, name, value)

    @classmethod
    def from_track(cls, track, frame_index=None, focal=None):
        """The guess that a `Track` gives: a weak-perspective one is put before a camera of that focal length.

        frame_index: (T,) frames of the video wanted, None for the track's own; frames that the track lacks
        are interpolated. focal: px, None for the longer side of the image (or the track's own).
        """
        if not len(track):
            raise InputError("an empty track gives no start")
        rotation, translation = matrix_from_axis_angle(track.rotation), np.array(track.translation, float)
        if track.focal is None:
            focal = float(focal or max(track.image_size))
            image = translation[:, :2] * track.scale[:, None]
            rotation, translation = before_camera(rotation, track.scale, image, focal)
        elif focal is not None:
            translation[:, 2] *= focal / track.focal
        wanted = np.asarray(track.frame_index if frame_index is None else frame_index)
        rotation, translation, expression = interpolated(
            np.asarray(track.frame_index, float),
            wanted.astype(float),
            rotation,
            translation,
            track.expression,
        )
        return cls(axis_angle_from_matrix(rotation), translation, np.clip(expression, 0, 1), track.identity)


def before_camera(rotation, scale, image, focal):
    """Weak-perspective poses as poses before a pinhole camera.

    rotation: (*, 3, 3); scale: (*,) px/mm; image: (*, 2) px, the model origin's image from the optical axis;
    focal: px. Returns rotation (*, 3, 3) and translation (*, 3) mm. A head off the axis is seen from the
    side, which weak perspective takes for a turn; it is turned back.
    """
    z = focal / scale
    translation = np.concatenate([image / np.asarray(scale)[..., None], z[..., None]], -1)
    ray = translation / np.linalg.norm(translation, axis=-1, keepdims=True)
    sine = np.hypot(ray[..., 0], ray[..., 1])
    factor = np.where(sine > 1e-9, np.arctan2(sine, ray[..., 2]) / np.maximum(sine, 1e-12), 1)
    # The turn that takes the optical axis to the ray.
    turn = np.stack([-ray[..., 1] * factor, ray[..., 0] * factor, np.zeros_like(factor)], -1)
    return matrix_from_axis_angle(turn) @ rotation, translation


def interpolated(known, wanted, rotation, *channels):
    """Values at other times: linear between known ones, constant beyond them, rotations on the manifold.

    known: (N,) increasing; wanted: (T,); rotation: (N, 3, 3); channels: each (N, D).
    """
    if len(known) == 1:
        return [np.repeat(x, len(wanted), 0) for x in (rotation, *channels)]
    after = np.clip(np.searchsorted(known, wanted, side="right"), 1, len(known) - 1)
    before = after - 1
    part = np.clip((wanted - known[before]) / (known[after] - known[before]), 0, 1)[:, None]
    turn = axis_angle_from_matrix(rotation[after] @ np.swapaxes(rotation[before], -1, -2))
    turned = matrix_from_axis_angle(part * turn) @ rotation[before]
    return [turned, *((1 - part) * x[before] + part * x[after] for x in channels)]


def image_poses(points, root_weight, reference, focal, center):
    """Closed-form poses of one camera: rotation (T, 3, 3), translation (T, 3) mm, and which frames have one.

    points: (T, L, 2) px; root_weight: (T, L), 1 / sigma; reference: (L, 3) mm.
    """
    has = (root_weight > 0).sum(-1) >= ENOUGH_POINTS
    rotation = np.tile(np.eye(3), (len(points), 1, 1))
    translation = np.tile([0, 0, 1.0], (len(points), 1))
    known = np.flatnonzero(has)
    # Some at a time: the products of a long sequence would fill the memory.
    for i in range(0, len(known), 512):
        at = known[i : i + 512]
        weights = root_weight[at].astype(float) ** 2
        weak, scale, image = weak_perspective_pose(points[at].astype(float), reference, weights)
        rotation[at], translation[at] = before_camera(weak, np.maximum(scale, 1e-9), image - center, focal)
    return rotation, translation, has


def well_spread(features, count, usable):
    """Indices of frames far from each other: (N,) increasing.

    features: (T, D); usable: (T,) bool. Greedy farthest points from the frame nearest to the median; equal
    views, which tell nothing new, are left out.
    """
    index = np.flatnonzero(usable)
    if len(index) <= count:
        return index
    x = features[index]
    distance = np.linalg.norm(x - np.median(x, 0), axis=-1)
    chosen = [int(distance.argmin())]
    distance = np.linalg.norm(x - x[chosen[0]], axis=-1)
    while len(chosen) < count and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(x - x[chosen[-1]], axis=-1))
    return index[np.sort(chosen)]


def start_from_points(points, root_weight, shape, rig, key_frames):
    """A guess from the points alone, and the rig with its cameras placed.

    points: (T, C, L, 2) px; root_weight: (T, C, L). Poses are closed-form; identity and expression come
    from fits of well-spread frames (`fit_image`), which are interpolated. Returns `SequenceStart`, `Rig`.
    """
    mean = np.asarray(shape.mean, float)
    poses = [
        image_poses(points[:, c], root_weight[:, c], mean, rig.focal[c], rig.center[c])
        for c in range(len(rig))
    ]
    if not any(has.any() for *_, has in poses):
        raise InputError(
            f"a sequence fit needs a frame with at least {ENOUGH_POINTS} points; none has as many"
        )
    if not rig.known:
        rig = placed(rig, poses)
    rotation, translation, has = in_world(rig, poses)
    t = np.arange(len(points), dtype=float)
    known = np.flatnonzero(has)
    rotation, translation = interpolated(known.astype(float), t, rotation[known], translation[known])

    camera = int(np.argmax([has.sum() for *_, has in poses]))
    keys = well_spread(view_features(rotation, translation), key_frames, poses[camera][2])
    # Some of the points are enough for a guess, unless they are the ones hidden.
    root = root_weight[keys, camera]
    some = np.arange(0, len(mean), -(-len(mean) // GUESS_POINTS))
    if ((root[:, some] > 0).sum(-1) < np.minimum((root > 0).sum(-1), len(some) / 2)).any():
        some = np.arange(len(mean))
    root = root[:, some]
    sigma = np.median(1 / root[root > 0])
    fit = fit_image(
        np.where(root[..., None] > 0, points[keys, camera][:, some], 0),
        shape.points(some),
        weights=np.minimum((root * sigma) ** 2, 4),
        config=FitConfig(robust="huber", robust_rounds=2),
    )
    expression = interpolated(keys.astype(float), t, rotation[keys], fit.expression)[1]
    identity = np.median(fit.identity, 0)
    return SequenceStart(axis_angle_from_matrix(rotation), translation, expression, identity), rig


def view_features(rotation, translation):
    """What makes frames differ for `well_spread`: (T, 5), about 1 for a sixth of a turn or twice the size."""
    depth = np.maximum(translation[:, 2:], 1e-6)
    away = np.log(depth / np.median(depth))
    time = np.linspace(0, 1, len(rotation))[:, None]
    return np.concatenate([axis_angle_from_matrix(rotation), away, time], -1)


def placed(rig, poses):
    """The rig with its cameras placed, the world being camera 0's frame, from the poses seen in each."""
    rotation, translation = np.array(rig.rotation), np.array(rig.translation)
    rotation[0], translation[0] = np.eye(3), 0
    for c in range(1, len(rig)):
        both = poses[0][2] & poses[c][2]
        if not both.any():
            raise InputError(f"camera {c} of unknown place shares no frame of enough points with camera 0")
        first, other = poses[0], poses[c]
        total = np.sum(other[0][both] @ np.swapaxes(first[0][both], -1, -2), 0)
        u, _, vt = np.linalg.svd(total)
        rotation[c] = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        translation[c] = np.median(other[1][both] - first[1][both] @ rotation[c].T, 0)
    return replace(rig, rotation=rotation, translation=translation)


def in_world(rig, poses):
    """Poses of the cameras as one in the world, from the first camera that has one: as `image_poses`."""
    rotation, translation, has = (np.array(x) for x in poses[0])
    rotation, translation = rig.rotation[0].T @ rotation, (translation - rig.translation[0]) @ rig.rotation[0]
    for c in range(1, len(rig)):
        new = poses[c][2] & ~has
        rotation[new] = rig.rotation[c].T @ poses[c][0][new]
        translation[new] = (poses[c][1][new] - rig.translation[c]) @ rig.rotation[c]
        has |= new
    return rotation, translation, has
