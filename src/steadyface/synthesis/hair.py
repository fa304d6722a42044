"""Hair on a head: where it grows, the volume it has, and its strands."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..render.rasterize import depth_image
from .strands import Strands

#: Kinds of hair and how often people have them.
KINDS = {"bald": 0.04, "buzz": 0.12, "short": 0.34, "side": 0.16, "curly": 0.1, "tied": 0.14, "long": 0.1}

# Strands on a head of hair where not 4200.
_COUNT = {"long": 3400}

_COLORS = (
    (16, 13, 12),
    (38, 26, 20),
    (70, 47, 32),
    (112, 80, 50),
    (160, 126, 82),
    (104, 54, 30),
    (128, 126, 124),
    (196, 193, 188),
)
_SHARES = (0.26, 0.26, 0.16, 0.1, 0.06, 0.04, 0.08, 0.04)


@dataclass(frozen=True)
class HairStyle:
    """Someone's hair.

    kind: of `KINDS`; color: (3,) RGB 0..255; grey: share of grey strands; line: mm that the hairline lies
    lower on the forehead than common; recede: mm that it is higher at the temples; nape: mm, lower end of
    short hair behind; volume: mm on top, sides: mm; length: mm of the strands; curl: mm; part: mm to the
    subject's left of the middle where hair is parted; fringe: 0..1, how much of it falls over the forehead;
    gloss: strength of its highlights; seed: of the strands.
    """

    kind: str
    color: np.ndarray
    grey: float
    line: float
    recede: float
    nape: float
    volume: float
    sides: float
    length: float
    curl: float
    part: float
    fringe: float
    gloss: float
    seed: int

    @classmethod
    def random(cls, rng, color=None, kind=None):
        """Any of the kinds in any natural colour. color: (3,) RGB to have it in; kind: of `KINDS`."""
        kind = kind or str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
        if color is None:
            color = np.array(_COLORS[rng.choice(len(_COLORS), p=_SHARES)]) * rng.uniform(0.8, 1.2)
        volume, sides, length, curl, fringe = {
            "bald": (0, 0, 0, 0, 0),
            "buzz": (rng.uniform(2, 5), rng.uniform(1, 3), 6, 0.5, 0.3),
            "short": (
                rng.uniform(9, 22),
                rng.uniform(4, 10),
                rng.uniform(22, 45),
                rng.uniform(1, 4),
                rng.uniform(0, 1),
            ),
            "side": (
                rng.uniform(12, 24),
                rng.uniform(5, 10),
                rng.uniform(45, 75),
                rng.uniform(1, 4),
                rng.uniform(0, 0.5),
            ),
            "curly": (rng.uniform(18, 45), rng.uniform(12, 36), rng.uniform(25, 50), rng.uniform(6, 10), 0.4),
            "tied": (rng.uniform(6, 12), rng.uniform(5, 9), 90, 0.8, 0.0),
            "long": (
                rng.uniform(7, 13),
                rng.uniform(5, 11),
                rng.uniform(170, 340),
                rng.uniform(1, 8),
                rng.uniform(0, 1),
            ),
        }[kind]
        # Hair is never bluer than it is red, whatever the light it was photographed in.
        red = float(np.max(color))
        color = np.minimum([red, np.sort(color)[1], np.min(color)], red * np.array([1, 0.92, 0.86]))
        receding = kind in ("buzz", "short", "side", "bald") and rng.random() < 0.4
        return cls(
            kind=kind,
            color=color,
            grey=float(rng.uniform(0, 0.2) * (rng.random() < 0.3)),
            line=float(rng.normal(0, 4)),
            recede=float(rng.uniform(8, 34)) if receding else float(rng.uniform(0, 9)),
            nape=float(rng.uniform(52, 80)),
            volume=float(volume),
            sides=float(sides),
            length=float(length),
            curl=float(curl),
            part=float(rng.choice([-1, 1]) * rng.uniform(12, 32) if kind in ("side", "long") else 0),
            fringe=float(fringe),
            gloss=float(rng.uniform(0.03, 0.16)),
            seed=int(rng.integers(2**31)),
        )


def hairline_distance(style, points):
    """How far inside the hair's bounds points of the mean head lie, mm: (*, 3) to (*,), negative outside."""
    x, y, z = np.moveaxis(np.asarray(points, np.float32), -1, 0)
    side = np.abs(x)
    # Over the forehead: higher at the temples, and lower again towards the ears.
    high = -56.0 + style.line - style.recede * np.exp(-(((side - 36) / 14) ** 2))
    high = high + 0.012 * np.maximum(side - 20, 0) ** 2
    above = (high - y) * 0.8
    # Before the ears a line runs down; sideburns end it.
    behind = z - (34 + 0.35 * np.clip(y + 25, -30, 60))
    front = np.maximum(above, np.minimum(behind, 30 - y))
    # Behind the ears down to the nape.
    rear = np.maximum(front, np.minimum(z - 100, 24.0))
    low = np.where(z > 96, style.nape - y + 0.2 * (z - 130), 26 - y)
    return np.minimum(rear, low)


