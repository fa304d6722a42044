"""The measures of accuracy, steadiness and delay, one pure function each; surfaces are in `surface_metrics`.

Landmarks are (T, L, D) arrays over T frames (or T images), D = 2 or 3, in pixels unless said. A point
counts where its ground truth is finite and `visible` (T, L), if given, is true; how many were skipped
is `skipped`. A prediction must be finite wherever its ground truth counts: leave untracked frames out,
and report how many they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import InputError
from .surface_metrics import SurfaceError, chamfer, neutral_error, normal_error

__all__ = [
    "CED_STEP",
    "NORMALIZERS",
    "MotionError",
    "SurfaceError",
    "auc_fr",
    "ced",
    "chamfer",
    "jitter",
    "lag",
    "neutral_error",
    "nme",
    "nme_per_frame",
    "nmf",
    "normal_error",
    "normalizer_of",
    "skipped",
    "ssim",
    "ssme",
    "stability",
]

#: Names that `normalizer` may take where it is not an array.
NORMALIZERS = ("interocular", "interpupil", "bbox_sqrt", "bbox_diagonal")

#: Step of the error grid of `ced`, percent: 1e-4 of the normaliser.
CED_STEP = 1e-2

# Weights of a quadratic least-squares fit to 5 equidistant samples, at its middle (Savitzky and Golay 1964).
_QUADRATIC_5 = np.array([-3, 12, 17, 12, -3]) / 35


def normalizer_of(landmarks, normalizer):
    """The length that errors are divided by, (T,) in the landmarks' unit; NaN where its points are missing.

    landmarks: (T, L, D); the eye names need iBUG-68. normalizer: "interocular" (outer eye corners, 36 to
    45), "interpupil" (mean of 36-41 to mean of 42-47), "bbox_sqrt" (sqrt(w h) of the landmarks' upright
    2D box), "bbox_diagonal" (its diagonal), or an array (T,). Raises InputError for any other.
    """
    landmarks = np.asarray(landmarks, float)
    if not isinstance(normalizer, str):
        lengths = np.asarray(normalizer, float)
        if lengths.shape not in ((), landmarks.shape[:1]):
            raise InputError(
                f"an array of normalisers needs one length a frame, ({len(landmarks)},), got {lengths.shape}"
            )
        return np.broadcast_to(lengths, landmarks.shape[:1])
    if normalizer in ("interocular", "interpupil"):
        if landmarks.shape[1] != 68:
            raise InputError(
                f"normaliser {normalizer!r} needs the 68 iBUG points, got {landmarks.shape[1]}: "
                "give an array of lengths, one per frame, instead"
            )
        if normalizer == "interocular":
            ends = landmarks[:, 36] - landmarks[:, 45]
        else:
            ends = landmarks[:, 36:42].mean(1) - landmarks[:, 42:48].mean(1)
        return np.linalg.norm(ends, axis=-1)
    if normalizer == "bbox_sqrt":
        return np.sqrt(np.prod(_box(landmarks), -1))
    if normalizer == "bbox_diagonal":
        return np.linalg.norm(_box(landmarks), axis=-1)
    raise InputError(f"unknown normaliser {normalizer!r}: know {', '.join(NORMALIZERS)}, or an array (T,)")


def _box(landmarks):
    # Width and height of the 2D box of the finite points, (T, 2); NaN where a frame has none.
    xy = landmarks[..., :2]
    finite = np.isfinite(xy).all(-1, keepdims=True)
    low = np.where(finite, xy, np.inf).min(1)
    high = np.where(finite, xy, -np.inf).max(1)
    return np.where(finite.any(1), high - np.where(finite.any(1), low, 0), np.nan)


def _counted(pred, gt, visible):
    pred, gt = np.asarray(pred, float), np.asarray(gt, float)
    if pred.shape != gt.shape or pred.ndim != 3 or pred.shape[-1] not in (2, 3):
        raise InputError(
            f"prediction and truth must both be (T, L, 2) or (T, L, 3), got {pred.shape} and {gt.shape}"
        )
    mask = np.all(np.isfinite(gt), axis=-1)
    if visible is not None:
        if np.shape(visible) != mask.shape:
            raise InputError(f"visible must be (T, L) = {mask.shape}, got {np.shape(visible)}")
        mask = mask & np.asarray(visible, bool)
    lost = int((mask & ~np.all(np.isfinite(pred), axis=-1)).sum())
    if lost:
        raise InputError(
            f"the prediction is not finite at {lost} points that have a ground truth: "
            "leave untracked frames out of both arrays and report how many they are"
        )
    return pred, gt, mask


def _mean_where(values, mask, axis):
    count = mask.sum(axis)
    total = np.where(mask, values, 0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def skipped(gt, visible=None):
    """How many points of the ground truth do not count: not finite, or not visible.

    gt: (T, L, D); visible: (T, L) bool or None.
    """
    mask = np.isfinite(np.asarray(gt, float)).all(-1)
    if visible is not None:
        mask = mask & np.asarray(visible, bool)
    return int(mask.size - mask.sum())


def nme_per_frame(pred, gt, normalizer: str | np.ndarray = "interocular", visible=None):
    """Normalised mean error of each frame: its mean point distance over the normaliser, percent, (T,).

    pred, gt: (T, L, D); normalizer: as `normalizer_of`, taken from the ground truth. NaN for a frame
    without ground truth.
    """
    pred, gt, mask = _counted(pred, gt, visible)
    distance = np.linalg.norm(pred - np.where(mask[..., None], gt, 0), axis=-1)
    return 100 * _mean_where(distance, mask, 1) / normalizer_of(gt, normalizer)


def nme(pred, gt, normalizer: str | np.ndarray = "interocular", visible=None):
    """Normalised mean error: mean over frames of the mean point distance over the normaliser, percent.

    pred, gt: (T, L, D); normalizer: as `normalizer_of`, taken from the ground truth. NaN where nothing
    counts. Source: 3DDFA_V2, section 3 (bbox_sqrt, interocular); SR-VFA, section 3.1 (interocular).
    """
    errors = nme_per_frame(pred, gt, normalizer, visible)
    return float(_mean_where(errors, np.isfinite(errors), 0))


def stability(pred, gt, normalizer: str | np.ndarray = "bbox_sqrt", visible=None):
    """Normalised mean error of the frame-to-frame offsets, percent: 0 if the prediction moves as the truth.

    With dp = gt_t - gt_(t-1) and dq = pred_t - pred_(t-1): mean over frames of the mean |dp - dq| over
    the normaliser of frame t. A point counts where it does in both frames. pred, gt: (T, L, D).
    Source: 3DDFA_V2, section 3, protocol of Menpo-3D.
    """
    pred, gt, mask = _counted(pred, gt, visible)
    pairs = mask[1:] & mask[:-1]
    residual = np.where(mask[..., None], gt - pred, 0)
    distance = np.linalg.norm(np.diff(residual, axis=0), axis=-1)
    errors = 100 * _mean_where(distance, pairs, 1) / normalizer_of(gt, normalizer)[1:]
    return float(_mean_where(errors, np.isfinite(errors), 0))


def nmf(pred, gt, area=None, visible=None):
    """Normalised mean flicker of one video, on LDEQ's scale: 130 is 1.3 pixels of a face 256 pixels wide.

    With e_t = gt_t - pred_t: |e_t - e_(t-1)| over sqrt(area_t), root mean square over points, root mean
    square over frames, times 100 x 256. Average the videos of a benchmark. pred, gt: (T, L, D); area:
    (T,) square pixels, by default w h of the ground truth's landmark box.
    Source: SR-VFA, section 3.1 and table 1.
    """
    pred, gt, mask = _counted(pred, gt, visible)
    pairs = mask[1:] & mask[:-1]
    side = normalizer_of(gt, "bbox_sqrt" if area is None else np.sqrt(area))[1:]
    residual = np.where(mask[..., None], gt - pred, 0)
    squared = (np.diff(residual, axis=0) ** 2).sum(-1)
    per_frame = _mean_where(squared, pairs, 1) / side**2
    return float(100 * 256 * np.sqrt(_mean_where(per_frame, np.isfinite(per_frame), 0)))


@dataclass(frozen=True)
class MotionError:
    """Screen-space motion error of one region: curve (H,) pixels for horizons 1..H, and its mean."""

    curve: np.ndarray
    mean: float


def ssme(pred_xy, gt_xy, regions: Mapping[str, np.ndarray] | None = None, horizons=30, visible=None):
    """Screen-space motion error of each region: name to `MotionError`, pixels.

    For every horizon h: mean over frames t of the mean over the region's points of |(pred_(t+h) - pred_t) -
    (gt_(t+h) - gt_t)|. A point counts in frame t where its truth is finite in t and in t+h and, if given,
    `visible` says so in t: what hides it later does not end its motion. pred_xy, gt_xy: (T, V, 2) the same
    surface points in both; regions: name to (V,) bool, by default all as "all"; horizons: longest, frames,
    30 being one second of Multiface; visible: (T, V) bool, or weights of at least 0: with the pixels that
    each vertex stands for, the mean over vertices becomes the published mean over pixels. Curve values
    are NaN where no pair of frames is that far apart, and the mean is that of the others.
    Source: FlowFace, equations 15 to 17. Its equation 15 prints a squared norm and 17 a sum where the text
    (and its tables' size) says mean distance and mean over horizons: those are meant and computed.
    """
    pred, gt, known = _counted(pred_xy, gt_xy, None)
    if pred.shape[-1] != 2:
        raise InputError(f"motion is measured in the image: give (T, V, 2), got {pred.shape}")
    if horizons < 1:
        raise InputError(f"the longest horizon must be at least 1 frame, got {horizons}")
    weight = np.ones(known.shape) if visible is None else np.asarray(visible, float)
    if weight.shape != known.shape or not (weight >= 0).all():
        raise InputError(f"visible must be (T, V) = {known.shape}, bool or weights >= 0, got {weight.shape}")
    weight = np.where(known, weight, 0)
    masks = {"all": np.ones(known.shape[1], bool)} if regions is None else regions
    inside = np.stack([np.asarray(m) for m in masks.values()], 1)
    if inside.shape != (known.shape[1], len(masks)) or inside.dtype != bool:
        raise InputError(
            f"regions must be bool masks ({known.shape[1]},), got {inside.dtype} {inside.shape[:1]}"
        )
    inside = inside.astype(float)
    # The difference of the motions is the motion of the difference.
    x, y = (np.ascontiguousarray(np.where(known, d, 0)) for d in np.moveaxis(pred - gt, -1, 0))
    whole = bool(known.all())
    curve = np.full((horizons, len(masks)), np.nan)
    for h in range(1, min(horizons, len(x) - 1) + 1):
        distance = x[h:] - x[:-h]
        distance *= distance
        dy = y[h:] - y[:-h]
        dy *= dy
        distance += dy
        np.sqrt(distance, out=distance)
        w = weight[:-h] if whole else weight[:-h] * known[h:]
        total = w @ inside
        with np.errstate(invalid="ignore", divide="ignore"):
            per_frame = ((distance * w) @ inside) / total
        curve[h - 1] = _mean_where(per_frame, total > 0, 0)
    finite = np.isfinite(curve)
    means = _mean_where(curve, finite, 0)
    return {name: MotionError(curve[:, i], float(means[i])) for i, name in enumerate(masks)}


def ssim(rendered, image, mask=None):
    """Structural similarity of a rendered face and its image inside the render, -1 to 1, 1 for equal.

    rendered, image: (H, W) or (H, W, C) in 0..255; mask: (H, W) bool, the rendered pixels, by default all.
    Means, variances and covariance under a Gaussian window (standard deviation 1.5 pixels, 11 wide) of
    which only the part inside the mask and the image counts, so that nothing outside the render matters;
    K1 = 0.01, K2 = 0.03, range 255; mean over channels and the mask's pixels. NaN if the mask is empty.
    Source: Wang et al. 2004, equation 13; SR-VFA, table 2.
    """
    a, b = np.asarray(rendered, float), np.asarray(image, float)
    if a.shape != b.shape or a.ndim not in (2, 3):
        raise InputError(f"both images must be the same (H, W) or (H, W, C), got {a.shape} and {b.shape}")
    inside = np.ones(a.shape[:2], bool) if mask is None else np.asarray(mask)
    if inside.shape != a.shape[:2] or inside.dtype != bool:
        raise InputError(f"mask must be bool {a.shape[:2]}, got {inside.dtype} {inside.shape}")
    if not inside.any():
        return float("nan")
    a, b = (np.where(inside[..., None], i.reshape(*inside.shape, -1), 0) for i in (a, b))

    def blur(x):
        return cv2.GaussianBlur(x, (11, 11), 1.5, borderType=cv2.BORDER_CONSTANT)

    share = np.where(inside, blur(inside.astype(float)), 1)
    values = []
    for p, q in zip(np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0), strict=True):
        # Products of differences to the middle grey lose fewer digits.
        p, q = np.where(inside, p - 127.5, 0), np.where(inside, q - 127.5, 0)
        mp, mq = blur(p) / share, blur(q) / share
        pp, qq, pq = (blur(x) / share - m for x, m in ((p * p, mp * mp), (q * q, mq * mq), (p * q, mp * mq)))
        mp, mq = mp + 127.5, mq + 127.5
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        s = (2 * mp * mq + c1) * (2 * pq + c2) / ((mp**2 + mq**2 + c1) * (pp + qq + c2))
        values.append(s[inside].mean())
    return float(np.mean(values))


def ced(errors, max):
    """Cumulative error distribution: the share of errors at or below each value of a grid.

    errors: (N,) percent; infinite for a failure, NaN is skipped. max: end of the grid, percent. Returns
    the grid (G,) in percent, `CED_STEP` apart from 0 to max, and the shares (G,) in percent.
    Source: local motion paper, section 4.1.
    """
    errors = np.asarray(errors, float).ravel()
    errors = np.sort(errors[~np.isnan(errors)])
    if not errors.size or not max > 0:
        raise InputError(f"ced needs at least one error and a positive max, got {errors.size} and {max}")
    # Simpson's rule wants an even number of intervals, so an odd one is doubled.
    steps = int(np.ceil(max / CED_STEP - 1e-9))
    steps += steps % 2 * steps
    grid = np.linspace(0, max, steps + 1)
    return grid, 100 * np.searchsorted(errors, grid, side="right") / errors.size


def auc_fr(errors, threshold):
    """Area under the cumulative error curve up to a threshold, and the failure rate above it, percent.

    errors: (N,) percent, as `ced`; threshold: percent. The area is Simpson's rule over the threshold: 100
    if every error is 0. Returns (auc, failure_rate). Source: local motion paper, table 1 (8 % and 4 %).
    """
    grid, share = ced(errors, threshold)
    simpson = share[0] + share[-1] + 4 * share[1:-1:2].sum() + 2 * share[2:-1:2].sum()
    return float(simpson / (3 * (len(grid) - 1))), float(100 - share[-1])


def jitter(pred, normalizer: str | np.ndarray = "interocular"):
    """Restlessness of a track, percent of inter-ocular: mean distance to a 5-frame quadratic fit.

    Each point is compared with the value, at that frame, of the least-squares quadratic through the
    five frames around it (Savitzky-Golay), so any motion of constant acceleration counts nothing and
    white noise of standard deviation s per coordinate counts s sqrt(18/35) times the mean length of a
    standard-normal vector. pred: (T, L, D); NaN frames, and the windows that hold them, are skipped.
    normalizer: as `normalizer_of`. Mean over the points of a frame, then over frames; NaN if there is no
    window of five frames. It needs no ground truth, and fast real motion raises it: compare trackers on
    the same frames, and report `lag` beside it, for smoothing must not be bought with delay.
    """
    pred = np.asarray(pred, float)
    if pred.ndim != 3:
        raise InputError(f"a track must be (T, L, D), got {pred.shape}")
    if len(pred) < 5:
        return float("nan")
    windows = np.lib.stride_tricks.sliding_window_view(pred, 5, axis=0)
    residual = np.linalg.norm(windows[..., 2] - windows @ _QUADRATIC_5, axis=-1)
    errors = 100 * residual.mean(1) / normalizer_of(pred, normalizer)[2:-2]
    return float(_mean_where(errors, np.isfinite(errors), 0))


def lag(pred, reference, max_lag=8):
    """Frames by which a track follows an unsmoothed reference; positive: later, resolved below one frame.

    The delay k that maximises the normalised cross-correlation of the points' velocities,
    sum v_pred(t + k) v_reference(t), over whole frames |k| <= max_lag, refined by the parabola through
    the best and its two neighbours. pred, reference: (T, L, D); frames with NaN are skipped. NaN if
    nothing moves or fewer than `max_lag` + 2 frames are given.
    """
    pred, reference = np.asarray(pred, float), np.asarray(reference, float)
    if pred.shape != reference.shape or pred.ndim != 3:
        raise InputError(f"both tracks must be the same (T, L, D), got {pred.shape} and {reference.shape}")
    v, w = (np.diff(x, axis=0).reshape(max(len(x) - 1, 0), -1) for x in (pred, reference))
    if len(v) <= max_lag:
        return float("nan")
    correlation = np.array([_correlation(v, w, k) for k in range(-max_lag, max_lag + 1)])
    if not np.isfinite(correlation).all():
        return float("nan")
    best = int(np.argmax(correlation))
    if best in (0, 2 * max_lag):
        return float(best - max_lag)
    before, peak, after = correlation[best - 1 : best + 2]
    curvature = before - 2 * peak + after
    shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    return float(best - max_lag + shift)


def _correlation(v, w, k):
    # v delayed by k frames against w: both (T, C), over the frames where both are finite.
    v, w = (v[k:], w[: len(w) - k]) if k >= 0 else (v[:k], w[-k:])
    ok = np.isfinite(v).all(1) & np.isfinite(w).all(1)
    v, w = v[ok], w[ok]
    power = np.sqrt((v**2).sum() * (w**2).sum())
    return (v * w).sum() / power if power > 0 else np.nan
