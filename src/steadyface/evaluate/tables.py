"""From the scores of all clips and methods to the tables of a report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .markup_offset import errors_without, markup_offset
from .metrics import auc_fr
from .report import Section, Table, Target
from .scores import FAILURE, REGIONS, Scores, failures

#: Bins of |yaw|, degrees, closed at their upper ends.
YAW_BINS = ((0, 30), (30, 60), (60, 180))
#: Name under which all still images of a dataset are one clip.
STILLS = "images"
_BIN_NAMES = ("0-30", "30-60", "over 60")


@dataclass(frozen=True, eq=False)
class Result:
    """The scores of one method on one clip.

    attributes: what the dataset says of the clip, as text; title: what the tool calls itself.
    """

    method: str
    clip: str
    scores: Scores
    attributes: Mapping[str, str]
    title: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The results of several methods on the same clips, made ready to be compared.

    by_method: method to clip to `Result`; shared: clip to (T,) bool, the frames in which every method found
    the face; offset_free: method to clip to (T,) errors without the mark-up's constant offset, percent.
    """

    by_method: Mapping[str, Mapping[str, Result]]
    shared: Mapping[str, np.ndarray]
    offset_free: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def of(cls, results):
        """results: list of `Result`, for every method of every clip."""
        by_method: dict[str, dict[str, Result]] = {}
        for r in results:
            by_method.setdefault(r.method, {})[r.clip] = r
        clips = list(next(iter(by_method.values())))
        assert all(list(of) == clips for of in by_method.values())
        shared = {
            c: np.all([of[c].scores.frames["found"] for of in by_method.values()], axis=0) for c in clips
        }
        return cls(by_method, shared, {m: _offset_free(of) for m, of in by_method.items()})

    @property
    def methods(self):
        return tuple(self.by_method)

    def clips(self, keep: Callable[[Result], bool] = lambda _: True):
        """Names of the clips whose results a condition keeps, in order."""
        first = next(iter(self.by_method.values()))
        return [name for name, r in first.items() if keep(r)]

    def values(self, attribute):
        """What an attribute is in any clip, in order of appearance."""
        first = next(iter(self.by_method.values()))
        return list(
            dict.fromkeys(r.attributes[attribute] for r in first.values() if attribute in r.attributes)
        )

    def pooled(self, method, name, clips, scale=None, choose=None):
        """Mean over the shared frames of clips of an error: of `Scores.frames`, or "offset_free".

        scale: name of frames to multiply by; choose: `Scores.frames` to a mask (T,) of the frames wanted.
        NaN without any.
        """
        parts = []
        for clip in clips:
            frames = self.by_method[method][clip].scores.frames
            errors = self.offset_free[method].get(clip) if name == "offset_free" else frames.get(name)
            if errors is None:
                continue
            errors = errors if scale is None else errors * frames[scale]
            keep = self.shared[clip] & np.isfinite(errors)
            parts.append(errors[keep if choose is None else keep & choose(frames)])
        errors = np.concatenate(parts) if parts else np.zeros(0)
        return float(errors.mean()) if len(errors) else float("nan")

    def all_errors(self, method, clips):
        """Errors of all frames of clips in one array, infinite where no face was found; frames without truth
        are left out."""
        parts = [np.zeros(0)]
        for clip in clips:
            frames = self.by_method[method][clip].scores.frames
            if "error" in frames:
                errors = failures(frames["error"], frames["found"])
                parts.append(errors[~np.isnan(errors)])
        return np.concatenate(parts)

    def mean(self, method, name, clips, statistic=np.mean):
        """Mean over clips of a figure of `Scores.values`, of those where it is known; NaN without any."""
        of = self.by_method[method]
        figures = np.array([of[c].scores.values.get(name, np.nan) for c in clips], float)
        figures = figures[np.isfinite(figures)]
        return float(statistic(figures)) if len(figures) else float("nan")


def _offset_free(of):
    # One offset a method, of all its clips together: a face's own shape is no part of a mark-up.
    known = {c: r.scores.frames for c, r in of.items() if "rotation" in r.scores.frames}
    if not known:
        return {}
    residuals = [f["residual"] for f in known.values()]
    offset = markup_offset(residuals, [f["rotation"] for f in known.values()])
    return {c: errors_without(f["residual"], f["rotation"], offset) for c, f in known.items()}


#: Columns of a table: heading to the figure of (comparison, method, clips).
Columns = Mapping[str, Callable[[Comparison, str, list], float]]


def pooled(name, scale=None):
    """The column of an error pooled over frames."""
    return lambda c, method, clips: c.pooled(method, name, clips, scale)


def mean(name, statistic=np.mean):
    """The column of a figure averaged over clips."""
    return lambda c, method, clips: c.mean(method, name, clips, statistic)


def _auc_fr(which):
    def column(c, method, clips):
        errors = c.all_errors(method, clips)
        return auc_fr(errors, FAILURE)[which] if len(errors) else float("nan")

    return column