def hair_height(style, points):
    """How far hair stands off the skin at points of the mean head, mm: (*, 3) to (*,)."""
    x, y, z = np.moveaxis(np.asarray(points, np.float32), -1, 0)
    inside = np.clip(hairline_distance(style, points) / 16, 0, 1)
    top = np.clip((-25 - y) / 55, 0, 1)
    top = top * top * (3 - 2 * top)
    height = style.sides + (style.volume - style.sides) * top
    # Most volume lies over the forehead's end of the top when hair is combed up and back.
    if style.kind in ("short", "side"):
        height = height * (0.8 + 0.4 * np.clip((60 - z) / 70, 0, 1) * top)
    if style.part:
        height = height * (1 - 0.55 * top * np.exp(-(((x - style.part) / 5) ** 2)) * (z < 90))
    return height * np.sqrt(inside)


class Skull:
    """An ellipsoid about a head, closed downwards by an elliptic cylinder: what hair lies on."""

    def __init__(self, points, scalp):
        """points: (V, 3) mm of a neutral head; scalp: (V,) bool."""
        p = points[scalp]
        low, high = p.min(0), p.max(0)
        back = high[2]
        front = points[np.abs(points[:, 0]) < 15, 2][points[np.abs(points[:, 0]) < 15, 1] < -15].min()
        self.center = np.array([0, -8.0, (front + back) / 2], np.float32)
        self.radii = np.array(
            [np.abs(p[:, 0]).max(), self.center[1] - low[1], (back - front) / 2], np.float32
        )

    def outward(self, points):
        """Unit normals of the skull's surface through points: (*, 3)."""
        d = (points - self.center) / self.radii**2
        d = d * np.array([1, 1, 1], np.float32)
        d[..., 1] = np.minimum(d[..., 1], 0)
        return d / np.maximum(np.linalg.norm(d, axis=-1, keepdims=True), 1e-9)

    def level(self, points):
        """Distance from the centre over that of the surface in the same direction, (*,)."""
        d = (points - self.center) / self.radii
        up = np.minimum(d[..., 1], 0)
        return np.sqrt(d[..., 0] ** 2 + up**2 + d[..., 2] ** 2)

    def push(self, points, height, root):
        """Points (*, 3) moved out to at least height (*,) mm above the surface, or above the level (*,) of
        their roots if these lie deeper."""
        level = self.level(points)
        needed = np.minimum(1, root) + height / self.radii.mean()
        needed = needed * (1 - 0.3 * np.clip((points[..., 1] - 30) / 90, 0, 1))
        factor = np.maximum(needed / np.maximum(level, 1e-3), 1)[..., None]
        d = points - self.center
        # Below the centre the surface goes straight down: only the horizontal part is moved.
        moved = d * factor
        moved[..., 1] = np.where(d[..., 1] < 0, moved[..., 1], d[..., 1])
        return self.center + moved


