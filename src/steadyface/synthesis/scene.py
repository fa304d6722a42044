"""What all films share: the figure, and whose skins it wears."""

from dataclasses import dataclass

from ..face_model.morphable import load_face_model
from .figure import Figure, build_figure
from .film import Shot
from .head import build_head
from .look import TEXTURE_SIZE, Look
from .skins import DrawnSkins, PortraitSkins
from .stage import Stage


@dataclass(frozen=True)
class FilmScene:
    """A figure and the skins that it may wear: everything that films are drawn from."""

    figure: Figure
    skins: PortraitSkins | DrawnSkins

    def look(self, rng, size=TEXTURE_SIZE, glasses=False):
        """A random `Look`; size: texels along its texture's sides, 512 suffice for faces of 100 px."""
        return Look.random(rng, self.skins, self.figure.head, size, glasses)

    def stage(self, rng, size):
        """A random `Stage` for frames of size (width, height)."""
        return Stage.random(rng, size, self.skins)

    def shot(self, script, conditions, rng):
        """Someone, somewhere, filmed: the `Shot` of a script, all else drawn at random."""
        look, stage = self.look(rng), self.stage(rng, script.image_size)
        return Shot(script, look, stage, conditions, rng, figure=self.figure)


def film_scene(cache=None, model=None):
    """The `FilmScene` of a face model; a second or two, once.

    cache: folder of a portrait cache to take skins from; without one they are drawn from the shipped mean
    texture. model: default the embedded one. Raises InputError if the cache is missing or has no usable
    portrait.
    """
    figure = build_figure(build_head(model or load_face_model()))
    skins = DrawnSkins(figure.head) if cache is None else PortraitSkins(cache, figure.head)
    return FilmScene(figure, skins)
