"""A still photograph turned to a new pose and expression (face profiling: 3DDFA_V2, sec. 2.4; 300W-LP).

The fitted mesh wears the photograph; what the photograph does not show comes from the other half of the
face or from the colours around it; the background follows the head's outline.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from ..render.rasterize import rasterize
from ..render.shade import interpolate, vertex_normals
from .head import Head
from .picture import crop_pose, picture_points

_ANGLES = 72
# Albedo of the mouth's parts under full light.
_LINING, _TONGUE, _TOOTH, _GUM = (
    (0.42, 0.17, 0.15),
    (0.66, 0.34, 0.32),
    (0.93, 0.90, 0.82),
    (0.66, 0.36, 0.34),
)


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
        color = self.wear(raster, *self._blink(expression), rng)
        behind = self.behind(points)
        alpha = cv2.blur(cv2.erode(raster.mask.astype(np.float32), np.ones((3, 3))), (3, 3))[..., None]
        return np.clip(behind + (color - behind) * alpha + 0.5, 0, 255).astype(np.uint8)

    def wear(self, raster, cover, lash, rng=None):
        """What the photograph gives the pixels of a raster of the head: (h, w, 3) float32.

        raster: `Raster` of head.triangles (or of any prefix of them); cover: (V,) in 0..1, vertices that must
        not show what was photographed there; lash: (V,) in 0..1, how much to darken the filled-in colour.
        """
        head = self.head
        seen = self.seen * (1 - cover)
        mirrored = seen[head.mirror] * head.exposed
        # Sockets are in shade, and the smooth colours come from around them.
        skin = self.skin * (1 - 0.14 * cover - 0.5 * lash)[:, None]
        values = np.concatenate(
            [self.at, self.at[head.mirror], seen[:, None], mirrored[:, None], skin, self.gain], -1
        )
        v = interpolate(raster, head.triangles, values)
        here = _look_up(self.image, v[..., 0:2])
        there = _look_up(self.image, v[..., 2:4]) * v[..., 9:12]
        color = v[..., 6:9]
        if rng is not None:
            color = color * grain(rng, len(color))
        color += (there - color) * v[..., 5:6]
        color += (here - color) * v[..., 4:5]
        return color

    def behind(self, points):
        """The picture without its head, pushed or pulled around the outline of another.

        points: (V, 3) pixels of the new head. Returns (n, n, 3) float32.
        """
        return warp_background(
            self.background, self.outline, head_outline(points, self.head, len(self.image))
        )

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
        outline=head_outline(points, head, n),
    )


def _bare(head, colors, seen):
    """How likely neck and ears show skin, not a collar or background: (V,) in 0..1, 1 elsewhere."""
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


def grain(rng, n):
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


def head_outline(points, head, n):
    """Largest radius of the head's vertices around the picture's centre per angle: (A,) float32 pixels."""
    d = points[head.exposed, :2] - (n - 1) / 2
    angle = np.arctan2(d[:, 1], d[:, 0]) * (_ANGLES / (2 * np.pi))
    radius = np.zeros(_ANGLES, np.float32)
    length = np.sqrt((d**2).sum(-1))
    for shift in (0, 0.5):
        np.maximum.at(radius, np.rint(angle + shift).astype(int) % _ANGLES, length)
    wrapped = np.concatenate([radius[-3:], radius, radius[:3]])
    return np.convolve(wrapped, np.ones(7) / 7, "valid").astype(np.float32)


def warp_background(background, old, new):
    """Move a background so that the old outline of the head becomes the new one, less and less outwards.

    background: (n, n, 3) float32; old, new: (A,) radii as `head_outline` gives. Returns (n, n, 3).
    """
    n = len(background)
    radius, angle = _polar_grid(n)
    old, new = (cv2.remap(o[None], angle, np.zeros_like(angle), cv2.INTER_LINEAR) for o in (old, new))
    gap = old - new
    # Displaced fully at the head's outline, fading outwards slowly enough never to fold.
    reach = np.maximum(0.2 * n, 1.5 * np.abs(gap))
    outside = radius + gap * np.exp(np.minimum(new - radius, 0) / reach)
    source = np.where(radius > new, outside, radius * old / np.maximum(new, 1))
    factor = source / np.maximum(radius, 1e-3)
    y, x = np.mgrid[:n, :n].astype(np.float32) - (n - 1) / 2
    x, y = (((n - 1) / 2 + c * factor).astype(np.float32) for c in (x, y))
    return cv2.remap(background, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


@cache
def _polar_grid(n):
    """Radius of each pixel from the picture's centre, and its place in an outline: two of (n, n)."""
    y, x = np.mgrid[:n, :n].astype(np.float32) - (n - 1) / 2
    angle = np.arctan2(y, x) * (_ANGLES / (2 * np.pi)) % _ANGLES
    return np.hypot(x, y), np.minimum(angle, _ANGLES - 1).astype(np.float32)