def grow(style, head, points, share=1.0):
    """The `Strands` of a style on a head.

    points: (V, 3) mm, the neutral head with the style's identity (teeth included); share: of the strands of
    a whole head of hair, the fewer the wider. Returns None for a bald head.
    """
    if style.kind == "bald":
        return None
    rng = np.random.default_rng(style.seed)
    roots, rest = _roots(style, head, points, rng, round(share * _COUNT.get(style.kind, 4200)))
    skull = Skull(points, head.scalp)
    n = len(roots)
    steps = {"long": 13, "tied": 10, "side": 8}.get(style.kind, 6)
    length = style.length * np.exp(rng.normal(0, 0.16, n))
    if style.kind in ("short", "side", "buzz", "curly"):
        # Shorter at the sides and behind.
        length *= np.clip(0.45 + (-10 - rest[:, 1]) / 90, 0.35, 1)
    step = (length / (steps - 1))[:, None].astype(np.float32)
    height = hair_height(style, rest).astype(np.float32)
    lift = height * rng.uniform(0.65, 1.1, n).astype(np.float32)
    flow = _flow(style, rest, skull, rng)
    p = roots.astype(np.float32)
    path, level = [p], skull.level(p)
    width = _face_width(head, points)
    clump = rng.normal(0, 1, (n, 3)).astype(np.float32)
    phase, pitch = rng.uniform(0, 6.28, (n, 1)), rng.uniform(0.7, 1.3, (n, 1))
    gravity = {"long": 0.35, "tied": 0.1, "side": 0.12, "curly": 0.0}.get(style.kind, 0.05)
    direction, steep = flow, {"tied": 0.1, "long": 0.2, "side": 0.7}.get(style.kind, 1.1)
    for k in range(1, steps):
        along = direction + np.array([0, gravity * k / 2, 0], np.float32)
        # It leaves the skin steeply and then bends over.
        along = along + skull.outward(p) * steep * np.exp(-1.2 * (k - 1))
        # Hanging hair closes in below the cheeks.
        along[:, 0] -= 0.22 * np.sign(p[:, 0]) * np.clip((p[:, 1] - 40) / 60, 0, 1)
        along /= np.linalg.norm(along, axis=-1, keepdims=True)
        p = p + step * along
        floor = lift * min(1.0, 0.45 + 0.3 * k)
        p = skull.push(p, floor, level).astype(np.float32)
        if style.kind == "long":
            p = _off_the_face(p, rest, style, width)
        path.append(p)
        turn = along + 0.18 * clump * (style.curl / 8) + 0.02 * rng.normal(0, 1, (n, 3)).astype(np.float32)
        direction = turn - skull.outward(p) * (turn * skull.outward(p)).sum(-1, keepdims=True) * 0.8
        direction /= np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-6)
    path = np.stack(path, 1)
    if style.curl > 2:
        t = np.arange(steps)[None] * (1.9 if style.kind == "curly" else 0.75) * pitch + phase
        size = style.curl * np.minimum(np.arange(steps) / 3, 1)[None] * (0.6 if style.kind == "long" else 1)
        normal = skull.outward(path)
        side = np.cross(normal, np.gradient(path, axis=1))
        side /= np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-6)
        path = path + (
            normal * (np.sin(t) * size * 0.6)[..., None] + side * (np.cos(t) * size)[..., None]
        ).astype(np.float32)
    # Locks of neighbouring strands are alike.
    turn = np.arctan2(rest[:, 0], rest[:, 2] - 90)
    lock = sum(
        np.sin(k * turn + 0.03 * k * rest[:, 1] + o)
        for k, o in zip((7, 17, 31), rng.uniform(0, 6, 3), strict=True)
    )
    tint = np.exp(rng.normal(-0.08, 0.16, n) + 0.1 * lock)
    tint = np.where(rng.random(n) < style.grey, -1, tint)
    width = {"long": 0.7, "curly": 0.8, "buzz": 0.5}.get(style.kind, 0.6)
    normal = skull.outward(path).astype(np.float32)
    return Strands(path.astype(np.float32), normal, tint, width / np.sqrt(share))


def _roots(style, head, points, rng, count):
    """Roots on the neutral head and at rest, two (N, 3), where the style's hair grows."""
    triangles = head.triangles[: len(head.model.triangles)]
    skin = head.exposed[triangles].all(-1) & ~head.ears[triangles].any(-1)
    triangles = triangles[skin]
    middle = head.rest[triangles].mean(1)
    corners = points[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    # Nostrils lie as deep as the hair before the ears.
    beside = (np.abs(middle[:, 0]) > 45) | (middle[:, 1] < -30) | (middle[:, 2] > 90)
    area *= (hairline_distance(style, middle) > -3) & beside
    chosen = rng.choice(len(triangles), 3 * count, p=area / area.sum())
    w = rng.dirichlet(np.ones(3), 3 * count)
    rest = np.einsum("nkc,nk->nc", head.rest[triangles[chosen]], w)
    at = np.einsum("nkc,nk->nc", corners[chosen], w)
    # Thin towards the hairline, which itself is no straight line.
    edge = hairline_distance(style, rest) + 2 * np.sin(rest[:, 0] / 5 + rest[:, 2] / 6)
    keep = np.flatnonzero(rng.random(len(rest)) < np.clip(edge / 9 + 0.15, 0, 1))[:count]
    return at[keep], rest[keep]


def _flow(style, rest, skull, rng):
    """Directions along the skin that hair is combed in at its roots: (N, 3) unit."""
    x, y, _ = rest.T
    top = np.clip((-45 - y) / 30, 0, 1)[:, None]
    aside = np.sign(x)[:, None] * np.array([1.0, 0, 0])
    down = np.array([0, 1.0, 0.25]) + 0 * rest
    back = np.array([0, 0.15, 1.0]) + 0 * rest
    forward = np.array([0, 0.35, -1.0]) + 0 * rest
    if style.kind == "tied":
        target = np.array([0, -35.0, 200.0])
        direction = target - rest
    elif style.kind == "long":
        parted = np.sign(x - style.part)[:, None] * np.array([1.0, 0, 0]) + np.array([0, 0.25, 0.35])
        direction = top * parted + (1 - top) * (down + 0.15 * aside)
    elif style.kind == "side":
        over = -np.sign(style.part) * np.array([1.0, 0, 0]) * np.where(
            (x - style.part) * np.sign(style.part) < 0, 1, -1
        )[:, None] + np.array([0, 0.1, 0.3])
        direction = top * over + (1 - top) * down
    else:
        ahead = style.fringe * forward + (1 - style.fringe) * back
        direction = top * (ahead + 0.25 * aside) + (1 - top) * (0.8 * down + 0.2 * back)
    direction = direction / np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-6)
    spread = {"tied": 0.04, "long": 0.1, "side": 0.14, "curly": 0.8}.get(style.kind, 0.28)
    direction = direction + spread * rng.normal(0, 1, direction.shape)
    normal = skull.outward(rest.astype(np.float32))
    direction = direction - normal * (direction * normal).sum(-1, keepdims=True)
    return (direction / np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-6)).astype(
        np.float32
    )


