"""Synthetic pictures of the embedded head with exact labels, for what portraits lack.

``python -m steadyface.learn.synthesis --out cache/synthetic --count 10000``
"""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import cv2
import numpy as np
import typer

from ..face_model.morphable import load_face_model
from ..rotation import axis_angle_from_matrix, matrix_from_euler
from ..synthesis.backgrounds import BackgroundPool
from ..synthesis.conditions import Conditions
from ..synthesis.expressions import vary_expression
from ..synthesis.figure import Figure, build_figure
from ..synthesis.film import Shot
from ..synthesis.head import build_head
from ..synthesis.look import Look
from ..synthesis.occlude import OCCLUDERS, HeadPlacement
from ..synthesis.picture import PICTURE_MARGIN, PICTURE_SIZE, crop_pose
from ..synthesis.script import Script
from ..synthesis.skin_textures import TEXTURE_SIZE, MixedSkins, collect_textures
from ..synthesis.stage import Stage
from .portraits import skin_tone
from .sample_writer import SYNTHETIC, Labels, write_samples
from .samples import read_set

#: From so far away, mm, a pinhole camera is the weak-perspective one of the labels.
FAR = 1e5
# How often a picture is lit in each way.
_LIGHTING = {"steady": 0.6, "lamp_moves": 0.1, "side": 0.15, "dim": 0.05, "color": 0.1}


@dataclass(frozen=True)
class Scene:
    """Everything a random synthetic picture is drawn from.

    expressions: (M, E) fitted ones of real faces; backgrounds: pictures without faces.
    """

    figure: Figure
    skins: MixedSkins
    expressions: np.ndarray
    backgrounds: BackgroundPool

    @property
    def head(self):
        """The `Head` of the figure."""
        return self.figure.head


def random_identity(skins, count, rng):
    """Coefficients of a head: a mixture of fitted ones with some noise, or drawn from the model's prior."""
    if rng.random() < 0.6:
        a, b = skins.bank.fitted[rng.integers(len(skins.bank.fitted), size=2)]
        w = rng.uniform(0, 1)
        return np.clip(a + w * (b - a) + rng.normal(0, 0.25, count), -3, 3)
    # Far from the mean the eyeballs leave their sockets: stay within what adult heads need.
    return np.clip(rng.normal(0, rng.uniform(0.3, 0.8), count), -2, 2)


def random_pose(rng):
    """Pitch, yaw, roll: |yaw| to 90 degrees, pitch to 40."""
    yaw = rng.uniform(-np.pi / 2, np.pi / 2) if rng.random() < 0.6 else rng.normal(0, 0.35)
    spread = 0.28 if abs(yaw) < 1 else 0.18
    return np.array([np.clip(rng.normal(0, spread), -0.7, 0.7), np.clip(yaw, -1.57, 1.57), 0])


def script_of_crop(model, rotation, scale, translation, identity, expression, n=PICTURE_SIZE):
    """The `Script` of one stored picture of n pixels, its pose in crop coordinates: seen from `FAR` away."""
    unit = n / PICTURE_MARGIN
    focal = FAR * scale * unit
    x, y = np.asarray(translation) / scale
    return Script(
        rotation=axis_angle_from_matrix(rotation)[None],
        translation=np.array([[x, y, FAR]]),
        focal=float(focal),
        center=np.full(2, (n - 1) / 2),
        identity=identity,
        expression=expression[None],
        image_size=(n, n),
        fps=30.0,
        model=model,
    )


