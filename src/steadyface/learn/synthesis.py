"""Synthetic pictures of the embedded head with exact labels, for what portraits lack.

``python -m steadyface.learn.synthesis --out cache/synthetic --count 10000``
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import cv2
import numpy as np
import typer

from ..face_model.morphable import load_face_model
from ..render.rasterize import rasterize
from ..render.shade import Lighting, interpolate, sample_texture, shade, vertex_normals
from ..rotation import matrix_from_euler
from ..synthesis.backgrounds import BackgroundPool
from ..synthesis.expressions import vary_expression
from ..synthesis.head import Head, build_head
from ..synthesis.occlude import OCCLUDERS, HeadPlacement, add_glasses, blend, hair_color, hair_texture
from ..synthesis.photograph import grain, head_outline, warp_background
from ..synthesis.picture import PICTURE_MARGIN, PICTURE_SIZE, crop_pose, picture_points
from ..synthesis.skin_textures import SkinTextures, collect_textures, mix_texture, random_skin_color
from .portraits import skin_tone
from .sample_writer import SYNTHETIC, Labels, write_samples
from .samples import read_set

# MediaPipe points: each iris's centre and the four on its rim, the subject's left and right.
_IRISES = ((473, (474, 475, 476, 477)), (468, (469, 470, 471, 472)))
_IRIS_COLORS = (
    (60, 38, 24),
    (85, 55, 32),
    (40, 26, 18),
    (110, 85, 50),
    (95, 115, 90),
    (95, 125, 150),
    (130, 145, 150),
)


@dataclass(frozen=True)
class Scene:
    """Everything a random synthetic picture is drawn from.

    expressions: (M, E) fitted ones of real faces; backgrounds: pictures without faces.
    """

    head: Head
    skins: SkinTextures
    expressions: np.ndarray
    backgrounds: BackgroundPool


def random_lighting(rng):
    """Soft light all around with up to three lamps, sometimes one harsh lamp from the side."""
    ambient = np.zeros((9, 3))
    tint = 1 + rng.normal(0, 0.04, 3)
    ambient[0] = rng.uniform(0.35, 0.95) * tint
    ambient[1:4] = rng.normal(0, 0.13, (3, 1)) * tint
    ambient[4:] = rng.normal(0, 0.04, (5, 1))
    lamps = rng.integers(0, 4)
    direction = rng.normal(0, 1, (lamps, 3)) * np.array([1, 0.7, 0.5]) + np.array([0, -0.4, -0.7])
    strength = rng.uniform(0, 0.6, (lamps, 1))
    if rng.random() < 0.2:
        side = np.array([[rng.choice([-1.0, 1]), rng.normal(-0.2, 0.3), rng.normal(0, 0.3)]])
        direction, strength = (
            np.concatenate([direction, side]),
            np.append(strength, [[rng.uniform(0.6, 1.4)]], 0),
        )
        ambient[0] *= 0.6
    if not len(direction):
        direction, strength = np.array([[0, 0, -1.0]]), np.array([[0.1]])
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    color = strength * (1 + rng.normal(0, 0.07, (len(strength), 3)))
    return Lighting(ambient, direction, color, float(rng.uniform(0, 0.12)), float(rng.uniform(8, 40)))


def draw_eyes(color, raster, head, rng):
    """Sclera, iris and pupil on the eyeballs' pixels, in place, following their turned vertices.

    color: (h, w, 3) float32 0..255.
    """
    first = head.triangles[np.maximum(raster.triangle, 0), 0]
    eye = raster.mask & head.eyeball[first]
    if not eye.any():
        return
    corners, w = head.triangles[raster.triangle[eye]], raster.barycentric[eye]
    # Where on the eyeball at rest the pixel lies: the irises stay where the model's landmarks have them.
    at = np.einsum("nkc,nk->nc", head.rest[corners], w)
    points = head.model.landmarks("mediapipe478").mean
    color_of_iris = np.array(_IRIS_COLORS[rng.integers(len(_IRIS_COLORS))]) * rng.uniform(0.7, 1.3)
    white = np.array([215, 207, 200]) * rng.uniform(0.65, 1.0) + np.array([0, -6, -6]) * rng.uniform(0, 3)
    size, pupil = rng.uniform(0.92, 1.06), rng.uniform(0.27, 0.5)
    out = np.empty((len(at), 3), np.float32)
    for side, (middle, rim) in zip((1, -1), _IRISES, strict=True):
        mine = at[:, 0] * side > 0
        d = at[mine] - points[middle]
        radius = np.linalg.norm(points[list(rim), :2] - points[middle, :2], axis=-1).mean() * size
        r = np.hypot(d[:, 0], d[:, 1]) / radius
        # The lids shade the upper part and the corners.
        paint = white * (1 - 0.35 * np.clip(np.abs(d[:, :1]) / 14, 0, 1) ** 2)
        paint = paint * (1 - 0.4 * np.clip((1 - d[:, 1:2]) / 8, 0, 1))
        limbus, glow = np.clip((r - 0.8) / 0.2, 0, 1), np.clip((0.75 - r) / 0.4, -0.5, 1)
        iris = color_of_iris * (1 - 0.5 * limbus)[:, None] * (1 + 0.25 * glow)[:, None]
        # The edge of the iris is soft over a tenth of its radius.
        mix = np.clip((1.05 - r) / 0.1, 0, 1)[:, None]
        paint = paint + (iris - paint) * mix
        out[mine] = np.where((r < pupil)[:, None], 12, paint)
    color[eye] = out


def beard_weight(head, model, rng):
    """Where hair grows on the lower face, (V,) in 0..1: a full beard, a moustache, a goatee or stubble."""
    lips = model.landmarks("ibug68").mean
    nose, mouth, chin = lips[33], lips[48:60], lips[8]
    x, y, z = head.rest.T
    near_lips = np.linalg.norm(head.rest[:, None] - mouth[None], axis=-1).min(1)
    low = np.clip((y - nose[1] - 3) / 4, 0, 1) * np.clip((near_lips - 3) / 4, 0, 1)
    jaw = np.clip((np.abs(x) - 32) / 18, 0, 1)
    whiskers = np.clip((y - (mouth[:, 1].mean() - 50)) / 15, 0, 1) * np.clip((np.abs(x) - 52) / 8, 0, 1)
    moustache = low * np.clip((mouth[3, 1] + 3 - y) / 3, 0, 1) * (np.abs(x) < 32)
    goatee = low * np.clip((26 - np.abs(x)) / 8, 0, 1) * (y < chin[1] + 12)
    full = np.maximum(low * (1 - 0.25 * jaw), whiskers) * (y < chin[1] + 25)
    part = (full, moustache, goatee, np.maximum(moustache, goatee))[rng.choice(4, p=[0.45, 0.2, 0.15, 0.2])]
    return part * head.exposed * (z < 75)


def random_identity(skins, count, rng):
    """Coefficients of a head: a mixture of fitted ones with some noise, or drawn from the model's prior."""
    if rng.random() < 0.6:
        a, b = skins.fitted[rng.integers(len(skins.fitted), size=2)]
        w = rng.uniform(0, 1)
        return np.clip(a + w * (b - a) + rng.normal(0, 0.25, count), -3, 3)
    # Far from the mean the eyeballs leave their sockets: stay within what adult heads need.
    return np.clip(rng.normal(0, rng.uniform(0.3, 0.8), count), -2, 2)


