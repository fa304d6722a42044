"""The fits that are compared: of which frames and cameras, with what known beforehand."""

from dataclasses import dataclass, replace

import numpy as np

from ...errors import InputError
from ...face_model.morphable import MorphableModel
from ...fit.rig import Rig
from ...fit.sequence import fit_sequence
from ...fit.sequence_terms import NeutralPrior
from ...fit.spread_offsets import spread_offsets
from ...standard import StandardSettings
from .observe import Observed

#: Regions of the face model whose points get offsets: the paper's, and the largest that can be measured.
OFFSETS = ("nose", "face")


@dataclass(frozen=True)
class Setting:
    """One fit of the comparison.

    cameras: how many of them, the first ones; whole: all frames, or single ones; known: whether the cameras'
    places and focal lengths are; prior: with the neutral prior; offsets: "", or the region whose points get
    some.
    """

    cameras: int = 1
    whole: bool = True
    known: bool = False
    prior: bool = False
    offsets: str = ""

    @property
    def views(self):
        """What is seen, in words, whatever else is known."""
        length = "sequence" if self.whole else "single image"
        if self.cameras == 1:
            return length
        places = ", cameras known" if self.known else ""
        return f"{length}{'' if self.whole else 's'}, {self.cameras} views{places}"


def settings(cameras=4):
    """All `Setting`s that are compared, up to so many cameras."""
    seen = [Setting(1, whole=False), Setting(1)]
    seen += [Setting(c, whole=w) for c in (2, 4) if c <= cameras for w in (False, True)]
    seen += [replace(seen[-1], known=True)] if cameras > 1 else []
    both = [replace(s, prior=p) for s in seen for p in (False, True)]
    # Offsets tell what the identity does not: with the best that is known of that.
    several = [s for s in seen if s.cameras > 1 and s.whole]
    return both + [replace(s, prior=True, offsets=o) for s in several for o in OFFSETS]


@dataclass(frozen=True)
class FittedFace:
    """A face that was fitted, without its pose: neutral (V, 3) mm; frames (T,); moving (T, V, 3) mm, the
    face in those frames of the film."""

    neutral: np.ndarray
    frames: np.ndarray
    moving: np.ndarray


#: Weight of the neutral prior where it is used: enough to tell what it does.
NEUTRAL_WEIGHT = 5.0


def fit_setting(
    setting: Setting,
    seen: Observed,
    model: MorphableModel,
    rig: Rig,
    fps,
    frames,
    standard: StandardSettings | None = None,
):
    """The `FittedFace`s of one setting: one of a whole sequence, or one for each of the single frames.

    rig: the true `Rig` of all cameras, whose places and focal lengths only settings of known cameras use;
    its centres are the pictures'; fps: frames a second; frames: (n,) which count: the single ones, or those
    of the sequence whose moving faces are wanted; standard: settings of the standard quality, whose weights
    hold here. Frames that no camera found a face in are left out.
    """
    groups = [np.arange(len(seen.points))] if setting.whole else [np.array([i]) for i in frames]
    shape = model.shape.points(seen.vertices)
    standard = standard or StandardSettings()
    config = replace(standard.fit, covariance=False)
    weights = replace(standard.weights, neutral=NEUTRAL_WEIGHT)
    cameras = slice(setting.cameras)
    if setting.known:
        rig = Rig(rig.focal[cameras], rig.center[cameras], rig.rotation[cameras], rig.translation[cameras])
        weights = replace(weights, focal_log_sigma=0)
    else:
        rig = Rig.unknown(2 * rig.center[cameras] + 1)
    moved = None
    if setting.offsets:
        moved = np.flatnonzero(model.region(setting.offsets)[seen.vertices])
    out = []
    for group in groups:
        said = seen.identity[group, cameras].reshape(-1, model.identity_count)
        if not np.isfinite(said).any():
            continue
        try:
            fit = fit_sequence(
                seen.points[group, cameras],
                seen.sigma[group, cameras],
                shape,
                rig=rig,
                time_s=group / fps,
                weights=weights,
                neutral=NeutralPrior.from_identities(shape, said) if setting.prior else None,
                moved=moved,
                config=config,
            )
        except InputError:
            # A single moment that a camera missed: the others cannot be placed.
            if setting.whole:
                raise
            continue
        bump = 0
        if setting.offsets:
            corners = np.repeat(seen.vertices[fit.moved, None], 3, 1)
            weights_at = np.tile([1.0, 0, 0], (len(corners), 1))
            inside = model.region(setting.offsets)
            bump = spread_offsets(fit.offsets, corners, weights_at, model.triangles, inside)
        wanted = np.isin(group, frames)
        moving = [model.shape(fit.identity, e) + bump for e in fit.expression[wanted]]
        out.append(FittedFace(model.shape.neutral(fit.identity) + bump, group[wanted], np.array(moving)))
    return out


def said_by_network(seen: Observed, model, frames, whole):
    """What the live network says without any fit, of the first camera: list of `FittedFace`.

    whole: one face of the identities' robust mean, or one for each frame with its own.
    """
    identity, expression = seen.identity[:, 0], seen.expression[:, 0]
    frames = np.array([i for i in frames if np.isfinite(identity[i]).all()], int)
    if not len(frames):
        return []
    parts = [(identity, frames)] if whole else [(identity[i], frames[[k]]) for k, i in enumerate(frames)]
    faces = []
    for said, at in parts:
        neutral = NeutralPrior.from_identities(model.shape, said).points
        moved = model.shape(np.zeros(model.identity_count), expression[at]) - model.shape.mean
        faces.append(FittedFace(neutral, at, neutral + moved))
    return faces
