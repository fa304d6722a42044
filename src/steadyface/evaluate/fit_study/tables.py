"""From the errors of all people to the tables of the study, and to what they say of the paper's claims."""

from dataclasses import dataclass, replace

import numpy as np

from ..report import Section, Table
from .errors import FaceErrors
from .fits import OFFSETS, Setting

#: What the live network says without a fit: name to whether of the whole sequence.
NETWORK = {"live network, single image": False, "live network, mean of the sequence": True}
#: A difference counts as clear beyond so many standard errors.
_CLEAR = 2.0
_SOURCE = {
    "dense": ("views", "the dense alignment network's points"),
    "live": ("views_live", "the live network's own points"),
    "exact": ("views_exact", "true points with noise"),
}


@dataclass(frozen=True)
class Spread:
    """Mean over people, and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values):
        """values: (N,), NaN where a person has none."""
        known = np.asarray(values, float)
        known = known[np.isfinite(known)]
        if not len(known):
            return cls(float("nan"), float("nan"))
        error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else float("nan")
        return cls(float(known.mean()), float(error))

    @property
    def sign(self):
        """-1 or 1 if the mean is clearly below or above zero, else 0."""
        return int(np.sign(self.mean)) if abs(self.mean) > _CLEAR * self.error else 0


class Results:
    """The errors of N people by setting (or name of what needs no fit)."""

    def __init__(self, people):
        """people: N dicts of `FaceErrors` or None."""
        self.people, self.keys = people, list(people[0])

    def values(self, key, name):
        """One error of all people: (N,), NaN where a person has none. name: of a field of `FaceErrors`."""
        found: list[FaceErrors | None] = [p[key] for p in self.people]
        return np.array([np.nan if e is None else getattr(e, name) for e in found])

    def gain(self, before, after, name):
        """What one setting has above another, person by person: `Spread`."""
        return Spread.of(self.values(after, name) - self.values(before, name))


def named(key):
    """Cells of a setting: what is seen, prior, offsets."""
    if isinstance(key, str):
        return key, "", ""
    return key.views, "yes" if key.prior else "no", key.offsets or "no"


def pairs(keys):
    """What is compared person by person: claim to list of (before, after)."""
    known = [k for k in keys if isinstance(k, Setting)]
    plain = [k for k in known if not k.offsets]
    longer = [(replace(k, whole=False), k) for k in plain if k.whole and not k.known]
    steps = [
        (a, replace(a, cameras=b))
        for a in plain
        for b in (2, 4)
        if not a.known and a.cameras == b // 2 and replace(a, cameras=b) in plain
    ]
    placed = [(replace(k, known=False), k) for k in plain if k.known]
    names = list(NETWORK)
    return {
        "neutral prior": [(k, replace(k, prior=True)) for k in plain if not k.prior],
        "sequence, not single images": longer,
        "twice the views": steps,
        "cameras known": placed,
        **{f"offsets, {o}": [(replace(k, offsets=""), k) for k in known if k.offsets == o] for o in OFFSETS},
        "fit, not the network alone": [
            (names[k.whole], k) for k in plain if k.cameras == 1 and k.prior and names[k.whole] in keys
        ],
    }


def headline(results):
    """What FlowFace says of the neutral prior, of more views and of offsets, in this study's numbers."""
    four = Setting(4, prior=True)
    said = (
        (
            "the neutral prior changes that of a single image",
            Setting(1, False),
            Setting(1, False, prior=True),
        ),
        ("four views instead of one that of a sequence", Setting(1, prior=True), four),
        ("offsets of the nose that of these four views", four, replace(four, offsets="nose")),
    )
    known = [(words, results.gain(a, b, "mean")) for words, a, b in said if {a, b} <= set(results.keys)]
    if not known:
        return ()
    parts = [f"{words} by {gain.mean:+.3f} ± {gain.error:.3f} mm" for words, gain in known]
    return (f"FlowFace's claims, in mean neutral error: {', '.join(parts)}.",)


def claims(results):
    """Sentences that say in how many comparisons each thing helped."""
    sentences = []
    for what, compared in pairs(results.keys).items():
        if not compared:
            continue
        parts = []
        for name, word in (("mean", "neutral error"), ("chamfer", "CD")):
            signs = [results.gain(a, b, name).sign for a, b in compared]
            parts.append(f"{word} clearly lower in {signs.count(-1)}, higher in {signs.count(1)}")
        sentences.append(f"{what} ({len(compared)} comparisons): {'; '.join(parts)}")
    clear = f"Clear is a mean difference over people beyond {_CLEAR:g} of its standard errors."
    return (f"What helps: {'. '.join(s[0].upper() + s[1:] for s in sentences)}. {clear}",)


def section_of(people, plan, textures, command):
    """The `Section` of the study: people as `Results` takes them, plan a `StudyPlan`, the cast's textures."""
    results = Results(people)
    name, source = _SOURCE[plan.points]
    rows = []
    for key in results.keys:
        spread = {n: Spread.of(results.values(key, n)) for n in ("median", "mean", "std", "chamfer")}
        shown = (spread["mean"], spread["chamfer"])
        rows.append(
            (
                *named(key),
                *(spread["median"].mean, shown[0].mean, shown[0].error, spread["std"].mean),
                *(shown[1].mean, shown[1].error),
            )
        )
    gains = []
    for what, compared in pairs(results.keys).items():
        for before, after in compared:
            mean, cd = (results.gain(before, after, n) for n in ("mean", "chamfer"))
            gains.append((what, *_between(before, after), mean.mean, mean.error, cd.mean, cd.error))
    numbers = tuple(f"person {k + 1}" for k in range(len(people)))
    each = [
        Table(
            f"{title} of each person, mm.",
            ("what is seen", "prior", "offsets", *numbers),
            tuple((*named(k), *results.values(k, n).tolist()) for k in results.keys),
        )
        for n, title in (("mean", "Mean neutral error"), ("chamfer", "CD"))
    ]
    film = plan.film
    return Section(
        name=name,
        title=f"The sequence fit's parts, with {source}",
        command=command,
        tables=(
            Table(
                "Errors of the face, mm, means over people; ± is their standard error. Neutral error: of the "
                "neutral face, as NoW measures it. CD: of the moving face.",
                *(
                    ("what is seen", "prior", "offsets", "median", "mean", "±", "std", "CD", "CD ±"),
                    tuple(rows),
                ),
            ),
            Table(
                "Difference that each part makes, mm, person by person: below zero is better.",
                ("part", "what is seen", "prior", "neutral mean", "±", "CD", "CD ±"),
                tuple(gains),
            ),
            *each,
        ),
        notes=(
            *headline(results),
            *claims(results),
            f"{film.people} people ({textures}) perform for {film.frames} frames over "
            f"{film.frames / film.fps:g} s before {len(film.places) + 1} cameras; {film.unevenness_mm:g} mm "
            "(root mean square) of every face lies outside the face model, which only offsets can tell. "
            "Single images are five frames, each by itself; cameras are unknown unless it is said; the live "
            "network's identities, of the same pictures, are the prior. All fits have the standard quality's "
            "weights, that of the prior for each frame.",
        ),
    )


def _between(before, after):
    """Cells of a comparison: what is seen, and with which prior."""
    seen, prior, _ = named(after)
    start = named(before)[0]
    return seen if seen == start else f"{start} → {seen}", prior
