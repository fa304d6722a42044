"""A look on a head of some identity: the painted texture, the hair's volume and strands, the fitted torso."""

import cv2
import numpy as np

from .beard import beard_weight
from .body import paint_torso
from .eyes import iris_radius, paint_eye
from .figure import EYE_REACH, EYE_TILES, TEETH_TILE, TORSO_TILE, Figure, below_jaw
from .hair import Skull, grow, hair_height, hairline_distance, streaks
from .look import Look
from .skin_textures import grown

_LINING, _TONGUE, _GUM = np.array([92, 36, 34]), np.array([168, 88, 84]), np.array([165, 92, 90])


class Actor:
    """What is filmed: fixed over a clip, so that nothing flickers.

    figure: `Figure`; look: `Look`; identity: (K,). texture: (s, s, 3) RGB and (s, s) gloss, both uint8;
    grown: (Vh, 3) mm that hair lifts the head's vertices by; torso: (N, 3) mm at rest, model frame;
    strands: `Strands` or None; neutral: (Vh, 3) mm, the head without expression; skull: `Skull`.
    """

    def __init__(self, figure: Figure, look: Look, identity):
        head = figure.head
        self.figure, self.look, self.identity = figure, look, np.asarray(identity)
        self.neutral = head.points(self.identity, np.zeros(head.model.expression_count))
        self.skull = Skull(self.neutral, head.scalp)
        height = hair_height(look.hair, head.rest) * (head.exposed & ~head.ears)
        height = height * (look.hair.kind != "bald")
        self.grown = (self.skull.outward(self.neutral) * (0.85 * height)[:, None]).astype(np.float32)
        # Small textures are for small pictures, which need fewer strands.
        share = float(np.clip(len(look.skin.texture) / 1024, 0.3, 1))
        self.strands = grow(look.hair, head, self.neutral, share)
        self.torso = self._fit_torso()
        self.texture = paint(figure, look)
        eyes = [head.eyeball & (side * head.rest[:, 0] > 0) for side in (1, -1)]
        shift = [(self.neutral[e] - head.rest[e]).mean(0) for e in eyes]
        self.eye_centers = np.array([[30.7, -0.5, 8.9], [-30.7, -0.5, 8.9]]) + shift

    def _fit_torso(self):
        figure, head = self.figure, self.figure.head
        low = figure.bend[: figure.head_count] > 0.5
        at, rest = self.neutral[low], head.rest[low]
        thick = np.abs(at[:, 0]).mean() / np.abs(rest[:, 0]).mean()
        row = figure.ring[:, 1]
        # The neck's width belongs to the head, that of the shoulders to the outfit.
        wide = np.interp(
            row,
            [0, 0.12, 0.35, 0.6],
            [1, self.look.outfit.thick, self.look.outfit.thick, self.look.outfit.wide],
        )
        neck = np.interp(row, [0.1, 0.45], [thick, 1])
        center = np.array([0, 0, 113.0])
        return ((figure.torso - center) * np.column_stack([wide * neck, 0 * row + 1, neck]) + center).astype(
            np.float32
        ) + (at - rest).mean(0).astype(np.float32)


