"""The head as pictures need it: the face model with teeth, its zones, and colours spread over its skin."""

from dataclasses import dataclass

import numpy as np

from ..face_model.morphable import MorphableModel
from ..render.rasterize import rasterize
from ..render.shade import vertex_normals
from ..rotation import matrix_from_euler

# A dental arch: columns from the subject's right to left, rows from gum to edge, sizes in mm.
_COLUMNS, _ROWS = 17, 4
_HALF_WIDTH, _ARCH_DEPTH = 24.0, 24.0
_BEHIND_LIP = 5.0
_UPPER_MM, _LOWER_MM = (-8.0, 2.5), (9.0, -0.5)

# Colours are spread between patches of skin this far apart, and beyond at growing distances where nothing
# nearer was seen.
_PATCHES = 160
_SPREADS_MM, _SPREAD_WEIGHTS = (10.0, 30.0, 90.0, 200.0), (1.0, 1e-3, 1e-6, 1e-9)


@dataclass(frozen=True)
class Head:
    """A face model with an upper and a lower row of teeth, which the model's mesh lacks.

    V counts all vertices, the model's first. triangles: (F, 3); mirror: (V,); exposed: (V,) bool, skin that
    can be seen with the mouth shut; eyeball, tongue, teeth: (V,) bool; lid: (V, 2) in 0..1, how much of the
    way over the left and right eye each vertex goes in a blink; lash: (V, 2) in 0..1, the lids' edges;
    scalp, neck (all below the jaw), ears: (V,) bool; gum: (V,) in 0..1; rest: (V, 3) mm, the mean face.
    """

    model: MorphableModel
    triangles: np.ndarray
    mirror: np.ndarray
    exposed: np.ndarray
    eyeball: np.ndarray
    tongue: np.ndarray
    teeth: np.ndarray
    lid: np.ndarray
    lash: np.ndarray
    scalp: np.ndarray
    neck: np.ndarray
    ears: np.ndarray
    gum: np.ndarray
    rest: np.ndarray
    _basis: np.ndarray
    _gather: np.ndarray
    _scatter: np.ndarray
    _patch: np.ndarray
    _source: np.ndarray

    @property
    def inside(self):
        """(V,) bool: the mouth's lining, the sockets and whatever else is never seen with the mouth shut."""
        return ~(self.exposed | self.eyeball | self.tongue | self.teeth)

    def points(self, identity, expression):
        """Vertices of one face: (K,), (E,) to (V, 3) mm, model frame."""
        x = np.concatenate([identity, expression]).astype(np.float32)
        return self.rest + (x @ self._basis).reshape(-1, 3)

    def spread(self, colors, weights):
        """Smooth colours over the exposed skin, carried from where they were seen to where they were not.

        colors: (V, 3); weights: (V,) >= 0, how well each was seen. Returns (V, 3), low frequencies only.
        """
        c = len(self._gather)
        w = (self._source * weights).astype(np.float32)
        total = np.stack([np.bincount(self._patch, w * colors[:, k], minlength=c) for k in range(3)], -1)
        mass = np.bincount(self._patch, w, minlength=c) + 1e-30
        patches = (self._gather @ total.astype(np.float32)) / (self._gather @ mass.astype(np.float32))[
            :, None
        ]
        return self._scatter @ patches.astype(np.float32)


