"""The plan of SteadyBench: from a seed to the list of its clips."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

from ...errors import InputError
from .motion import MOTIONS, SINGLE_MOTIONS
from .performance import SPEECH, check_expression

#: What each category asks of a tracker.
CATEGORIES = {
    "A": "steady light, the whole face in sight",
    "B": "changing or difficult light",
    "C": "hidden, blurred, coarse or turned far",
}

#: Conditions by name: fields of `synthesis.film.Conditions` that differ from its defaults.
CONDITIONS = {
    "clean": {},
    "lamp": {"lighting": "lamp_moves"},
    "flicker": {"lighting": "flicker"},
    "side": {"lighting": "side"},
    "color": {"lighting": "color"},
    "dim": {"lighting": "dim", "noise": 9.0},
    "hand": {"occluder": "hand"},
    "hair": {"occluder": "hair"},
    "microphone": {"occluder": "microphone"},
    "blur": {"exposure": 0.8},
    "lowres": {"resolution": 0.3},
    "compression": {"crf": 38},
    "profile": {},
}

#: The clips of each category: condition, class of head motion, what the face does.
TABLE = {
    "A": (
        ("clean", "sway", SPEECH),
        ("clean", "nod", "happiness+anger"),
        ("clean", "still", SPEECH),
        ("clean", "free", SPEECH),
        ("clean", "sway", "surprise+disgust"),
        ("clean", "shake", SPEECH),
        ("clean", "roll", "jaw-open+mouth-side"),
        ("clean", "sweep", SPEECH),
        ("clean", "still", "sadness+fear"),
        ("clean", "nod", SPEECH),
        ("clean", "sweep", "pucker+cheek-puff"),
        ("clean", "free", "grin+wink"),
    ),
    "B": (
        ("lamp", "sway", SPEECH),
        ("side", "sweep", "disgust+happiness"),
        ("dim", "sway", SPEECH),
        ("flicker", "sway", SPEECH),
        ("color", "roll", "sadness+jaw-open"),
        ("side", "still", SPEECH),
        ("lamp", "free", "happiness+surprise"),
        ("dim", "shake", SPEECH),
        ("flicker", "nod", "anger+grin"),
        ("color", "free", SPEECH),
        ("side", "nod", SPEECH),
        ("dim", "still", "fear+pucker"),
    ),
    "C": (
        ("hand", "sway", SPEECH),
        ("profile", "profile", "happiness+surprise"),
        ("blur", "fast", SPEECH),
        ("lowres", "free", SPEECH),
        ("compression", "roll", "anger+lips-in"),
        ("hair", "shake", SPEECH),
        ("microphone", "sway", SPEECH),
        ("profile", "profile", SPEECH),
        ("hand", "nod", "grin+jaw-open"),
        ("compression", "shake", SPEECH),
        ("blur", "fast", "surprise+happiness"),
        ("lowres", "sweep", "sadness+pucker"),
    ),
}

FRAMES, FPS, SIZE = 120, 25.0, (640, 480)


@dataclass(frozen=True)
class ClipPlan:
    """What is filmed in one clip; with the package's version and the textures it fixes every pixel.

    name: also its folder's; category: of `CATEGORIES`; condition: of `CONDITIONS`; motion: of
    `motion.MOTIONS` or `SINGLE_MOTIONS`; expression: as `performance.perform` takes it; tone: how dark the
    person's skin is among all, 0..1; seed: of all that is drawn; frames, fps, size (width, height): of the
    video.
    """

    name: str
    category: str
    condition: str
    motion: str
    expression: str
    tone: float
    seed: int
    frames: int = FRAMES
    fps: float = FPS
    size: tuple[int, int] = SIZE

    def __post_init__(self):
        for value, known, what in (
            (self.category, CATEGORIES, "category"),
            (self.condition, CONDITIONS, "condition"),
            (self.motion, {**MOTIONS, **SINGLE_MOTIONS}, "head motion"),
        ):
            if value not in known:
                raise InputError(f"unknown {what} {value!r}: know {', '.join(known)}")
        check_expression(self.expression)
        if self.frames < 2 or min(self.size) < 16:
            raise InputError(
                f"a clip needs at least 2 frames of 16 x 16 pixels, got {self.frames} of {self.size}"
            )

    def hash(self, *more):
        """A digest of all fields and of what else decides the clip: str."""
        text = json.dumps([asdict(self), *more], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_plan(seed=0, clips=36, frames=FRAMES, fps=FPS, size=SIZE):
    """The `ClipPlan`s of the benchmark, a third of each category; from 37 clips on the table begins again.

    seed: 0 is the benchmark; others are other people and motions. clips: at least 3; fewer than 36 take the
    first of each category, which mix speech and posed expressions. Raises InputError for fewer than 3 clips.
    """
    if clips < 3:
        raise InputError(f"a plan needs at least 3 clips, one of each category, got {clips}")
    each = [clips // 3 + (k < clips % 3) for k in range(3)]
    rows = [
        (category, i, *TABLE[category][i % len(TABLE[category])])
        for category, count in zip(TABLE, each, strict=True)
        for i in range(count)
    ]
    # Each category has people of all tones.
    rng = np.random.default_rng([seed, 1])
    tones = [tone for count in each for tone in _tones(rng, count)]
    return [
        ClipPlan(
            _name(f"{category}{i + 1:02d}", condition, motion, expression),
            *(category, condition, motion, expression, tone),
            *(_seed(seed, category, i), frames, fps, tuple(size)),
        )
        for (category, i, condition, motion, expression), tone in zip(rows, tones, strict=True)
    ]


def variant_plan(motions, expressions, seed=0, people=1, condition="clean", **video):
    """`ClipPlan`s of every motion with every expression, `people` times: for tables of one against the other.

    motions: of `motion.MOTIONS`; expressions: each as `performance.perform` takes it; video: frames, fps,
    size.
    """
    category = next((c for c, table in TABLE.items() if condition in {row[0] for row in table}), "A")
    rows = [(m, e, k) for m in motions for e in expressions for k in range(people)]
    tones = _tones(np.random.default_rng([seed, 2]), len(rows))
    return [
        ClipPlan(
            f"{motion}-{expression}-{k + 1}",
            *(category, condition, motion, expression, tone),
            seed=_seed(seed, f"{motion}-{expression}", k),
            **video,
        )
        for (motion, expression, k), tone in zip(rows, tones, strict=True)
    ]


def _name(number, condition, motion, expression):
    parts = [number, "talk" if expression == SPEECH else "posed", motion, condition]
    # A condition that says no more than the category or the motion is not told.
    return "-".join(parts[:-1] if condition in ("clean", motion) else parts)


def _tones(rng, count):
    """All tones from light to dark, one a clip, in random order."""
    return [round(float(t), 4) for t in (rng.permutation(count) + rng.uniform()) / count]


def _seed(seed, group, i):
    digest = hashlib.sha256(f"{seed} {group} {i}".encode()).digest()
    return int.from_bytes(digest[:6], "big")
