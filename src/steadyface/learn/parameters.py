"""The parameter vector p = [T, identity, expression] of 3DDFA_V2 (section 2.1), in numpy.

T = f [R; t] is 3x4, row-major: it takes model millimetres to crop units, u = (T @ [S; 1])[:2], and its
third row is depth in the same unit; t_z = 0. Crop units: origin at the crop's centre, side 1.
"""

from dataclasses import dataclass

import numpy as np

from ..align.crop import SIDE_MM

#: A crop unit is the crop's side, so many mm at the head: losses are told in mm.
CROP_SIDE_MM = SIDE_MM
SIMILARITY_COUNT = 12
# Signs of T under a mirrored image: x of the image and x of the model both change sign.
_MIRROR_SIGNS = np.outer([-1, 1, 1], [-1, 1, 1, 1]).astype(np.float32)


@dataclass(frozen=True)
class ParameterStatistics:
    """Mean and standard deviation (P,) of parameters, for the z-score p -> (p - mean) / std."""

    mean: np.ndarray
    std: np.ndarray


def similarity_from_pose(rotation, scale, translation):
    """T of a weak-perspective pose.

    rotation: (*, 3, 3); scale: (*,) crop units per mm; translation: (*, 2) crop units. Returns (*, 3, 4).
    """
    rotation, translation = np.asarray(rotation), np.asarray(translation)
    similarity = np.zeros((*rotation.shape[:-2], 3, 4), rotation.dtype)
    similarity[..., :3] = np.asarray(scale)[..., None, None] * rotation
    similarity[..., :2, 3] = translation
    return similarity


def pose_from_similarity(similarity):
    """The pose nearest to a T that need not be an exact similarity.

    similarity: (*, 3, 4). Returns rotation (*, 3, 3), scale (*,), translation (*, 2); the scaled rotation
    is the nearest one to T's left 3x3 block in the Frobenius norm (Umeyama 1991).
    """
    similarity = np.asarray(similarity)
    u, s, vt = np.linalg.svd(similarity[..., :3].astype(float))
    flip = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    signs = np.stack([np.ones_like(flip), np.ones_like(flip), flip], -1)
    rotation = (u * signs[..., None, :]) @ vt
    scale = (s * signs).sum(-1) / 3
    dtype = similarity.dtype
    return rotation.astype(dtype), scale.astype(dtype), similarity[..., :2, 3]


def join(similarity, identity, expression):
    """(*, 3, 4), (*, K), (*, E) -> p (*, 12 + K + E)."""
    return np.concatenate([similarity.reshape(*similarity.shape[:-2], 12), identity, expression], -1)


def split(params, identity_count):
    """p (*, 12 + K + E) -> T (*, 3, 4), identity (*, K), expression (*, E). numpy or torch."""
    t = params[..., :SIMILARITY_COUNT]
    return (
        t.reshape(*t.shape[:-1], 3, 4),
        params[..., SIMILARITY_COUNT : SIMILARITY_COUNT + identity_count],
        params[..., SIMILARITY_COUNT + identity_count :],
    )


def mirror(params, model):
    """Parameters of the mirrored image's face.

    params: (*, 12 + K + E); model: MorphableModel, whose identity_mirror and expression_mirror are used.
    """
    similarity, identity, expression = split(params, model.identity_count)
    return join(
        similarity * _MIRROR_SIGNS,
        identity * model.identity_mirror,
        expression[..., model.expression_mirror],
    ).astype(params.dtype)


def statistics(params):
    """`ParameterStatistics` of (N, P) parameters.

    Constant entries (t_z is always 0) get a tiny deviation instead of none, so that the network cannot
    move them while z-scores stay finite.
    """
    params = np.asarray(params, float)
    floor = np.full(params.shape[1], 1e-3)
    floor[:SIMILARITY_COUNT] = 1e-6
    return ParameterStatistics(
        params.mean(0).astype(np.float32), np.maximum(params.std(0), floor).astype(np.float32)
    )