def build_head(model):
    """The `Head` of a face model; a second or so, once."""
    teeth_mean, teeth_basis, teeth_triangles, teeth_mirror = _teeth(model)
    s = model.shape
    v, n = model.vertex_count, len(teeth_mean)
    basis = np.concatenate([s.identity_basis, s.expression_basis])
    basis = np.concatenate([basis, teeth_basis], 1).astype(np.float32)
    mean = np.concatenate([s.mean, teeth_mean]).astype(np.float32)

    def padded(mask, fill=False):
        return np.concatenate([mask, np.full(n, fill)])

    none = np.zeros(v, bool)
    region = model.regions.get
    eyeball = region("eyeball_left", none) | region("eyeball_right", none)
    tongue = region("tongue", none)
    exposed = _exposed(model) & ~eyeball & ~tongue
    lid, lash = _lids(model, exposed)
    # The first row of either arch lies in the gums.
    gum = np.zeros((2, _ROWS, _COLUMNS), np.float32)
    gum[:, 0] = 1
    scalp, neck, ears, hair = _zones(model)
    gather, scatter, patch = _patches(mean, padded(exposed), padded(scalp))
    return Head(
        model=model,
        triangles=np.concatenate([model.triangles, teeth_triangles + v]).astype(np.int32),
        mirror=np.concatenate([model.mirror, teeth_mirror + v]),
        exposed=padded(exposed),
        eyeball=padded(eyeball),
        tongue=padded(tongue),
        teeth=padded(none, True),
        lid=np.concatenate([lid, np.zeros((n, 2))]).astype(np.float32),
        lash=np.concatenate([lash, np.zeros((n, 2))]).astype(np.float32),
        scalp=padded(scalp & exposed),
        neck=padded(neck & exposed),
        ears=padded(ears & exposed),
        gum=np.concatenate([np.zeros(v, np.float32), gum.ravel()]),
        _basis=basis.reshape(len(basis), -1),
        rest=mean,
        _gather=gather,
        _scatter=scatter,
        _patch=patch,
        # The farthest back that hair is seen tells most about the rest of it; low at the sides it is thin and
        # mixed with ears, skin and background.
        _source=padded(exposed)
        * np.where(padded(hair), np.exp(mean[:, 2] / 6), np.where(padded(scalp), 1e-12, 1)),
    )


def _teeth(model):
    """Two arches behind the lips: mean (n, 3), basis (K + E, n, 3), triangles, mirror.

    The upper one moves with the upper lip's identity and with no expression; the lower one also with the
    jaw's expressions, as the chin does.
    """
    lips = model.landmarks("ibug68")
    inner, chin = slice(61, 64), slice(7, 10)
    k = model.identity_count
    jaw = np.array([n.startswith("jaw") for n in model.expression_names], float)
    x = np.linspace(-1, 1, _COLUMNS)
    arch = np.stack(
        [_HALF_WIDTH * np.sin(x * np.pi / 2), 0 * x, _ARCH_DEPTH * (1 - np.cos(x * np.pi / 2))], -1
    )
    parts, bases, faces = [], [], []
    for low, (start, end), back in ((False, _UPPER_MM, 0.0), (True, _LOWER_MM, 2.5)):
        y = np.linspace(start, end, _ROWS)
        at = lips.mean[inner].mean(0) * np.array([0, 1, 1]) + np.array([0, 0, _BEHIND_LIP + back])
        grid = arch[None] + y[:, None, None] * np.array([0, 1, 0]) + at
        parts.append(grid.reshape(-1, 3))
        identity = lips.identity_basis[:, inner].mean(1)
        expression = lips.expression_basis[:, chin].mean(1) * jaw[:, None] * float(low)
        bases.append(np.repeat(np.concatenate([identity, expression])[:, None], grid.shape[0] * _COLUMNS, 1))
        i = (np.arange(_ROWS - 1)[:, None] * _COLUMNS + np.arange(_COLUMNS - 1)).ravel()
        quads = np.stack([i, i + 1, i + 1 + _COLUMNS, i + _COLUMNS], -1)
        # The lower arch's rows run upwards, which turns its triangles round.
        order = quads[:, ::-1] if not low else quads
        faces.append(
            np.concatenate([order[:, [0, 1, 2]], order[:, [0, 2, 3]]]) + len(faces) * _ROWS * _COLUMNS
        )
    assert k + len(jaw) == len(bases[0])
    index = np.arange(2 * _ROWS * _COLUMNS).reshape(2, _ROWS, _COLUMNS)
    return (
        np.concatenate(parts),
        np.concatenate(bases, 1),
        np.concatenate(faces),
        index[..., ::-1].reshape(-1),
    )