def render_synthetic(scene, rng, n=PICTURE_SIZE):
    """One random synthetic picture (n, n, 3) uint8 and its `Labels`."""
    head, model = scene.head, scene.head.model
    names = model.expression_names
    identity = random_identity(scene.skins, model.identity_count, rng)
    base = (
        scene.expressions[rng.integers(len(scene.expressions))]
        if rng.random() < 0.5
        else np.zeros(len(names))
    )
    expression = vary_expression(base, names, rng, 0.35, 0.4)
    pose = crop_pose(matrix_from_euler(random_pose(rng)))
    script = script_of_crop(model, *pose, identity, expression, n)
    look = Look.random(rng, scene.skins, head, TEXTURE_SIZE, glasses=rng.random() < 0.25)
    stage = Stage.random(rng, (n, n))
    if rng.random() < 0.6:
        side = stage.picture.shape[0]
        stage = replace(stage, picture=np.ascontiguousarray(scene.backgrounds.draw(rng, side, side)))
    lighting = str(rng.choice(list(_LIGHTING), p=list(_LIGHTING.values())))
    conditions = Conditions(lighting=lighting, noise=0)
    image, _ = Shot(script, look, stage, conditions, rng, figure=scene.figure).frame(0)
    points = model.landmarks("mediapipe478")(identity, expression)
    placement = HeadPlacement.in_picture(*pose, points, n)
    for add, share in OCCLUDERS:
        if rng.random() < 0.45 * share:
            add(image, placement, rng)
    image = _camera(image, rng)
    px = placement.project(points)
    tone = (
        skin_tone(image, px, placement.yaw)
        if np.ptp(image[::8, ::8].astype(int), axis=-1).mean() > 3
        else np.nan
    )
    return image, Labels(*pose, identity, expression, "", tone)


def _camera(image, rng):
    """Blur, colour, noise and compression of a random camera: (n, n, 3) uint8."""
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
    x = image.astype(np.float32)
    if rng.random() < 0.12:
        x = np.repeat(x @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, -1)
    gamma, contrast = np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.12))
    x = 255 * np.clip(x / 255, 0, 1) ** gamma
    x = (x - 110) * contrast + 110 + rng.normal(0, 10)
    if rng.random() < 0.6:
        x += rng.normal(0, rng.uniform(1, 9), (*x.shape[:2], 1 if rng.random() < 0.4 else 3))
    image = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        assert ok
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return image


def build_scene(cache, rng, model=None, textures=400, backgrounds=200):
    """The `Scene` of a training portrait cache; a quarter of a minute.

    Raises InputError if the cache is missing.
    """
    images, labels = read_set(cache)
    figure = build_figure(build_head(model or load_face_model()))
    tone, turned = labels["skin_ita"], np.abs(labels["rotation"][:, 0, 2])
    weight = np.where(np.isfinite(tone), 1.0, 0.12)
    weight[tone < 30] = 3
    weight[(turned > 0.4) | (labels["fit_error"] > np.quantile(labels["fit_error"], 0.8))] = 0
    count = min(textures, int((weight > 0).sum()))
    chosen = np.sort(rng.choice(len(weight), count, replace=False, p=weight / weight.sum()))
    skins = collect_textures(figure.head, images, labels, chosen, rng)
    n = images.shape[1]
    unit = n / PICTURE_MARGIN
    places = [
        SimpleNamespace(
            image=np.ascontiguousarray(images[k]),
            points=labels["landmarks478"][k] * unit + (n - 1) / 2,
            center=np.full(2, (n - 1) / 2),
            side=unit,
        )
        for k in chosen[:: max(1, count // 60)]
    ]
    return Scene(figure, MixedSkins(skins), labels["expression"], BackgroundPool(places, rng, backgrounds))


def main(
    cache: Annotated[Path, typer.Option(help="Training portraits to take skin from.")] = Path(
        "cache/portraits"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("cache/synthetic"),
    count: int = 10000,
    seed: int = 0,
    processes: int = 2,
):
    """Render synthetic heads with exact labels and write them as a set of samples."""
    cv2.setNumThreads(1)
    scene = build_scene(cache, np.random.default_rng(seed))

    def make(i):
        return [render_synthetic(scene, np.random.default_rng([seed, 1, i]))]

    write_samples(out, count, make, scene.head.model, SYNTHETIC, processes)


if __name__ == "__main__":
    typer.run(main)