ACCURACY: Columns = {
    "found %": mean("found"),
    "NME": pooled("error"),
    "mark-up's offset taken off": pooled("offset_free"),
    "NME 68": pooled("error_68"),
    "NME 478": pooled("error_478"),
    f"AUC {FAILURE:g} %": _auc_fr(0),
    f"FR {FAILURE:g} %": _auc_fr(1),
}
NORMALISERS: Columns = {
    f"{points}, {length}": pooled(f"error{name}", scale)
    for name, points in (("", "51"), ("_68", "68"), ("_478", "478"))
    for scale, length in ((None, "eyes"), ("per_bbox_sqrt", "box"), ("per_bbox_diagonal", "diagonal"))
}
MOTION: Columns = {
    "NMF": mean("nmf"),
    "stability %": mean("stability"),
    "SSME px": mean("ssme_51_face"),
    "jitter %": mean("jitter"),
    "the truth's jitter %": mean("jitter_truth"),
    "lag, frames": mean("lag", np.median),
}
SSME: Columns = {
    f"{points}, {region}": mean(f"ssme_{name}_{region}")
    for name, points in (("51", "51"), ("478", "478"), ("dense", "all"))
    for region in REGIONS
}
SURFACE: Columns = {
    **{f"CD {region}, mm": mean(f"chamfer_{region}") for region in REGIONS},
    "covered %": mean("covered"),
    "normals, deg": mean("normals"),
    "pose, deg": mean("angle"),
    "offset taken off": mean("angle_offset_free"),
    "expression": mean("expression"),
}
SCANS: Columns = {
    "median %": mean("scan_median"),
    "mean %": mean("scan_mean"),
    "deviation %": mean("scan_std"),
}
COST: Columns = {
    "frames/s": mean("fps", np.median),
    "memory, MB": mean("memory_mb", np.max),
}


def table(comparison, caption, columns, clips):
    """A `Table` with one row a method; columns that no method has are left out."""
    figures = {h: [f(comparison, m, clips) for m in comparison.methods] for h, f in columns.items()}
    kept = {h: v for h, v in figures.items() if np.isfinite(v).any()}
    rows = tuple((m, *(v[i] for v in kept.values())) for i, m in enumerate(comparison.methods))
    return Table(caption, ("method", *kept), rows)


def grouped(comparison, caption, columns, attribute, groups):
    """A `Table` with one row for every method of every group; groups: list of (name, clips)."""
    figures = [
        [name, m, *(f(comparison, m, clips) for f in columns.values())]
        for name, clips in groups
        for m in comparison.methods
    ]
    headings = (attribute, "method", *columns)
    kept = [j for j in range(len(headings)) if j < 2 or any(np.isfinite(row[j]) for row in figures)]
    rows = tuple(tuple(row[j] for j in kept) for row in figures)
    return Table(caption, tuple(headings[j] for j in kept), rows)


def side_by_side(comparison, caption, column, attribute, groups):
    """A `Table` of one figure: a row for every group, a column a method; groups: list of (name, clips)."""
    rows = tuple(
        (name, len(clips), *(column(comparison, m, clips) for m in comparison.methods))
        for name, clips in groups
    )
    return Table(caption, (attribute, "clips", *comparison.methods), rows)


def groups_of(comparison, attribute):
    """[(value, clips)] of an attribute; empty if the clips do not differ in it."""
    values = comparison.values(attribute)
    if len(values) < 2:
        return []
    return [(v, comparison.clips(lambda r, v=v: r.attributes.get(attribute) == v)) for v in values]


def yaw_bin(yaw):
    """Index (T,) of the bin of |yaw| of `YAW_BINS`; yaw: (T,) degrees."""
    return np.searchsorted([high for _, high in YAW_BINS[:-1]], np.abs(yaw) - 1e-9)


def yaw_table(comparison, clips):
    """NME by bins of the true |yaw| and the mean of the bins, as AFLW2000-3D is published; None without."""
    first = next(iter(comparison.by_method.values()))
    if not any("yaw" in first[c].scores.frames for c in clips):
        return None
    rows = []
    for m in comparison.methods:
        bins = [
            comparison.pooled(m, "error", clips, choose=lambda f, i=i: yaw_bin(f["yaw"]) == i)
            for i in range(len(YAW_BINS))
        ]
        boxed = [
            comparison.pooled(m, "error", clips, "per_bbox_sqrt", lambda f, i=i: yaw_bin(f["yaw"]) == i)
            for i in range(len(YAW_BINS))
        ]
        rows.append((m, *bins, float(np.mean(bins)), *boxed, float(np.mean(boxed))))
    headings = (*_BIN_NAMES, "mean of bins", *(f"{b}, box" for b in _BIN_NAMES), "mean of bins, box")
    return Table("NME by |yaw| of the true head, degrees.", ("method", *headings), tuple(rows))


