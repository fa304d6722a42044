"""A person's appearance, fixed over a clip: skin, eyes, teeth, hair, beard, clothes."""

from dataclasses import dataclass, field

import numpy as np

from .beard import Beard
from .body import Outfit
from .eyes import Eyes
from .glasses import Glasses
from .hair import HairStyle
from .skin import Skin

#: Texels along a side of the texture that faces of up to some 250 pixels are filmed with.
TEXTURE_SIZE = 1024


@dataclass(frozen=True)
class Look:
    """Everything about someone's appearance that the shape of the face leaves open.

    skin: `Skin`; pores: strength of the finest unevenness; freckles, moles: how many; shine: strength of
    the skin's highlights, shine_width: exponent of them; teeth: (3,) RGB 0..255; glasses, beard: or None;
    seed: of whatever is drawn on the skin.
    """

    skin: Skin = field(repr=False)
    eyes: Eyes
    hair: HairStyle
    beard: Beard | None
    outfit: Outfit
    glasses: Glasses | None
    teeth: np.ndarray
    pores: float
    freckles: int
    moles: int
    shine: float
    shine_width: float
    seed: int

    @classmethod
    def random(cls, rng, skins, head, size=TEXTURE_SIZE, glasses=False):
        """Anyone.

        skins: `PortraitSkins`, `DrawnSkins` or `MixedSkins`; head: the `Head` that wears it; size: texels
        along a side of the texture; glasses: wear some.
        """
        skin = skins.draw(rng, size)
        drawn = skin.surroundings is None
        # Photographed hair gives the brows' colour away.
        color = skin.hair
        if color is not None:
            color = np.clip(0.8 * color * rng.uniform(0.8, 1.1), 6, 215)
        kind = "bald" if not drawn and color is None and rng.random() < 0.6 else None
        hair = HairStyle.random(rng, color, kind)
        while color is not None and hair.kind == "bald":
            hair = HairStyle.random(rng, color)
        bearded = rng.random() < (0.35 if drawn else 0.12) and hair.kind not in ("long", "tied")
        beard = Beard.random(rng, 0.85 * hair.color) if bearded else None
        warmth = rng.uniform(0, 1)
        teeth = (np.array([228, 222, 212]) - warmth * np.array([6, 14, 34])) * rng.uniform(0.8, 1.0)
        return cls(
            skin=skin,
            eyes=Eyes.random(rng),
            hair=hair,
            beard=beard,
            outfit=Outfit.random(rng),
            glasses=Glasses.random(rng) if glasses else None,
            teeth=teeth,
            pores=float(rng.uniform(0.4, 1.0)),
            freckles=int(rng.uniform(40, 260) * (rng.random() < 0.2)),
            moles=int(rng.poisson(2.0)),
            shine=float(rng.uniform(0.05, 0.28)),
            shine_width=float(rng.uniform(9, 22)),
            seed=int(rng.integers(2**31)),
        )
