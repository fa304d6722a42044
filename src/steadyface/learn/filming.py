"""Training pictures from filmed scripts: people who move and speak before a perspective camera.

``python -m steadyface.learn.filming --cache cache/portraits --out cache/filmed --scenes 1000``

Dense networks need the exact place of every vertex, and larger pictures: ``--exact --size 256``. Networks
that see several frames need longer runs of them: ``--moments 1 --frames 10``.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from ..align.crop import Crop
from ..errors import InputError
from ..evaluate.steadybench.cast import MEAN, Cast
from ..evaluate.steadybench.clip import draw_script
from ..evaluate.steadybench.motion import MOTIONS
from ..evaluate.steadybench.performance import SPEECH
from ..evaluate.steadybench.plan import ClipPlan
from ..evaluate.steadybench.poses import POSES
from ..face_model.morphable import load_face_model
from ..fit.image import weak_perspective_pose
from ..synthesis.conditions import OCCLUDERS, Conditions
from ..synthesis.expressions import vary_expression
from ..synthesis.film import Shot
from ..synthesis.head import build_head
from ..synthesis.lighting import KINDS
from ..synthesis.look import Look
from ..synthesis.picture import PICTURE_MARGIN, PICTURE_SIZE
from ..synthesis.skins import DrawnSkins, PortraitSkins
from ..synthesis.split import is_held_out
from ..synthesis.stage import Stage
from .sample_writer import FILMED, Labels, Perspective, write_samples

#: Width and height of the frames over the side of the stored pictures: a head is about as large in both.
FRAME_SIDES = (2.0, 1.5)
#: Moments of a scene that become samples, and adjacent frames of each.
MOMENTS, FRAMES = 10, 2
# Seconds of a scene, of which a few moments are filmed, and frames a second.
_SECONDS, _FPS = 10.0, 25.0
_TEXELS = 512
#: How often each motion is seen, over the rarest's.
_MOTIONS = {"free": 4, "profile": 4, "sweep": 3, "roll": 2, "fast": 2}
_LIGHTING = {"steady": 3}
# Share of the scenes in which something passes before the face, and how often each does, over the rarest.
_HIDDEN, _HIDING = 0.2, {"hand": 2}


def training_cast(portraits=None, model=None):
    """The `Cast` of training portraits, or of the averaged texture without them.

    portraits: cache of training portraits. Raises InputError if one of them is held out.
    """
    head = build_head(model or load_face_model())
    if portraits is None:
        return Cast(MEAN, head, DrawnSkins(head))
    skins = PortraitSkins(portraits, head)
    held_out = [str(n) for n in skins.labels["name"] if is_held_out(n)]
    if held_out:
        raise InputError(f"{portraits} holds {len(held_out)} held-out portraits, first {held_out[0]}")
    return Cast(f"training-{len(skins)}", head, skins)


def film_scene(cast, rng, moments=MOMENTS, size=PICTURE_SIZE, exact=False, frames=FRAMES):
    """One person in one place at a few moments: list of (n, n, 3) uint8 pictures with `Labels`.

    cast: `Cast`; moments: how many; size: n; exact: as of `sample`; frames: adjacent ones of each moment.
    Identity and expression in the labels are the true ones.
    """
    plan = _plan(rng, size)
    script = draw_script(plan, cast.model, rng, cast.fitted)
    at = np.sort(rng.choice(len(script) // frames - 1, moments, replace=False)) * frames
    script = replace(script, expression=_varied(script, at, frames, rng))
    skins = cast.of_tone(plan.tone)
    look = Look.random(rng, skins, cast.head, _TEXELS, glasses=rng.random() < 0.15)
    stage = Stage.random(rng, plan.size, skins)
    conditions = Conditions(
        lighting=_choice(rng, KINDS, _LIGHTING),
        occluder=_choice(rng, OCCLUDERS, _HIDING) if rng.random() < _HIDDEN else None,
        noise=float(rng.gamma(1.5, 1.2)),
        resolution=_resolution(rng),
    )
    shot = Shot(script, look, stage, conditions, rng, figure=cast.figure)
    points = {name: cast.model.landmarks(name) for name in ("mediapipe478", "ibug68")}
    shown = (at[:, None] + np.arange(frames)).ravel()
    return [sample(shot.frame(i)[0], script, i, points, size, exact) for i in shown]


def sample(image, script, i, points, size=PICTURE_SIZE, exact=False):
    """The stored picture of a frame of a script, size x size, and its `Labels`.

    points: `LinearShape` of each mark-up, "mediapipe478" and "ibug68"; the nearest weak-perspective pose of
    the 478 places the crop. That is also the pose in the labels, unless `exact`: then it is the true one,
    with the pinhole's perspective beside it.
    """
    true, true68 = (script.image_points(points[name], i)[..., :2] for name in ("mediapipe478", "ibug68"))
    reference = points["mediapipe478"](script.identity, script.expression[i])
    rotation, scale, translation = weak_perspective_pose(true, reference)
    crop = Crop.from_pose(rotation, scale, translation)
    picture = Crop(crop.center, PICTURE_MARGIN * crop.side, crop.roll).extract(image, size)
    perspective = None
    if exact:
        origin = np.asarray(script.translation[i], float)
        rotation, scale = script.matrices[i], script.focal / origin[2]
        translation = script.camera.project(origin[None])[0]
        perspective = Perspective(1 / origin[2], crop.from_image(script.center))
    upright = rotation.copy()
    upright[:2] = crop.rotation.T @ rotation[:2]
    labels = Labels(
        upright,
        scale / crop.side,
        crop.from_image(translation),
        script.identity,
        script.expression[i],
        "",
        np.nan,
        crop.from_image(true),
        perspective,
        crop,
        crop.from_image(true68),
    )
    return picture, labels


def _choice(rng, names, often):
    weight = np.array([often.get(n, 1) for n in names], float)
    return str(rng.choice(list(names), p=weight / weight.sum()))


def _plan(rng, side):
    face = SPEECH if rng.random() < 0.4 else "+".join(rng.choice(list(POSES), 3, replace=False))
    motion = _choice(rng, MOTIONS, _MOTIONS)
    count = round(_SECONDS * _FPS)
    width, height = (round(side * k) for k in FRAME_SIDES)
    tone = float(rng.uniform())
    return ClipPlan("scene", "A", "clean", motion, face, tone, 0, count, _FPS, (width, height))


def _resolution(rng):
    return float(rng.uniform(0.25, 0.8)) if rng.random() < 0.2 else 1.0


def _varied(script, at, frames, rng):
    """The script's expressions, at half of the moments another one that moves on alike."""
    expression = np.array(script.expression)
    for i in at[rng.random(len(at)) < 0.5]:
        change = expression[i : i + frames] - expression[i]
        varied = vary_expression(expression[i], script.model.expression_names, rng)
        expression[i : i + frames] = np.clip(varied + change, 0, 1)
    return expression


def main(
    cache: Annotated[Path, typer.Option(help="Training portraits to take skin from.")] = Path(
        "cache/portraits"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("cache/filmed"),
    scenes: Annotated[int, typer.Option(help="People filmed.")] = 1000,
    moments: Annotated[int, typer.Option(help="Moments of each.", min=1)] = MOMENTS,
    frames: Annotated[int, typer.Option(help="Adjacent frames of each moment.", min=1)] = FRAMES,
    size: Annotated[int, typer.Option(help="Side of the pictures, pixels.", min=16)] = PICTURE_SIZE,
    exact: Annotated[
        bool, typer.Option(help="Label the true pose and perspective, not the nearest weak-perspective pose.")
    ] = False,
    seed: int = 0,
    processes: int = 2,
):
    """Film people of the training portraits and write the pictures as a set of samples."""
    cv2.setNumThreads(1)
    cast = training_cast(cache)
    cast.figure  # noqa: B018 - built once, before the processes part

    def make(i):
        return film_scene(cast, np.random.default_rng([seed, 3, i]), moments, size, exact, frames)

    count = moments * frames
    write_samples(out, scenes, make, cast.model, FILMED, processes, count, adjacent=frames, size=size)


if __name__ == "__main__":
    typer.run(main)
