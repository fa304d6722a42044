"""Whole skins for filmed heads, one at a time: from a cache of portraits, or drawn from the mean texture."""

from functools import lru_cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from ..align.crop import Crop
from ..errors import InputError
from .photograph import take_apart
from .picture import PICTURE_MARGIN, read_set
from .skin import Skin as Skin
from .skin_textures import CHEEKS, cheek_texels, grown, random_skin_color, uv_raster

#: Largest side that a portrait is cut out again with, pixels.
LARGEST_PICTURE = 512


class PortraitSkins:
    """Skins of photographed people, completed over the whole head.

    folder: a portrait cache (see `steadyface.learn.portraits`); only its pictures are used, so that what is
    held out stays so. Light and dark skins are drawn alike. Where the photographs that the cache was cut
    from still exist they are cut again, larger.
    """

    def __init__(self, folder, head):
        self.images, self.labels = read_set(folder)
        self.head, self.folder = head, Path(folder)
        tone, turned = self.labels["skin_ita"], np.abs(self.labels["rotation"][:, 0, 2])
        usable = np.isfinite(tone) & (turned < 0.25)
        usable &= self.labels["fit_error"] <= np.quantile(self.labels["fit_error"], 0.6)
        # A smile that shows teeth stays in the cheeks' creases.
        usable &= self.labels["mouth_open"] < 0.12
        # Painted portraits are yellow; toned prints have other hues.
        for k in np.flatnonzero(usable):
            usable[k] = self._is_photographed(k)
        if not usable.any():
            raise InputError(f"{folder} holds no portrait in colour that looks ahead with its mouth shut")
        self.chosen = np.flatnonzero(usable)
        # Even over skin tones, and more often the sharper pictures.
        tone = tone[self.chosen]
        bins = np.digitize(tone, [-30, 10, 28, 41, 55])
        weight = 1 / np.maximum(np.bincount(bins, minlength=6), len(tone) / 15)[bins]
        side = self.labels["crop"][self.chosen, 2] if "crop" in self.labels else np.full(len(tone), 120.0)
        weight *= np.clip(side / 130, 1, 2.5) ** 2
        self.weight = weight / weight.sum()
        self._skin = lru_cache(maxsize=32)(self._make)

    def __len__(self):
        return len(self.chosen)

    def draw(self, rng, size):
        """One `Skin` with a texture of size x size texels."""
        return self.skin(int(rng.choice(self.chosen, p=self.weight)), size)

    def skin(self, k, size):
        """The `Skin` of picture number k of the cache."""
        return self._skin(k, size)

    def _make(self, k, size):
        head = self.head
        keys = ("rotation", "scale", "translation", "identity", "expression")
        photograph = take_apart(head, self._picture(k), *(self.labels[key][k] for key in keys))
        raster = uv_raster(head.model, size)
        texture = photograph.wear(raster, 0.6 * head.lid.max(1), head.lash.max(1))
        texture = grown(np.clip(texture, 0, 255).astype(np.uint8), raster.mask)
        tone = _tone(texture, head.model)
        surroundings = np.clip(photograph.background, 0, 255).astype(np.uint8)
        top = photograph.skin[head.scalp & (head.rest[:, 1] < -85)]
        hair = np.median(top, 0) if len(top) else tone
        # A crown as bright as the cheeks is bald.
        bald = np.abs(hair - tone).sum() < 0.22 * tone.sum()
        return Skin(texture, tone, None if bald else hair.astype(float), surroundings)

    def _is_photographed(self, k):
        n = len(self.images[k])
        at = self.labels["landmarks478"][k][CHEEKS] * (n / PICTURE_MARGIN) + (n - 1) / 2
        x, y = np.clip(np.rint(at), 0, n - 1).astype(int).T
        tone = np.median(self.images[k][y, x], 0).astype(np.float32) / 255
        _, a, b = cv2.cvtColor(tone[None, None], cv2.COLOR_RGB2LAB)[0, 0]
        return 28 < np.degrees(np.arctan2(b, a)) < 62 and np.hypot(a, b) < 38

    def _picture(self, k):
        if "picture" in self.labels:
            source = cv2.imread(str(self.labels["picture"][k]), cv2.IMREAD_COLOR)
            x, y, side, roll = self.labels["crop"][k]
            side *= PICTURE_MARGIN
            n = int(min(round(side), LARGEST_PICTURE))
            if source is not None and n > len(self.images[k]):
                crop = Crop(np.array([x, y]), side, roll)
                return crop.extract(np.ascontiguousarray(source[..., ::-1]), n)
        return np.asarray(self.images[k])


class DrawnSkins:
    """Skins without photographs of anyone: the shipped mean texture, varied by rule.

    head: the `Head` that wears them; its model must be the embedded one, whose layout the texture has, or
    the skin is plain.
    """

    def __init__(self, head):
        self.head = head
        with resources.as_file(resources.files("steadyface") / "assets" / "mean_texture.jpg") as path:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        if image is None or head.model.name != "anny":
            image = np.full((64, 64, 3), (205, 160, 135), np.uint8)
        self.mean = image

    def color(self, rng):
        """The colour of one skin: (3,) RGB 0..255."""
        return random_skin_color(rng)

    def draw(self, rng, size):
        """One `Skin` with a texture of size x size texels."""
        base = cv2.resize(self.mean, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        if size >= self.mean.shape[0] // 2:
            # An average of many is soft: its edges are drawn out again.
            base += rng.uniform(0.5, 1.3) * (base - cv2.GaussianBlur(base, (0, 0), size / 250))
        tone = _tone(base, self.head.model)
        target = self.color(rng)
        # Dark things such as brows keep their darkness while the skin changes.
        light = np.clip(base / np.maximum(tone, 1), 0, 2)
        texture = target * light ** rng.uniform(0.8, 1.15)
        points = self.head.model.landmarks("mediapipe478").mean
        raster = uv_raster(self.head.model, size)
        at = _texel_positions(raster, self.head)
        for middle, reach, spread in ((points[[50, 280]], 22, 0.05), (points[[1]], 16, 0.05)):
            flush = sum(np.exp(-((at - m) ** 2).sum(-1) / (2 * reach**2)) for m in middle)
            texture *= 1 + (flush * rng.normal(0.4, 0.6) * spread)[..., None] * np.array([1, -1, -0.6])
        if rng.random() < 0.5:
            lips = np.exp(-(((at - points[13]) / [22, 8, 14]) ** 2).sum(-1) * 1.5)[..., None]
            texture *= 1 + lips * rng.uniform(-0.15, 0.2) * np.array([0.6, -1, -0.7])
        # Older skin is more uneven.
        for scale, strength in ((size // 90, 0.035), (size // 28, 0.02), (size // 6, 0.012)):
            n = max(scale, 3)
            noise = cv2.resize(
                rng.normal(0, 1, (n, n, 1)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
            )
            texture *= 1 + (strength * rng.uniform(0.3, 2) * noise)[..., None]
        texture = np.clip(texture, 0, 255).astype(np.uint8)
        return Skin(grown(texture, raster.mask), _tone(texture, self.head.model), None)


def _tone(texture, model):
    at = np.rint(cheek_texels(model, len(texture))).astype(int)
    return np.median(texture[at[:, 1], at[:, 0]].astype(float), 0)


def _texel_positions(raster, head):
    from ..render.shade import interpolate

    return interpolate(raster, head.model.triangles, head.rest[: head.model.vertex_count])
