"""What self-refinement does where something hides the face: the studio quality beside its own start."""

import numpy as np

from ..report import Section, Table, Target

#: Conditions of SteadyBench in which something passes over the face.
CONDITIONS = ("hand", "microphone", "hair", "cup", "glasses")
#: A frame may become so many times as bad as it was, at most.
MOST = 1.05
BEFORE, AFTER = "standard", "studio"


def error_ratios(results, after=AFTER, before=BEFORE):
    """Errors of the frames in which two methods found the face: clip to (before, after), (N,) each, percent.

    results: list of `Result` of both methods on the same clips.
    """
    of = {(r.method, r.clip): r.scores.frames["error"] for r in results}
    pairs = {clip: (of[before, clip], of[after, clip]) for method, clip in of if method == after}
    return {clip: tuple(e[np.isfinite(a) & np.isfinite(b)] for e in (a, b)) for clip, (a, b) in pairs.items()}


def row_of(pairs):
    """Figures of pairs of errors before and after, (N,) each: the cells after a row's name."""
    before, after = (np.concatenate(e) for e in zip(*pairs, strict=True))
    ratio = after / before
    worse = ratio > MOST
    return (
        len(ratio),
        float(before.mean()),
        float(after.mean()),
        float(np.median(ratio)),
        100 * float(worse.mean()),
        float(ratio.max()),
        float((after - before).max()),
    )


def occluders_section(results, conditions, clips, command):
    """The `Section` of SteadyBench's clips in which something hides the face, and of clips without truth.

    results: list of `Result` of both methods on SteadyBench's clips; conditions: name to condition of those
    that count; clips: the same results of other clips, whose errors are distances to MediaPipe, or [].
    """
    pairs = {c: p for c, p in error_ratios(results).items() if c in conditions and len(p[0])}
    rows = [(clip, conditions[clip], *row_of([pair])) for clip, pair in pairs.items()]
    rows += [("all", "", *row_of(list(pairs.values())))] if pairs else []
    others = [(clip, *row_of([pair])) for clip, pair in error_ratios(clips).items() if len(pair[0])]
    columns = ("frames", BEFORE, AFTER, "median ratio", "more than 5 % worse, % of frames", "worst ratio")
    columns = (*columns, "most added")
    worst = rows[-1][-2] if rows else float("nan")
    tables = [
        Table(
            "Errors of frames, percent of inter-ocular, before and after refinement.",
            ("clip", "hidden by", *columns),
            tuple(rows),
        )
    ]
    if others:
        tables.append(Table("The same on clips, by MediaPipe's points.", ("clip", *columns), tuple(others)))
    return Section(
        name="refine_occluders",
        title="Self-refinement where something hides the face",
        command=command,
        targets=(Target("hidden faces: largest ratio of a frame's error to that before", worst, "<=", MOST),),
        tables=tuple(tables),
        notes=(
            f"The studio quality begins with the standard one's track, so that {AFTER} beside {BEFORE} is "
            "what refinement changes. Ratios are of single frames, where the error before may be as small as "
            "chance makes it; 'most added' is the largest difference of the two errors of a frame.",
        ),
    )