def random_pose(rng):
    """Pitch, yaw, roll: |yaw| to 90 degrees, pitch to 40."""
    yaw = rng.uniform(-np.pi / 2, np.pi / 2) if rng.random() < 0.6 else rng.normal(0, 0.35)
    spread = 0.28 if abs(yaw) < 1 else 0.18
    return np.array([np.clip(rng.normal(0, spread), -0.7, 0.7), np.clip(yaw, -1.57, 1.57), 0])


def grow_hair(points, normals, head, rng, scale):
    """Push the scalp outwards by a random head of hair, in place; returns the grown height (V,) mm."""
    y, z = head.rest[:, 1], head.rest[:, 2]
    direction = rng.normal(0, 0.03, (3, 3))
    wave = sum(np.sin(head.rest @ d + rng.uniform(0, 6)) for d in direction) / 3
    height = rng.uniform(3, 26) * (1 + 0.35 * wave)
    line = rng.uniform(-8, 14)
    top = head.rest[head.scalp, 1].min()
    fore = np.clip((z + 18 - line * 0.4) / 14, 0, 1)
    height = height * head.scalp * fore * np.clip((40 - y) / 30, 0, 1) * np.clip((y - 2 * top) / 20, 0, 1)
    points += normals * (height * scale)[:, None].astype(np.float32)
    return height