def _exposed(model, size=256):
    """Skin that some view of the face at rest sees."""
    mean = np.asarray(model.shape.mean, np.float32)
    seen = np.zeros(model.vertex_count, bool)
    scale = size / (2.2 * np.abs(mean - mean.mean(0)).max())
    for yaw in np.radians([-110, -75, -40, 0, 40, 75, 110, 180]):
        for pitch in np.radians([-50, 0, 45]):
            turned = (mean - mean.mean(0)) @ matrix_from_euler(np.array([pitch, yaw, 0])).T
            points = turned * scale + np.array([size / 2, size / 2, 0])
            seen |= visible(
                points, model.triangles, (size, size), vertex_normals(points, model.triangles), 1.5
            )
    return seen


def visible(points, triangles, size, normals, tolerance):
    """Whether each projected vertex faces the viewer and nothing lies more than tolerance in front of it.

    points: (V, 3) pixels and depth in pixels; normals: (V, 3). Returns (V,) bool; False outside the image.
    """
    h, w = size
    depth = rasterize(points, triangles, size, cull=True).depth
    at = np.rint(points[:, :2]).astype(int)
    inside = (at >= 0).all(-1) & (at[:, 0] < w) & (at[:, 1] < h)
    at = np.clip(at, 0, [w - 1, h - 1])
    return inside & (normals[:, 2] < 0) & (points[:, 2] < depth[at[:, 1], at[:, 0]] + tolerance)


def _lids(model, exposed):
    lid, lash = np.zeros((2, model.vertex_count, 2))
    for side, name in enumerate(("eyeBlinkLeft", "eyeBlinkRight")):
        if name not in model.expression_names:
            continue
        move = model.shape.expression_basis[model.expression_names.index(name)]
        travel = move[:, 1] / max(move[exposed, 1].max(), 1e-6)
        lid[:, side] = np.clip((travel - 0.1) / 0.4, 0, 1)
        lash[:, side] = np.clip((travel - 0.85) / 0.1, 0, 1)
    return lid, lash


def _zones(model):
    """Scalp: above the forehead and behind the temples; neck: below the jaw; ears; and the part of the scalp
    that shows hair and nothing else in most pictures of most heads."""
    mean = model.shape.mean
    contour = model.landmarks("ibug68").mean[:17]
    top = model.landmarks("mediapipe478").mean[10]
    x, y, z = mean.T
    temple, jaw = contour[[0, 16]].mean(0), contour[8]
    ears = model.regions.get("ears", np.zeros(len(mean), bool)) & (np.abs(x) > np.abs(contour[0, 0]) + 4)
    scalp = ((y < top[1] - 2) | ((z > temple[2] + 8) & (y < temple[1] + 15))) & ~ears
    # The line along the jaw from the chin to the ears' lower end, a little below it.
    slope = (jaw[1] - temple[1] - 30) / (temple[2] - jaw[2])
    neck = y > jaw[1] + 4 - slope * np.clip(z - jaw[2], 0, temple[2] - jaw[2])
    return scalp, neck & ~scalp & ~ears, ears, scalp & (y < top[1] - 18)


def _patches(mean, exposed, scalp):
    """Farthest-point patches of the exposed skin with smoothing kernels among them and back to vertices."""
    skin = np.flatnonzero(exposed)
    points = mean[skin]
    chosen = [0]
    distance = np.linalg.norm(points - points[0], axis=-1)
    for _ in range(min(_PATCHES, len(points)) - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=-1))
    centers = points[chosen]
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
    pairs = zip(_SPREADS_MM, _SPREAD_WEIGHTS, strict=True)
    gather = sum(w * np.exp(-0.5 * (apart / s) ** 2) for s, w in pairs)
    # Hair is continued by hair and skin by skin, unless none of it was seen.
    hairy = scalp[skin[chosen]]
    gather = gather * np.where(hairy[:, None] == hairy[None], 1, 1e-14)
    to_vertex = np.linalg.norm(mean[:, None] - centers[None], axis=-1)
    to_vertex += np.where(scalp[:, None] == hairy[None], 0, 8)
    closest = to_vertex.min(1, keepdims=True)
    scatter = np.exp(-0.5 * (to_vertex**2 - closest**2) / 12.0**2)
    scatter /= scatter.sum(1, keepdims=True)
    return gather.astype(np.float32), scatter.astype(np.float32), to_vertex.argmin(1)
