"""People who perform before several cameras at once, filmed with their truth into a folder."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ...output import make_folder
from ...synthesis.conditions import Conditions
from ...synthesis.film import Shot
from ...synthesis.look import TEXTURE_SIZE, Look
from ...synthesis.script import Script
from ...synthesis.stage import Stage
from ...video import read_video, write_video
from ..steadybench.cast import Cast, look_of_tone
from ..steadybench.clip import draw_script
from ..steadybench.performance import SPEECH
from ..steadybench.plan import ClipPlan
from ..steadybench.truth import Truth, load_truth, plan_hash_of, save_truth
from .rig import PLACES, Place, scripts_of, turned_light
from .unevenness import uneven_head, unevenness

#: Of all that is drawn here: raised whenever the same plan gives other films.
VERSION = 1
_CRF = 12
_ACTS = (
    ("sway", SPEECH),
    ("nod", "happiness+anger"),
    ("free", SPEECH),
    ("shake", "surprise+disgust"),
    ("roll", SPEECH),
    ("sweep", "grin+jaw-open"),
    ("still", SPEECH),
    ("free", "sadness+pucker"),
)


@dataclass(frozen=True)
class FilmPlan:
    """What is filmed: how many people, for how many frames, by which cameras beside the first.

    unevenness_mm: root mean square of what of their faces lies outside the face model.
    """

    people: int = 8
    frames: int = 24
    fps: float = 8.0
    size: tuple[int, int] = (640, 480)
    places: tuple[Place, ...] = PLACES
    unevenness_mm: float = 1.0
    seed: int = 0

    def digest(self, person, cast: Cast):
        """A digest of all that decides the films of one person: str."""
        text = json.dumps([VERSION, asdict(replace(self, people=1)), person, cast.name, cast.model.name])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def clip(self, person):
        """What one person does: a `ClipPlan`."""
        motion, expression = _ACTS[person % len(_ACTS)]
        tone = (person * 0.618 + 0.1) % 1
        seed = int(np.random.SeedSequence([self.seed, person]).generate_state(1)[0])
        video = {"frames": self.frames, "fps": self.fps, "size": self.size}
        return ClipPlan(
            f"person{person + 1}", "A", "clean", motion, expression, round(tone, 4), seed, **video
        )


def cast_and_script(plan: FilmPlan, person, cast: Cast):
    """The `Head` of one person, whose face model has the person's unevenness, and the `Script`s of all
    cameras."""
    clip = plan.clip(person)
    rng = [np.random.default_rng([clip.seed, k]) for k in range(2)]
    head = uneven_head(cast.head, unevenness(cast.head, rng[0], plan.unevenness_mm))
    script = draw_script(clip, head.model, rng[1], cast.fitted)
    return head, scripts_of(script, plan.places)


def film_person(plan: FilmPlan, person, cast: Cast, root, progress: Callable[[], None] = lambda: None):
    """Film one person into ROOT/NAME: cameraK.mp4 and cameraK.npz of each camera; those there are kept.

    progress: called after every frame. Raises OutputError if the folder cannot be written.
    """
    clip, digest = plan.clip(person), plan.digest(person, cast)
    folder = make_folder(Path(root) / clip.name)
    paths = [folder / f"camera{c}.npz" for c in range(len(plan.places) + 1)]
    if all(plan_hash_of(p) == digest for p in paths):
        return folder
    head, scripts = cast_and_script(plan, person, cast)
    # Its texture's layout is kept by the figure: another face needs its own.
    figure = replace(cast.figure, head=head, _atlases={})
    rng = np.random.default_rng([clip.seed, 2])
    texels = min(TEXTURE_SIZE, 2 ** int(np.ceil(np.log2(1.6 * plan.size[0]))))
    look = look_of_tone(Look.random(rng, cast.of_tone(clip.tone), head, texels), clip.tone, rng)
    conditions = Conditions(crf=_CRF)
    first: Script = scripts[0]
    light = torso = None
    for c, (script, path) in enumerate(zip(scripts, paths, strict=True)):
        # Every camera sees another side of the room.
        place_rng = np.random.default_rng([clip.seed, 3, c])
        stage = Stage.random(place_rng, plan.size, cast.of_tone(clip.tone))
        turn = script.matrices[0] @ first.matrices[0].T
        light = light or stage.light
        stage = replace(stage, light=turned_light(light, turn))
        shot = Shot(script, look, stage, conditions, place_rng, figure=figure)
        # Where shoulders are does not depend on who looks.
        torso = torso or shot.torso
        moved = script.translation[0] - turn @ first.translation[0]
        shot.torso = turn @ torso[0], torso[1] @ turn.T + moved
        seen = []
        with write_video(path.with_suffix(".mp4"), plan.size, plan.fps, _CRF, reproducible=True) as write:
            for i in range(len(script)):
                image, visible = shot.frame(i)
                write(image, i / plan.fps)
                seen.append(visible)
                progress()
        save_truth(Truth(script, np.stack(seen)), path, digest)
    return folder


@dataclass(frozen=True, eq=False)
class Filmed:
    """One person as C cameras filmed it: the `Truth` of each, on the person's own face model, and videos."""

    name: str
    truths: list[Truth]
    videos: list[Path]

    @property
    def scripts(self):
        return [t.script for t in self.truths]

    def images(self, camera):
        """The pictures of one camera: (T, h, w, 3) uint8 RGB."""
        with read_video(self.videos[camera]) as reader:
            return np.stack([frame.image for frame in reader])


def read_person(plan: FilmPlan, person, cast: Cast, root):
    """The `Filmed` of one person, filmed before. Raises InputError if it is not there."""
    folder = Path(root) / plan.clip(person).name
    head, _ = cast_and_script(plan, person, cast)
    paths = [folder / f"camera{c}.npz" for c in range(len(plan.places) + 1)]
    truths = [load_truth(p, head.model) for p in paths]
    return Filmed(folder.name, truths, [p.with_suffix(".mp4") for p in paths])