def draw_body(image, placement, rng):
    """Shoulders and neck behind the head, in place."""
    h, w = image.shape[:2]
    low = placement.project([[0, 150, 75]])[0]
    mm = placement.scale
    wide, drop = rng.uniform(150, 230) * mm, rng.uniform(15, 55) * mm
    x = np.array([-1, -0.75, -0.3, 0.3, 0.75, 1]) * wide + low[0]
    y = low[1] + np.array([1.4 * drop, 0.6 * drop, -0.4 * drop, -0.4 * drop, 0.6 * drop, 1.4 * drop])
    corners = np.column_stack([np.concatenate([x, [x[-1], x[0]]]), np.concatenate([y, [h + 50, h + 50]])])
    mask = np.zeros((h, w), np.uint8)
    cv2.fillPoly(mask, [np.rint(np.clip(corners, -2000, 2000)).astype(np.int32)], 255, cv2.LINE_AA)
    color = rng.uniform(0, 255, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0, 120))
    cloth = (
        color * (1 + cv2.resize(rng.normal(0, 0.2, (8, 8)), (w, h), interpolation=cv2.INTER_CUBIC))[..., None]
    )
    blend(image, np.clip(cloth, 0, 255), mask.astype(np.float32) / 255)


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
    rotation, scale, translation = crop_pose(matrix_from_euler(random_pose(rng)))
    points = picture_points(head.points(identity, expression), rotation, scale, translation, n)
    normals = vertex_normals(points, head.triangles)
    bare = points.copy()
    hair = np.zeros(len(points))
    if rng.random() < 0.7:
        hair = grow_hair(points, normals, head, rng, scale * n / PICTURE_MARGIN)
    raster = rasterize(points, head.triangles, (n, n), cull=True)
    color = _skin(scene, raster, hair, rng)
    lighting = random_lighting(rng)
    normals = vertex_normals(points, head.triangles)
    at = interpolate(raster, head.triangles, normals)
    at /= np.maximum(np.linalg.norm(at, axis=-1, keepdims=True), 1e-6)
    lit = shade(color[raster.mask] / 255, at[raster.mask], lighting)
    # Cameras expose for the scene, mostly well: light on the face is near 1, seldom dim.
    light = lit.mean() / max(color[raster.mask].mean() / 255, 1e-3)
    lit *= (rng.uniform(0.8, 1.35) if rng.random() < 0.85 else rng.uniform(0.35, 0.8)) / max(light, 0.1)
    # A camera's shoulder instead of a hard limit.
    lit = np.where(lit > 0.8, 0.8 + 0.2 * np.tanh((lit - 0.8) / 0.2), lit)
    color[raster.mask] = 255 * lit
    placement_points = model.landmarks("mediapipe478")(identity, expression)
    placement = HeadPlacement.in_picture(rotation, scale, translation, placement_points, n)
    behind = _background(scene, bare, placement, rng, n)
    alpha = cv2.blur(cv2.erode(raster.mask.astype(np.float32), np.ones((3, 3))), (3, 3))
    image = blend(behind, np.clip(color, 0, 255), alpha)
    if rng.random() < 0.25:
        add_glasses(image, placement, rng)
    for add, share in OCCLUDERS[1:]:
        if rng.random() < 0.45 * share:
            add(image, placement, rng)
    image = _camera(image, rng)
    px = placement.project(placement_points)
    tone = (
        skin_tone(image, px, placement.yaw)
        if np.ptp(image[::8, ::8].astype(int), axis=-1).mean() > 3
        else np.nan
    )
    return image, Labels(rotation, scale, translation, identity, expression, "", tone)


