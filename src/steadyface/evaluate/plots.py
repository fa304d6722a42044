"""The figures of a report: error curves, motion error over horizons, error by yaw, jitter against lag."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..output import make_folder, replacing
from .metrics import ced
from .tables import mean

#: Colours that colour-blind readers tell apart (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_CED_END = 15.0
_HORIZONS = 30


def draw_all(comparison, folder, prefix=""):
    """Draw the figures that the results allow into a folder: list of (caption, path).

    comparison: `tables.Comparison`; prefix: of the files' names. Raises InputError without matplotlib.
    """
    folder = make_folder(folder)
    drawn = []
    figures = (
        ("ced", "Share of frames at or below an error; frames without a face never are.", draw_ced),
        ("ssme", "Motion error of the visible inner 51 points over horizons.", draw_ssme),
        ("yaw", "Error by the true head's yaw.", draw_yaw),
        ("jitter_lag", "Jitter against delay, one dot a clip, a cross the median.", draw_jitter_lag),
    )
    for name, caption, draw in figures:
        figure, axes = _figure()
        if draw(axes, comparison):
            path = Path(folder) / f"{prefix}{name}.png"
            with replacing(path) as temporary:
                # Without the date, so that equal results give equal files.
                figure.savefig(temporary, dpi=110, metadata={"Software": None})
            drawn.append((caption, path))
    return drawn


def check_plotting():
    """Raises InputError without matplotlib: for callers that work long before they draw."""
    try:
        import matplotlib.figure
    except ModuleNotFoundError as e:
        raise InputError("figures need matplotlib: install steadyface with its extra 'evaluate'") from e
    return matplotlib.figure


def _figure():
    figure = check_plotting().Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _coloured(comparison):
    return zip(comparison.methods, COLOURS * (1 + len(comparison.methods) // len(COLOURS)), strict=False)


def draw_ced(axes, comparison):
    """Cumulative error curves of all frames. Returns whether there was anything to draw."""
    for method, colour in _coloured(comparison):
        errors = comparison.all_errors(method, comparison.clips())
        if not len(errors):
            return False
        axes.plot(*ced(errors, _CED_END), color=colour, label=method)
    axes.set(
        xlabel="error of a frame, % of inter-ocular", ylabel="frames, %", xlim=(0, _CED_END), ylim=(0, 100)
    )
    axes.legend(loc="lower right")
    return True


def draw_ssme(axes, comparison):
    """Motion error over the horizon in frames, mean of clips. Returns whether there was anything to draw."""
    horizons = np.arange(1, _HORIZONS + 1)
    any_drawn = False
    for method, colour in _coloured(comparison):
        clips = comparison.clips()
        curve = [mean(f"ssme_51_face_{h}")(comparison, method, clips) for h in horizons]
        if np.isfinite(curve).any():
            axes.plot(horizons, curve, color=colour, label=method)
            any_drawn = True
    if any_drawn:
        axes.set(xlabel="horizon, frames", ylabel="SSME, pixels", xlim=(1, _HORIZONS))
        axes.set_ylim(bottom=0)
        axes.legend(loc="lower right")
    return any_drawn


def draw_yaw(axes, comparison, step=10, least=20):
    """Mean error by |yaw|, in steps of degrees that hold at least so many frames. Returns as `draw_ced`."""
    any_drawn = False
    for method, colour in _coloured(comparison):
        clips = comparison.clips()
        of = [comparison.by_method[method][c].scores.frames for c in clips]
        of = [(f, comparison.shared[c]) for f, c in zip(of, clips, strict=True) if "yaw" in f]
        if not of:
            continue
        yaw = np.concatenate([np.abs(f["yaw"][keep]) for f, keep in of])
        error = np.concatenate([f["error"][keep] for f, keep in of])
        middles, means = [], []
        for low in np.arange(0, 90, step):
            inside = (yaw >= low) & (yaw < low + step) & np.isfinite(error)
            if inside.sum() >= least:
                middles.append(low + step / 2)
                means.append(error[inside].mean())
        axes.plot(middles, means, "o-", color=colour, label=method)
        any_drawn = any_drawn or bool(middles)
    if any_drawn:
        axes.set(xlabel="|yaw|, degrees", ylabel="NME, % of inter-ocular", xlim=(0, 90))
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left")
    return any_drawn


def draw_jitter_lag(axes, comparison):
    """Jitter against lag. Returns whether there was anything to draw."""
    any_drawn = False
    for method, colour in _coloured(comparison):
        values = [r.scores.values for r in comparison.by_method[method].values()]
        pairs = np.array([(v.get("lag", np.nan), v.get("jitter", np.nan)) for v in values], float)
        pairs = pairs[np.isfinite(pairs).all(1)]
        if not len(pairs):
            continue
        axes.scatter(*pairs.T, s=16, color=colour, alpha=0.45, linewidths=0)
        axes.scatter(*np.median(pairs, 0), s=140, color=colour, marker="X", edgecolors="white", label=method)
        any_drawn = True
    if any_drawn:
        axes.set(xlabel="lag behind the truth, frames", ylabel="jitter, % of inter-ocular")
        axes.set_ylim(bottom=0)
        axes.legend(loc="best")
    return any_drawn
