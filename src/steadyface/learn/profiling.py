"""Face profiling (3DDFA_V2, sec. 2.4; 300W-LP): a still photograph turned to a new pose and expression.

The fitted mesh wears the photograph; what the photograph does not show comes from the other half of the
face or from the colours around it; the background follows the head's outline.

``python -m steadyface.learn.profiling --cache cache/portraits --out cache/profiled --count 16000``
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from ..align.crop import ANCHOR_MM, SIDE_MM, Crop
from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..render.rasterize import rasterize
from ..render.shade import interpolate, vertex_normals
from ..rotation import euler_from_matrix, matrix_from_axis_angle, matrix_from_euler
from .expressions import vary_expression
from .head import Head, build_head
from .sample_writer import PROFILED, Labels, write_samples

#: The cached picture shows this many sides of the standard crop.
PICTURE_MARGIN = 4 / 3
_ANGLES = 72
# Albedo of the mouth's parts under full light.
_LINING, _TONGUE, _TOOTH, _GUM = (
    (0.42, 0.17, 0.15),
    (0.66, 0.34, 0.32),
    (0.93, 0.90, 0.82),
    (0.66, 0.36, 0.34),
)


def crop_pose(rotation):
    """The pose of a head in its own standard crop.

    rotation: (3, 3). Returns the rotation without the crop's roll, scale (crop sides per mm) and translation
    (2,) crop coordinates.
    """
    scale = 1 / SIDE_MM
    roll = Crop.from_pose(rotation, scale, (0, 0)).roll
    upright = matrix_from_axis_angle(np.array([0, 0, -roll])) @ rotation
    return upright, scale, -scale * (upright @ np.array(ANCHOR_MM))[:2]


def picture_points(points, rotation, scale, translation, size):
    """Model points (V, 3) mm as pixels of the cached picture, with depth in pixels.

    rotation (3, 3), scale, translation (2,): pose in crop coordinates; size: pixels of the picture.
    """
    unit = size / PICTURE_MARGIN
    out = points @ (np.asarray(rotation).T * (scale * unit)).astype(np.float32)
    out[:, :2] += (np.asarray(translation) * unit + (size - 1) / 2).astype(np.float32)
    return out


@dataclass(frozen=True)
class Photograph:
    """A photograph taken apart, ready to be rendered anew any number of times.

    image: (n, n, 3) uint8 of the cached kind; identity: (K,), expression: (E,): its fit. Per vertex of the
    head: at (V, 2) pixels; seen (V,) in 0..1, how well the photograph shows it; skin (V, 3) smooth colours
    known everywhere; gain (V, 3), light here over light on the mirror image. background: (n, n, 3) the
    picture without the head; outline: (A,) radius of the head around the crop's centre per angle.
    """

    head: Head
    image: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    at: np.ndarray
    seen: np.ndarray
    skin: np.ndarray
    gain: np.ndarray
    background: np.ndarray
    outline: np.ndarray

    def render(self, rotation, expression, rng=None):
        """The photographed head in a new pose with a new expression, in its own crop.

        rotation: (3, 3), its in-plane part is dropped; expression: (E,). Returns the (n, n, 3) uint8 picture;
        its pose labels are `crop_pose(rotation)`.
        """
        head, n = self.head, len(self.image)
        points = picture_points(head.points(self.identity, expression), *crop_pose(rotation), n)
        raster = rasterize(points, head.triangles, (n, n), cull=True)
        closing, lash = self._blink(expression)
        seen = self.seen * (1 - closing)
        mirrored = seen[head.mirror] * head.exposed
        skin = self.skin * (1 - 0.55 * lash[:, None])
        values = np.concatenate(
            [self.at, self.at[head.mirror], seen[:, None], mirrored[:, None], skin, self.gain], -1
        )
        v = interpolate(raster, head.triangles, values)
        here = _look_up(self.image, v[..., 0:2])
        there = _look_up(self.image, v[..., 2:4]) * v[..., 9:12]
        color = v[..., 6:9]
        if rng is not None:
            color = color * _grain(rng, n)
        color += (there - color) * v[..., 5:6]
        color += (here - color) * v[..., 4:5]
        behind = self._warp_background(points)
        alpha = cv2.blur(cv2.erode(raster.mask.astype(np.float32), np.ones((3, 3))), (3, 3))[..., None]
        return np.clip(behind + (color - behind) * alpha + 0.5, 0, 255).astype(np.uint8)

    def _blink(self, expression):
        """How far the lids cover what the photograph shows: (V,), and the lash line (V,)."""
        names = self.head.model.expression_names
        cover, lash = np.zeros((2, len(self.at)), np.float32)
        for side, name in enumerate(("eyeBlinkLeft", "eyeBlinkRight")):
            if name in names:
                k = names.index(name)
                change = np.clip(2.5 * (expression[k] - self.expression[k]) - 0.1, 0, 1)
                cover = np.maximum(cover, change * self.head.lid[:, side])
                lash = np.maximum(lash, change * self.head.lash[:, side])
        return cover, lash

    def _warp_background(self, points):
        n = len(self.image)
        radius, angle = _polar_grid(n)
        old, new = (
            cv2.remap(o[None], *angle, cv2.INTER_LINEAR)
            for o in (self.outline, _outline(points, self.head, n))
        )
        gap = old - new
        # Displaced fully at the head's outline, fading outwards slowly enough never to fold.
        reach = np.maximum(0.2 * n, 1.5 * np.abs(gap))
        outside = radius + gap * np.exp(np.minimum(new - radius, 0) / reach)
        source = np.where(radius > new, outside, radius * old / np.maximum(new, 1))
        factor = source / np.maximum(radius, 1e-3)
        y, x = np.mgrid[:n, :n].astype(np.float32) - (n - 1) / 2
        to = [(n - 1) / 2 + c * factor for c in (x, y)]
        return cv2.remap(
            self.background,
            *(c.astype(np.float32) for c in to),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )


def take_apart(head, image, rotation, scale, translation, identity, expression):
    """The `Photograph` of a cached picture and its labels: see `Photograph` and `picture_points`."""
    n = len(image)
    model_points = head.points(identity, expression)
    points = picture_points(model_points, rotation, scale, translation, n)
    raster = rasterize(points, head.triangles, (n, n), cull=True)
    normals = vertex_normals(points, head.triangles)
    at = points[:, :2]
    near = np.clip(np.rint(at).astype(int), 0, n - 1)
    unhidden = points[:, 2] < raster.depth[near[:, 1], near[:, 0]] + 0.012 * n
    inside = ((at > 1) & (at < n - 2)).all(-1)
    facing = -normals[:, 2]
    # Skin near the outline is stretched, and a small error of the fit would paint background on it.
    least = np.where(head.scalp, 0.05, 0.2)
    facing = np.where(head.exposed, np.clip((facing - least) / 0.3, 0, 1), facing > 0)
    depth_inside = cv2.distanceTransform(raster.mask.astype(np.uint8), cv2.DIST_L2, 3)[near[:, 1], near[:, 0]]
    facing *= np.clip((depth_inside / n - 0.01) / 0.02, 0, 1)
    seen = (facing * unhidden * inside).astype(np.float32)
    source = image.astype(np.float32)
    colors = _look_up(cv2.blur(source, (3, 3)), at[None])[0]
    bare = _bare(head, colors, seen)
    seen *= np.where(head.ears, bare, 1)
    skin = head.spread(colors, seen * (1 - head.lid.max(1)) * bare)
    gain = np.clip(skin / np.maximum(skin[head.mirror], 1), 0.6, 1.7)
    _paint_inside(head, skin, colors, seen)
    # The rim of the head stays in the background: it continues what the new outline ends with.
    mask = cv2.erode(raster.mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    return Photograph(
        head=head,
        image=source,
        identity=np.asarray(identity),
        expression=np.asarray(expression),
        at=at,
        seen=seen,
        skin=skin.astype(np.float32),
        gain=gain.astype(np.float32),
        background=_fill(source, mask),
        outline=_outline(points, head, n),
    )


def _bare(head, colors, seen):
    """How likely vertices of neck and ears show skin, not a collar or background: (V,) in 0..1, 1 elsewhere."""
    doubtful = head.neck | head.ears
    face = head.exposed & ~doubtful & ~head.scalp & (seen > 0.9)
    if not face.any():
        return np.ones(len(seen), np.float32)
    middle = np.median(colors[face], 0)
    far = np.linalg.norm(colors - middle, axis=-1) / max(0.35 * np.linalg.norm(middle), 1)
    return np.where(doubtful, np.exp(-(far**2)) + 1e-4, 1).astype(np.float32)


def _paint_inside(head, skin, colors, seen):
    """Colours of what is not skin, in place: eyeballs as seen, the mouth's parts lit like the face."""
    eye = head.eyeball & (seen > 0.5)
    face = skin[head.exposed].mean(0)
    white = np.percentile(colors[eye], 75, axis=0) if eye.sum() > 4 else 0.5 * face + 90
    skin[head.eyeball] = white
    light = np.clip(0.5 * face.mean() + 0.6 * white.mean(), 40, 230)
    grey = np.ptp(face) < 0.06 * face.mean() + 2
    depth = head.points(np.zeros(head.model.identity_count), np.zeros(head.model.expression_count))[:, 2]
    fade = np.exp(-np.maximum(depth - depth[head.teeth].min(), 0) / np.where(head.tongue, 60, 35))[:, None]
    gum = head.gum[:, None]
    tooth = np.array(_TOOTH) * (1 - gum) + np.array(_GUM) * gum
    for part, albedo in ((head.inside, _LINING), (head.tongue, _TONGUE), (head.teeth, tooth[head.teeth])):
        paint = np.asarray(albedo, float)
        if grey:
            paint = np.broadcast_to(paint.mean(-1, keepdims=True), paint.shape)
        skin[part] = paint * light * fade[part]


