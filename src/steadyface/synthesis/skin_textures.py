"""Skin for synthetic heads: textures of photographs, completed over the whole head, mixed and tinted."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..render.rasterize import Raster, rasterize
from .photograph import take_apart
from .skin import Skin

TEXTURE_SIZE = 320
#: MediaPipe points on cheeks and forehead.
CHEEKS = [117, 118, 101, 50, 346, 347, 330, 280, 9, 151]


@dataclass(frozen=True)
class SkinTextures:
    """Textures in the face model's UV layout with what else a photograph gives.

    textures: (M, s, s, 3) uint8; tone: (M, 3) median cheek colour 0..255; fitted: (M, K) their identities.
    """

    textures: np.ndarray
    tone: np.ndarray
    fitted: np.ndarray


def uv_raster(model, size=TEXTURE_SIZE) -> Raster:
    """Which triangle of the model each texel belongs to."""
    points = np.column_stack([model.uv * size - 0.5, np.zeros(len(model.uv))])
    return rasterize(points, model.uv_triangles, (size, size))


def collect_textures(head, images, labels, chosen, rng, size=TEXTURE_SIZE):
    """`SkinTextures` of chosen portraits of a cache; the unseen side is filled in from the seen one.

    images, labels: the cache's arrays; chosen: (M,) indices.
    """
    raster = uv_raster(head.model, size)
    cheeks = np.rint(cheek_texels(head.model, size)).astype(int)
    # Lids of open eyes are narrow in a photograph: half of what they show is filled in.
    cover, lash = 0.6 * head.lid.max(1), head.lash.max(1)
    rows = []
    for k in chosen:
        pose = (labels[key][k] for key in ("rotation", "scale", "translation", "identity", "expression"))
        photograph = take_apart(head, images[k], *pose)
        texture = photograph.wear(raster, cover, lash, rng)
        texture = grown(np.clip(texture, 0, 255).astype(np.uint8), raster.mask)
        tone = np.median(texture[cheeks[:, 1], cheeks[:, 0]], 0)
        rows.append((texture, tone, labels["identity"][k]))
    return SkinTextures(*(np.stack(c) for c in zip(*rows, strict=True)))


def grown(texture, mask):
    """Islands extended by a few texels, so that bilinear sampling at their edges finds no black.

    texture: (s, s, 3) uint8; mask: (s, s) bool, the islands.
    """
    out = np.where(mask[..., None], texture, 0).astype(np.uint8)
    return np.where(mask[..., None], texture, cv2.dilate(out, np.ones((7, 7), np.uint8)))


def cheek_texels(model, size):
    points = model.embeddings["mediapipe478"]
    corners = model.uv_triangles[points.triangle]
    at = (model.uv[corners] * points.barycentric[..., None]).sum(1) * size - 0.5
    return np.clip(at[CHEEKS], 0, size - 1)


def random_skin_color(rng):
    """A skin colour over the whole range of the individual typology angle: (3,) RGB 0..255."""
    ita = np.radians(rng.uniform(-62, 72))
    b = rng.uniform(9, 22)
    lightness = np.clip(50 + b * np.tan(ita), 18, 86)
    a = rng.uniform(8, 17)
    lab = np.array([[[lightness, a, b]]], np.float32)
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0], 0.02, 1) * 255


def mix_texture(bank, rng):
    """A random mixture of one to three textures: (s, s, 3) float32 and its tone (3,)."""
    n = min(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]), len(bank.textures))
    index = rng.choice(len(bank.textures), n, replace=False)
    weight = rng.dirichlet(np.full(n, 2.0))
    # Mixed in one tone, so that a mixture is no patchwork.
    tone = bank.tone[index[0]].astype(np.float32)
    total = np.zeros(bank.textures.shape[1:], np.float32)
    for k, w in zip(index, weight, strict=True):
        gain = np.clip(tone / np.maximum(bank.tone[k], 8), 0.3, 3).astype(np.float32)
        total = total + bank.textures[k].astype(np.float32) * (w * gain)
    return total, tone


class MixedSkins:
    """Skins mixed of `SkinTextures`, in any tone of skin: quick to draw, for small pictures."""

    def __init__(self, bank: SkinTextures):
        self.bank = bank

    def draw(self, rng, size):
        """One `Skin` with a texture of size x size texels."""
        texture, tone = mix_texture(self.bank, rng)
        gain = np.ones(3)
        if rng.random() < 0.7 or np.ptp(tone) < 0.15 * tone.mean():
            gain = np.clip(random_skin_color(rng) / np.maximum(tone, 10), 0.12, 3.2)
        texture = np.clip(texture * gain.astype(np.float32), 0, 255).astype(np.uint8)
        if len(texture) != size:
            texture = cv2.resize(texture, (size, size), interpolation=cv2.INTER_LINEAR)
        return Skin(texture, tone * gain, None)