def dataset_section(results, name, title, command, notes=(), pictures=(), targets=()):
    """The `Section` of all results of a dataset: all clips, by category, yaw and condition where known."""
    c = Comparison.of(results)
    clips = c.clips()
    frames = sum(len(v) for v in c.shared.values())
    shared = sum(int(v.sum()) for v in c.shared.values())
    stills = clips == [STILLS]
    size = f"{frames:,} images" if stills else f"{len(clips)} clips, {frames:,} frames"
    tables = [
        table(c, f"Accuracy, percent of inter-ocular; {size}.", ACCURACY, clips),
        table(c, "NME by normaliser: points, length.", NORMALISERS, clips),
        table(c, "Steadiness and delay, on the 51 points.", MOTION, clips),
        table(c, "SSME of the visible points by region, pixels: points, region.", SSME, clips),
        table(c, "Surface, head pose and expression.", SURFACE, clips),
        table(c, "Scan to surface, percent of the distance of the scan's outer eye corners.", SCANS, clips),
        table(c, "Cost." if stills else "Cost on one core.", COST, clips),
    ]
    tables = [t for t in tables if len(t.columns) > 1]
    by_category = groups_of(c, "category")
    if by_category:
        columns = {**ACCURACY, **{k: v for k, v in MOTION.items() if k != "the truth's jitter %"}}
        columns |= {"CD face, mm": mean("chamfer_face"), "pose, deg": mean("angle_offset_free")}
        tables.append(grouped(c, "By category.", columns, "category", by_category))
    by_yaw = yaw_table(c, clips)
    if by_yaw:
        tables.append(by_yaw)
    by_condition = groups_of(c, "condition")
    if by_condition:
        tables.append(side_by_side(c, "NME by condition.", pooled("error"), "condition", by_condition))
        tables.append(side_by_side(c, "NMF by condition.", mean("nmf"), "condition", by_condition))
    titles = {r.method: r.title for r in results if r.title}
    named = "Methods: " + "; ".join(f"{m} is {title}" for m, title in titles.items()) + "."
    counted = f"NME is over the {shared:,} frames in which every method found the face; AUC and FR count all."
    return Section(
        *(name, title, command),
        targets=tuple(targets),
        tables=tuple(tables),
        notes=(counted, *((named,) if titles else ()), *notes),
        pictures=tuple(pictures),
    )


def ahead(results, ours, theirs, by="category"):
    """`Target`s that ours is ahead of theirs in NME and NMF in every group of clips.

    Of the two alone: NME is over the frames in which both found the face, whoever else takes part.
    """
    c = _pair(results, ours, theirs)
    if c is None:
        return ()
    out = []
    for name, clips in groups_of(c, by) or [("all", c.clips())]:
        for what, column in (("NME", pooled("error")), ("NMF", mean("nmf"))):
            ratio = column(c, ours, clips) / column(c, theirs, clips)
            out.append(Target(f"{what} of {ours} over {theirs}'s, {by} {name}", ratio, "<", 1.0))
    return tuple(out)


#: What the standard quality is to be, times the live one's: name, column and ratio.
GAINS = (
    ("NME", pooled("error"), 0.7),
    ("SSME", mean("ssme_51_face"), 0.7),
    ("jitter", mean("jitter"), 0.5),
    ("CD of the face", mean("chamfer_face"), 0.8),
)


#: What the studio quality is to be, times the standard one's, of all clips; in no category may it be worse.
STEP_UP = (("NME", pooled("error")), ("SSME", mean("ssme_51_face")), ("NMF", mean("nmf")))
STEP_UP_GOAL = 0.85


def gains(results, ours, theirs):
    """`Target`s of ours over theirs in all clips together, as `GAINS` says, of the two alone."""
    c = _pair(results, ours, theirs)
    if c is None:
        return ()
    return tuple(
        Target(
            f"{what} of {ours} over {theirs}'s",
            column(c, ours, c.clips()) / column(c, theirs, c.clips()),
            "<",
            goal,
        )
        for what, column, goal in GAINS
    )


def steps_up(results, ours, theirs, by="category"):
    """`Target`s of ours over theirs, as `STEP_UP` says, in all clips together and in every group of them."""
    c = _pair(results, ours, theirs)
    if c is None:
        return ()
    groups = [("", c.clips(), STEP_UP_GOAL)]
    groups += [(f", {by} {name}", clips, 1.0) for name, clips in groups_of(c, by)]
    return tuple(
        Target(
            f"{what} of {ours} over {theirs}'s{where}",
            column(c, ours, clips) / column(c, theirs, clips),
            "<=",
            goal,
        )
        for where, clips, goal in groups
        for what, column in STEP_UP
    )


def _pair(results, ours, theirs):
    """The `Comparison` of two methods alone, None if one of them did not take part."""
    pair = [r for r in results if r.method in (ours, theirs)]
    return Comparison.of(pair) if {r.method for r in pair} == {ours, theirs} else None