def _look_up(image, at):
    return cv2.remap(
        image,
        np.ascontiguousarray(at[..., 0], np.float32),
        np.ascontiguousarray(at[..., 1], np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _grain(rng, n):
    """Skin-like unevenness, (n, n, 1) around 1, so that filled-in skin is not glass."""
    fine, coarse = rng.normal(0, 0.03, (n, n)), rng.normal(0, 0.05, (n // 8, n // 8))
    fine = cv2.blur(fine.astype(np.float32), (2, 2))
    return (1 + fine + cv2.resize(coarse.astype(np.float32), (n, n), interpolation=cv2.INTER_CUBIC))[
        ..., None
    ]


def _fill(image, mask):
    """The picture with the masked part filled smoothly from around it (a push-pull pyramid)."""
    keep = 1 - mask.astype(np.float32)
    levels = [(image * keep[..., None], keep)]
    while len(levels[-1][1]) > 4:
        c, w = levels[-1]
        half = (max(1, c.shape[1] // 2), max(1, c.shape[0] // 2))
        levels.append(tuple(cv2.resize(a, half, interpolation=cv2.INTER_AREA) for a in (c, w)))
    c, w = levels[-1]
    out = (c.sum((0, 1)) / max(w.sum(), 1e-6)) * np.ones_like(c)
    for c, w in reversed(levels):
        out = cv2.resize(out, c.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        out = c + out * (1 - w)[..., None]
    return out


def _outline(points, head, n):
    """Largest radius of the head's vertices around the picture's centre per angle: (A,) float32 pixels."""
    d = points[head.exposed, :2] - (n - 1) / 2
    angle = np.arctan2(d[:, 1], d[:, 0]) * (_ANGLES / (2 * np.pi))
    radius = np.zeros(_ANGLES, np.float32)
    length = np.sqrt((d**2).sum(-1))
    for shift in (0, 0.5):
        np.maximum.at(radius, np.rint(angle + shift).astype(int) % _ANGLES, length)
    wrapped = np.concatenate([radius[-3:], radius, radius[:3]])
    return np.convolve(wrapped, np.ones(7) / 7, "valid").astype(np.float32)


_GRIDS = {}


def _polar_grid(n):
    """Radius (n, n) of each pixel from the centre, and its place in an outline for `cv2.remap`."""
    if n not in _GRIDS:
        y, x = np.mgrid[:n, :n].astype(np.float32) - (n - 1) / 2
        angle = np.arctan2(y, x) * (_ANGLES / (2 * np.pi)) % _ANGLES
        _GRIDS[n] = np.hypot(x, y), (np.minimum(angle, _ANGLES - 1).astype(np.float32), np.zeros_like(x))
    return _GRIDS[n]


#: Photographs turned farther than this show too little of the face for more than a modest change.
FRONTAL_RAD = np.radians(35)


def source_weights(labels):
    """How often each portrait is profiled: (N,), sum 1; dark skin and colour more often, bad fits never.

    labels: mapping of the cache's arrays.
    """
    tone = labels["skin_ita"]
    weight = np.where(np.isfinite(tone), 2.0, 1.0)
    weight[tone < 38] = 4
    weight[tone < 15] = 8
    error = labels["fit_error"]
    weight[error > np.quantile(error, 0.95)] = 0
    return weight / weight.sum()


def draw_angles(rng, start, yaw_min=0.0, yaw_max=np.pi / 2):
    """Pitch, yaw, roll for a photograph whose own are start (3,): mostly far to the side, |yaw| spread evenly."""
    pitch, yaw, _ = start
    if abs(yaw) > FRONTAL_RAD:
        turn = np.sign(yaw) * np.clip(abs(yaw) + rng.uniform(-0.25, 0.45), max(yaw_min, 0.2), yaw_max)
        return np.array([pitch + rng.normal(0, 0.1), turn, 0])
    amount = rng.uniform(yaw_min, yaw_max)
    # Turning farther the same way keeps to the side that the photograph shows better.
    same = rng.random() < (0.7 if abs(yaw) > 0.14 else 0.5)
    side = (1 if yaw > 0 else -1) * (1 if same else -1)
    tilt = np.clip(0.5 * pitch + rng.normal(0, 0.2 if amount < 1.05 else 0.12), -0.6, 0.6)
    return np.array([tilt, side * amount, 0])


def profile_cache(
    cache, out, count, seed=0, yaw_min=0.0, yaw_max=np.pi / 2, expressions=True, processes=2, model=None
):
    """Write a set of re-posed, re-expressed portraits.

    cache: folder written by `build_portrait_cache`; yaw_min, yaw_max: radians; expressions: vary them too.
    Raises InputError if the cache is missing.
    """
    cache = Path(cache)
    if not (cache / "labels.npz").is_file():
        raise InputError(f"{cache} is no portrait cache: make it by python -m steadyface.learn.portraits")
    head = build_head(model or load_face_model())
    images = np.load(cache / "images.npy", mmap_mode="r")
    with np.load(cache / "labels.npz") as z:
        labels = {key: z[key] for key in z.files}
    angles = euler_from_matrix(labels["rotation"])
    weights = source_weights(labels)
    # A turned photograph cannot show large poses of its other side: take it less often for them.
    weights *= np.where(np.abs(angles[:, 1]) > FRONTAL_RAD, 0.5, 1)
    weights /= weights.sum()
    # Each source is taken apart once and rendered twice.
    chosen = np.random.default_rng(seed).choice(len(images), (count + 3) // 2 + 1, p=weights)
    names = head.model.expression_names
    last = {}

    def make(i):
        rng = np.random.default_rng([seed, i])
        # Each process makes every processes-th sample, so its neighbours share a source.
        k = chosen[(i // (2 * processes)) * processes + i % processes]
        if last.get("k") != k:
            pose = (labels[key][k] for key in ("rotation", "scale", "translation", "identity", "expression"))
            last.update(k=k, photograph=take_apart(head, images[k], *pose))
        photograph = last["photograph"]
        rotation = matrix_from_euler(draw_angles(rng, angles[k], yaw_min, yaw_max))
        expression = photograph.expression
        if expressions and rng.random() < 0.8:
            expression = vary_expression(expression, names, rng, 0.42, 0.4)
        picture = photograph.render(rotation, expression, rng)
        name, tone = str(labels["name"][k]), float(labels["skin_ita"][k])
        return picture, Labels(*crop_pose(rotation), photograph.identity, expression, name, tone)

    write_samples(out, count, make, head.model, PROFILED, processes)


def main(
    cache: Annotated[Path, typer.Option(help="Portrait cache to take the photographs from.")] = Path(
        "cache/portraits"
    ),
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("cache/profiled"),
    count: int = 16000,
    seed: int = 0,
    yaw_min: Annotated[float, typer.Option(help="Degrees.")] = 0.0,
    yaw_max: Annotated[float, typer.Option(help="Degrees.")] = 90.0,
    expressions: Annotated[bool, typer.Option(help="Vary the expression too.")] = True,
    processes: int = 2,
):
    """Turn portraits to new poses and expressions and write them as a set of samples."""
    cv2.setNumThreads(1)
    profile_cache(cache, out, count, seed, np.radians(yaw_min), np.radians(yaw_max), expressions, processes)


if __name__ == "__main__":
    typer.run(main)