def _skin(scene, raster, hair, rng):
    """Albedo of the head's pixels: (h, w, 3) float32 0..255."""
    head, model = scene.head, scene.head.model
    n = len(raster.triangle)
    texture, tone = mix_texture(scene.skins, rng)
    # The teeth have no place in the texture: they are painted over below.
    inside = raster.triangle < len(model.triangles)
    known = type(raster)(np.where(inside, raster.triangle, -1), raster.barycentric, raster.depth)
    color = sample_texture(known, model.uv, model.uv_triangles, texture)
    fitted = tone.mean() / 175
    values = np.column_stack(
        [head.inside, head.tongue, head.teeth, head.scalp, hair, beard_weight(head, model, rng), head.gum]
    )
    v = interpolate(raster, head.triangles, values)
    gain = np.ones(3)
    if rng.random() < 0.7 or np.ptp(tone) < 0.15 * tone.mean():
        gain = np.clip(random_skin_color(rng) / np.maximum(tone, 10), 0.12, 3.2)
    color *= gain * grain(rng, n)
    strand = hair_color(rng) * rng.uniform(0.8, 1.3)
    if hair.any():
        streaks = hair_texture(rng, color.shape, strand, rng.uniform(0.2, np.pi - 0.2))
        color += (streaks - color) * np.clip(v[..., 4:5] / 3, 0, 1)
    if rng.random() < 0.22:
        noise = rng.normal(0.55, 0.25, (n, n, 1)).astype(np.float32) * rng.uniform(0.5, 1.3)
        color += (strand * 0.8 - color) * np.clip(v[..., 5:6] * noise, 0, 0.95)
    dim = rng.uniform(0.5, 1.0)
    tooth = np.array([236, 228, 208]) * rng.uniform(0.55, 0.95)
    parts = (
        (0, np.array([88, 34, 32]) * dim),
        (1, np.array([165, 84, 80]) * dim),
        (2, tooth),
        (6, (160, 90, 88)),
    )
    for k, paint in parts:
        color += (np.asarray(paint) - color) * np.clip(v[..., k : k + 1] * 1.5 - 0.25, 0, 1)
    draw_eyes(color, raster, head, rng)
    return color * np.clip(0.75 / max(fitted, 0.3), 0.9, 1.2)


def _background(scene, points, placement, rng, n):
    """A portrait's surroundings pushed to the head's outline, or a drawn place with a body."""
    if rng.random() < 0.5:
        k = rng.integers(len(scene.skins.backgrounds))
        picture = scene.skins.backgrounds[k].astype(np.float32)
        old = scene.skins.outlines[k]
        if rng.random() < 0.5:
            picture = np.ascontiguousarray(picture[:, ::-1])
            # Mirroring the picture turns the angle a into pi - a.
            old = old[(len(old) // 2 - np.arange(len(old))) % len(old)]
        new = head_outline(points, scene.head, n)
        return np.clip(warp_background(picture, old, new), 0, 255).astype(np.uint8)
    image = np.ascontiguousarray(scene.backgrounds.draw(rng, n, n))
    if rng.random() < 0.85:
        draw_body(image, placement, rng)
    return image


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
    head = build_head(model or load_face_model())
    tone, turned = labels["skin_ita"], np.abs(labels["rotation"][:, 0, 2])
    weight = np.where(np.isfinite(tone), 1.0, 0.12)
    weight[tone < 30] = 3
    weight[(turned > 0.4) | (labels["fit_error"] > np.quantile(labels["fit_error"], 0.8))] = 0
    count = min(textures, int((weight > 0).sum()))
    chosen = np.sort(rng.choice(len(weight), count, replace=False, p=weight / weight.sum()))
    skins = collect_textures(head, images, labels, chosen, rng)
    unit = PICTURE_SIZE / PICTURE_MARGIN
    places = [
        SimpleNamespace(
            image=np.ascontiguousarray(images[k]),
            points=labels["landmarks478"][k] * unit + (PICTURE_SIZE - 1) / 2,
            center=np.full(2, (PICTURE_SIZE - 1) / 2),
            side=unit,
        )
        for k in chosen[:: max(1, count // 60)]
    ]
    return Scene(head, skins, labels["expression"], BackgroundPool(places, rng, backgrounds))


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