def paint(figure, look):
    """The texture of a look: (s, s, 3) RGB and (s, s) gloss, both uint8."""
    size = len(look.skin.texture)
    atlas, head = figure.atlas(size), figure.head
    rng = np.random.default_rng(look.seed)
    color = look.skin.texture.astype(np.float32)
    gloss = np.full((size, size), look.shine * 255, np.float32)
    torso_count = len(figure.torso)

    def spread(values):
        return atlas.at_vertices(np.concatenate([values, np.zeros(torso_count)]))

    rows = slice(0, int(0.6 * size))
    position = atlas.position[rows]
    face = color[rows]
    # Collars and ties hide most necks.
    below = below_jaw(head.model, position)
    jaw = face[(below < -8) & (below > -26) & (np.abs(position[..., 0]) < 50) & (position[..., 2] < 45)]
    skin = np.median(jaw, 0) if len(jaw) else look.skin.tone
    skin = 0.5 * skin + 0.5 * look.skin.tone * (skin.mean() / max(look.skin.tone.mean(), 1))
    hidden = np.clip((below + 9) / 14, 0, 1) * (np.abs(position).sum(-1) > 0)
    face += (skin.astype(np.float32) - face) * hidden[..., None]
    # Ears that hair hid were given its colour.
    dark = np.clip(2.8 - 4 * face.mean(-1) / max(look.skin.tone.mean(), 1), 0, 1)
    ears = np.clip(1.5 * spread(head.ears.astype(float))[rows], 0, 1) * dark
    face += (look.skin.tone.astype(np.float32) * 0.97 - face) * ears[..., None]
    _mark_skin(face, position, look, rng)
    if look.beard:
        weight = spread(beard_weight(head, look.beard))[rows]
        n = cv2.resize(
            rng.normal(0.55, 0.35, (size // 2, size)).astype(np.float32), (size, rows.stop), fx=0, fy=0
        )
        full = np.clip(weight * np.clip(n, 0, 1.2) * look.beard.density, 0, 0.93)
        face += (look.beard.color.astype(np.float32) - face) * full[..., None]
    lash = spread(head.lash.max(1))[rows]
    face *= 1 - 0.55 * np.clip(lash * 1.5, 0, 1)[..., None]
    _lay_hair(face, gloss[rows], position, look.hair, look.skin.tone, rng)
    inside, tongue = (np.clip(spread(m.astype(float)) * 1.5 - 0.25, 0, 1) for m in (head.inside, head.tongue))
    for weight, paint_ in ((inside, _LINING), (tongue, _TONGUE)):
        color += (paint_ - color) * weight[..., None]
    gloss += (90 - gloss) * np.maximum(0.4 * inside, tongue)
    for side, tile in enumerate(EYE_TILES):
        place = atlas.tile(tile)
        n = color[place].shape[0]
        at = ((np.arange(n) + 0.5) / n - 0.5) * 2 * EYE_REACH
        offset = np.stack(np.meshgrid(at, at), -1)
        color[place] = paint_eye(look.eyes, offset, iris_radius(head.model, look.eyes))
        gloss[place] = 60 + 0 * side
    place = atlas.tile(TEETH_TILE)
    color[place] = _paint_teeth(look, color[place].shape[:2], rng)
    gloss[place] = 110
    place = atlas.tile(TORSO_TILE)
    ring = atlas.at_vertices(np.concatenate([np.zeros((figure.head_count, 2)), figure.ring]))[place]
    color[place] = paint_torso(look.outfit, skin, atlas.position[place], ring)
    gloss[place] = 6
    painted = grown(cv2.convertScaleAbs(np.maximum(color, 0)), atlas.raster.mask)
    return painted, np.clip(gloss, 0, 255).astype(np.uint8)


def _mark_skin(face, position, look, rng):
    """Pores, freckles and moles, in place."""
    h, w = face.shape[:2]
    fine = rng.normal(0, 1, (h, w)).astype(np.float32)
    fine = cv2.GaussianBlur(fine, (0, 0), 0.7) + 0.8 * cv2.GaussianBlur(fine[::-1], (0, 0), 1.6) * 2
    face *= (1 + 0.022 * look.pores * fine)[..., None]
    spots = [(look.freckles, (0.5, 1.3), 0.16, (0, 28, -15), (34, 18, 25))]
    spots.append((look.moles, (0.5, 1.2), 0.5, (0, 40, 10), (45, 45, 50)))
    for count, sizes, depth, middle, reach in spots:
        if not count:
            continue
        centers = np.array(middle) + rng.normal(0, 1, (count, 3)) * reach
        near = (np.abs(position).sum(-1) > 0) & (position[..., 2] < 60)
        rows, columns = np.nonzero(near)
        surface = position[rows, columns]
        for c in centers:
            # The texel nearest to the side and height of the spot, on the face.
            k = int(np.argmin(((surface[::3, :2] - c[:2]) ** 2).sum(-1))) * 3
            y, x = rows[k], columns[k]
            mm = 0.28 * 1024 / w
            r = rng.uniform(*sizes) / mm
            n = int(np.ceil(2.5 * r)) + 1
            ys, xs = slice(max(y - n, 0), y + n + 1), slice(max(x - n, 0), x + n + 1)
            gy, gx = np.mgrid[ys, xs][:, : h - max(y - n, 0), : w - max(x - n, 0)]
            blot = np.exp(-((((gy - y) ** 2 + (gx - x) ** 2) / (r * r)) ** 1.5)) * depth * rng.uniform(0.5, 1)
            face[ys, xs] *= 1 - blot[..., None] * np.array([0.7, 1.0, 1.15])


def _lay_hair(face, gloss, position, style, tone, rng):
    """Hair on the scalp's texels, in place, with an uneven hairline."""
    h, w = face.shape[:2]
    known = np.abs(position).sum(-1) > 0
    inside = hairline_distance(style, position)
    n = rng.normal(0, 1, (h // 3, w // 3)).astype(np.float32)
    n = cv2.resize(cv2.GaussianBlur(n, (0, 0), 0.8) * 2, (w, h), interpolation=cv2.INTER_LINEAR)
    soft = {"bald": 30, "buzz": 12}.get(style.kind, 9)
    cover = np.clip((inside + 2.5 * n) / soft, 0, 1) * known * (position[..., 1] < 110)
    # The photographed hairline is gone: skin goes on from the forehead.
    brow = (position[..., 1] < -24) & (position[..., 1] > -40) & (np.abs(position[..., 0]) < 28) & known
    base = np.median(face[brow & (position[..., 2] < 10)], 0)
    if not np.isfinite(base).all() or base.mean() < 0.75 * tone.mean():
        # There was hair on the forehead, too.
        base = tone
    reach = 40 if style.kind == "bald" else 16
    whole = np.clip((inside + reach) / 14, 0, 1) * np.clip((-26 - position[..., 1]) / 10, 0, 1) * known
    if style.kind == "bald":
        whole = np.maximum(whole, np.clip((inside + 8) / 10, 0, 1) * known)
    smooth = cv2.GaussianBlur(n, (0, 0), 12 * w / 1024)
    face += (base * (1 + 0.3 * (w / 1024) * smooth[..., None]) - face) * whole[..., None]
    if style.kind == "bald":
        # Shaved: a shadow of stubble at most.
        cover = cover * 0.14
    elif style.kind == "buzz":
        cover = cover * np.clip(0.72 + 0.2 * n, 0, 0.92)
    lines = streaks(rng, w, 0.0)[:h]
    if style.kind == "curly":
        lines = cv2.GaussianBlur(rng.normal(0, 1, (h, w)).astype(np.float32), (0, 0), 2.2) * 5
    shade = 0.86 + 0.17 * lines
    face += (style.color.astype(np.float32) * shade[..., None] - face) * cover[..., None]
    gloss *= 1 - 0.8 * cover


def _paint_teeth(look, size, rng):
    """Two rows of teeth from gum to edge: size (h, w) to (h, w, 3) float32."""
    h, w = size
    out = np.empty((h, w, 3), np.float32)
    half = h // 2
    for k in range(2):
        rows = slice(k * half, h if k else half)
        n = rows.stop - rows.start
        # The grid's columns are even in angle; teeth narrow towards the back.
        u = np.linspace(-1, 1, w)
        x = np.sin(u * np.pi / 2) * 24
        widths = np.array([8.4, 6.6, 7.6, 7.0, 7.0, 9, 9]) if not k else np.array([5.4, 5.9, 6.8, 7, 7, 9, 9])
        arc = np.abs(u) * np.pi / 2 * 24
        ends = np.cumsum(widths)
        gap = np.exp(-((arc[:, None] - np.concatenate([[0], ends])[None]) ** 2) / 0.18).max(1)
        index = np.searchsorted(ends, arc)
        tone = (
            1
            - 0.05 * np.minimum(index, 4)
            + rng.normal(0, 0.012, 2 * len(ends) + 2)[index + (x > 0) * len(ends)]
        )
        v = np.linspace(0, 1, n)[:, None]
        row = 0.88 * look.teeth * (tone * (1 - 0.32 * gap))[None, :, None] * np.ones((n, 1, 1))
        # Gums end in arcs over each tooth.
        middle = np.interp(arc, np.concatenate([[0], ends]), np.arange(len(ends) + 1)) % 1
        arch = 0.30 - 0.13 * np.sin(np.pi * middle)
        gum = np.clip((arch[None] - v) / 0.06 + 0.5, 0, 1)[..., None]
        row += (_GUM - row) * gum
        row *= (1 - 0.25 * np.clip((v - 0.9) / 0.1, 0, 1))[..., None]
        out[rows] = row
    return out
