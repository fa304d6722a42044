"""Figures by movement and by expression, on clips of one of them each."""

import numpy as np

from ...evaluate.datasets.steadybench import read_steadybench
from ...evaluate.metrics import auc_fr, nme_per_frame
from ...evaluate.steadybench.single_motions import class_of
from .follow import follow
from .scores import THRESHOLDS


def score_single_motions(aligner, window, root, detector=None):
    """Area and failures of the errors by the box' diagonal, percent: name to number.

    aligner, window, detector: as `follow` takes them; root: folder of `steadybench.single_motions`.
    single_auc_8, single_fr_8, single_auc_4, single_fr_4 of all clips; movement_NAME_auc_8 and so on, and
    expression_NAME_auc_8 of those of a class. A frame without points is a failure.
    """
    clips = list(read_steadybench(root))
    tracks = follow([c.frames() for c in clips], aligner, window, detector)
    classes = {"single": []}
    for clip, points in zip(clips, tracks, strict=True):
        assert clip.landmarks is not None
        found = np.asarray(np.isfinite(points).all((1, 2)))
        truth = np.where(found[:, None, None], clip.landmarks[..., :2], np.nan)
        errors = np.where(found, nme_per_frame(points, truth, "bbox_diagonal"), np.inf)
        for name in ("single", *("_".join(pair) for pair in class_of(clip.attributes))):
            classes.setdefault(name, []).append(errors)
    figures = {}
    for name, errors in classes.items():
        for threshold in THRESHOLDS:
            auc, failures = auc_fr(np.concatenate(errors), threshold)
            figures |= {f"{name}_auc_{threshold}": auc, f"{name}_fr_{threshold}": failures}
    return figures
