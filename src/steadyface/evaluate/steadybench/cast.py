"""The people that are filmed: skin of portraits that no training has seen, or the averaged texture."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ...errors import InputError
from ...face_model.morphable import load_face_model
from ...synthesis.eyes import Eyes
from ...synthesis.figure import Figure, build_figure
from ...synthesis.head import Head, build_head
from ...synthesis.picture import read_set
from ...synthesis.skins import DrawnSkins, PortraitSkins
from ...synthesis.split import is_held_out

#: Name of the averaged texture: results on it do not compare with results on people's.
MEAN = "mean"
#: Individual typology angle of the lightest and the darkest skin that is drawn, degrees.
_LIGHTEST, _DARKEST = 68.0, -58.0
#: Someone of a tone is one of this many portraits nearest to it, as they are if so many degrees away at most.
_NEAREST, _SAME_DEG = 12, 14.0
#: Below this typology angle hair and eyes are dark; how dark at most, RGB 0..255, and the irises' mean.
_DARK_DEG, _DARK_HAIR, _DARK_IRIS = 10.0, np.array([30.0, 24, 21]), 62.0


@dataclass(frozen=True)
class Cast:
    """Whom a benchmark films.

    name: "mean" for the averaged texture that ships, "heldout-N" for the skin of N held-out portraits,
    "heldout-N-small" if only the cache's small crops of them are there and not their files; head: the face
    model with teeth; skins: where skins are drawn from.
    """

    name: str
    head: Head
    skins: PortraitSkins | DrawnSkins

    @property
    def model(self):
        """The `MorphableModel` of the heads."""
        return self.head.model

    @cached_property
    def figure(self) -> Figure:
        """The mesh that is filmed; a second to build, once."""
        return build_figure(self.head)

    @property
    def fitted(self):
        """Identities (M, K) of the people, None for the averaged texture."""
        if isinstance(self.skins, DrawnSkins):
            return None
        return self.skins.labels["identity"][self.skins.chosen]

    def of_tone(self, tone):
        """Where the skins of people about so dark are drawn from; tone: 0 (lightest) to 1 (darkest)."""
        of = DrawnOfTone if isinstance(self.skins, DrawnSkins) else PortraitsOfTone
        return of(self.skins, tone)


class PortraitsOfTone:
    """Skins of portraits of a tone, 0 (lightest) to 1 (darkest), among `PortraitSkins`.

    Evenly in typology angle, not in the number of portraits, of which most are light: where none is as dark
    (or as light) as asked, one of those nearest to it is made so.
    """

    def __init__(self, skins, tone):
        angle = skins.labels["skin_ita"][skins.chosen]
        away = np.abs(angle - typology_angle(tone))
        count = max(min(_NEAREST, len(angle) // 5), 1)
        near = np.argsort(away, kind="stable")[:count]
        self.skins, self.tone, self.near = skins, tone, skins.chosen[near]

    def draw(self, rng, size):
        """One `Skin` with a texture of size x size texels."""
        k = int(rng.choice(self.near))
        skin = self.skins.skin(k, size)
        if abs(self.skins.labels["skin_ita"][k] - typology_angle(self.tone)) > _SAME_DEG:
            skin = recolored(skin, skin_color(self.tone))
        return _with_dark_hair(skin, self.tone)


def recolored(skin, color):
    """A `Skin` with cheeks of another colour (3,) RGB, all else of it darker or lighter alike."""
    gain = np.clip(np.asarray(color) / np.maximum(skin.tone, 8), 0.15, 1.8)
    texture = np.clip(skin.texture * gain.astype(np.float32) + 0.5, 0, 255).astype(np.uint8)
    return replace(skin, texture=texture, tone=np.clip(skin.tone * gain, 0, 255))


def _with_dark_hair(skin, tone):
    """Dark skin goes with dark hair: the `Skin`, its hair darkened or dark if there is none to be seen."""
    if typology_angle(tone) > _DARK_DEG:
        return skin
    return replace(skin, hair=_DARK_HAIR if skin.hair is None else np.minimum(skin.hair, 1.4 * _DARK_HAIR))


class DrawnOfTone(DrawnSkins):
    """Drawn skins of a tone, 0 (lightest) to 1 (darkest)."""

    def __init__(self, skins, tone):
        self.head, self.mean, self.tone = skins.head, skins.mean, tone

    def draw(self, rng, size):
        """One `Skin` with a texture of size x size texels."""
        return _with_dark_hair(super().draw(rng, size), self.tone)

    def color(self, rng):
        """The colour of one skin: (3,) RGB 0..255."""
        return skin_color(self.tone)


def look_of_tone(look, tone, rng):
    """The `Look`, whose eyes are dark if the skin is."""
    eyes = look.eyes
    while typology_angle(tone) <= _DARK_DEG and eyes.iris.mean() > _DARK_IRIS:
        eyes = Eyes.random(rng)
    return replace(look, eyes=eyes)


def typology_angle(tone):
    """Individual typology angle of a tone, degrees; tone: 0 (lightest) to 1 (darkest)."""
    return _LIGHTEST + tone * (_DARKEST - _LIGHTEST)


def skin_color(tone):
    """A colour of skin: (3,) RGB 0..255; tone: 0 (lightest) to 1 (darkest), evenly in typology angle."""
    slope = np.tan(np.radians(typology_angle(tone)))
    lab = np.array([[[np.clip(50 + 15 * slope, 20, 84), 12.5, 15]]], np.float32)
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)[0, 0], 0.02, 1) * 255


def build_cast(portraits=None, model=None):
    """The `Cast` of a cache of held-out portraits, or of the averaged texture.

    portraits: folder of images.npy and labels.npz as ``python -m steadyface.learn.portraits`` writes it, None
    for the averaged texture; model: default the embedded one. Raises InputError if the folder is no such
    cache or holds a portrait that is not held out of training.
    """
    head = build_head(model or load_face_model())
    if portraits is None:
        return Cast(MEAN, head, DrawnSkins(head))
    names = read_set(portraits)[1].get("name", ())
    if not len(names):
        raise InputError(f"{portraits} does not name its portraits: nobody knows whether they are held out")
    known = [str(n) for n in names if not is_held_out(n)]
    if known:
        raise InputError(
            f"{portraits} holds {len(known)} portraits that are not held out of training, first {known[0]}: "
            "SteadyBench films only people that no training has seen, so give the held-out ones"
        )
    skins = PortraitSkins(portraits, head)
    files = skins.labels.get("picture", np.zeros(len(skins.labels["name"]), "U1"))[skins.chosen]
    small = "" if all(Path(str(f)).is_file() for f in files) else "-small"
    return Cast(f"heldout-{len(skins)}{small}", head, skins)
