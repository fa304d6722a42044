"""The part of a method's error that is its mark-up's: where it places each point, whoever's face it is."""

import numpy as np


def markup_offset(residuals, rotations):
    """The constant offset of each point in the head's frame that explains most of a method's residuals.

    Two mark-ups put the same-named point, a brow's end say, at two places of the face. Minimises the sum
    over clips, frames and points of |e - (R o)_xy|^2 over o, which is linear. residuals: list of (T, L, 2),
    predicted less true points in inter-ocular distances, NaN where not found; rotations: list of (T, 3, 3),
    of the true head as seen. Returns o (L, 3) in inter-ocular distances; what no view shows of it is zero.
    """
    count = residuals[0].shape[1]
    squares, sums = np.zeros((count, 3, 3)), np.zeros((count, 3))
    for e, rotation in zip(residuals, rotations, strict=True):
        rows = np.asarray(rotation, float)[:, :2]
        known = np.isfinite(e).all(-1).astype(float)
        gram = np.einsum("tia,tib->tab", rows, rows)
        squares += np.einsum("tl,tab->lab", known, gram)
        sums += np.einsum("tli,tia->la", np.nan_to_num(e), rows)
    return (np.linalg.pinv(squares, rcond=1e-6, hermitian=True) @ sums[..., None])[..., 0]


def errors_without(residual, rotation, offset):
    """Mean length of a clip's residuals after an offset is taken off, percent of inter-ocular, (T,).

    residual: (T, L, 2); rotation: (T, 3, 3); offset: (L, 3) of `markup_offset`. NaN where not found.
    """
    shift = np.einsum("tia,la->tli", np.asarray(rotation, float)[:, :2], offset)
    return 100 * np.linalg.norm(residual - shift, axis=-1).mean(1)