def _face_width(head, points, step=10.0):
    """Half-width of the face by height: (heights, half-widths), mm."""
    face = head.exposed & ~head.ears & (head.rest[:, 2] < 66)
    heights = np.arange(-60, 111, step)
    at = points[face]
    wide = [np.abs(at[np.abs(at[:, 1] - y) < step, 0]).max(initial=0) for y in heights]
    return heights, np.array(wide)


def _off_the_face(p, rest, style, width):
    """Keep long hair beside the face: what comes before the cheeks is moved outwards, (N, 3)."""
    x, y, z = p.T
    bound = np.interp(y, *width) + 5
    bound = np.where(y > 60, np.maximum(bound, 58), bound)
    # It leaves the parting gradually.
    bound = bound * np.clip((y + 60) / 40, 0, 1)
    need = np.where(z < 66, bound, 0)
    sign = np.where(np.abs(x) > 3, np.sign(x), np.sign(rest[:, 0] - style.part + 1e-3))
    p = p.copy()
    p[:, 0] = np.where(np.abs(x) < need, sign * (np.abs(x) + 0.6 * (need - np.abs(x))), x)
    return p


def grow_bangs(style, head, points, rng, count=700):
    """`Strands` that fall from the hairline over brows, eyes and a cheek, close before the face.

    points: (V, 3) mm, the neutral head.
    """
    front = _front(head, points)
    middle, half = rng.choice([-1, 1]) * rng.uniform(5, 25), rng.uniform(22, 40)
    x0 = middle + half * rng.uniform(-1, 1, count)
    # Locks of some strands each that share their sway.
    lock = np.round((x0 - middle) / 6)
    steps = 10
    length = rng.uniform(60, 110) * np.exp(0.25 * np.sin(1.7 * lock) + rng.normal(0, 0.1, count))
    t = np.linspace(0, 1, steps)[None]
    drift = rng.uniform(-0.4, 0.4) + 0.25 * np.sin(2.3 * lock)
    x = x0[:, None] + length[:, None] * t * drift[:, None] * 0.6 + 3 * np.sin(4 * t + lock[:, None])
    x = x + rng.normal(0, 0.8, (count, 1)) * t * 3
    y = -66 + style.line + rng.normal(0, 4, (count, 1)) + length[:, None] * t
    off = rng.uniform(2, 7, (count, 1)) + 5 * np.sin(np.pi * np.minimum(t * 1.5, 1))
    z = cv2.remap(
        front[0],
        ((x - front[1]) / 2).astype(np.float32),
        ((y - front[2]) / 2).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    path = np.stack([x, y, np.minimum(z, 60) - off], -1).astype(np.float32)
    normal = np.broadcast_to(np.array([0, -0.3, -0.95], np.float32), path.shape)
    return Strands(path, normal, np.exp(rng.normal(-0.1, 0.2, count)), 0.8)


def _front(head, points):
    """Smoothed depth of the face seen from the front, mm, at every second millimetre, with its corner."""
    low = np.array([-80.0, -100.0])
    at = points.astype(np.float32).copy()
    at[:, :2] = (at[:, :2] - low) / 2
    depth = depth_image(at, head.triangles, (120, 80), cull=True)
    depth = np.where(np.isfinite(depth), depth, 60)
    return np.minimum(cv2.erode(depth, np.ones((5, 5))), cv2.GaussianBlur(depth, (0, 0), 4)), *low


def streaks(rng, size, angle=0.0, fineness=14):
    """Hair-like lines: (size, size) float32 of mean 0 and deviation 1. angle: radians, 0 is upright."""
    noise = rng.normal(0, 1, (max(size // fineness, 2), size)).astype(np.float32)
    tile = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), np.degrees(angle), 1.45)
    tile = cv2.warpAffine(tile, turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    return (tile - tile.mean()) / max(float(tile.std()), 1e-6)
