import numpy as np
import pytest

from steadyface.synthesis.scene import film_scene


@pytest.fixture(scope="session")
def scene():
    """The embedded model's figure with drawn skins."""
    return film_scene()


@pytest.fixture(scope="session")
def plain(scene):
    """One bald look of few texels, for tests of geometry."""
    from dataclasses import replace

    from steadyface.synthesis.hair import HairStyle

    rng = np.random.default_rng(0)
    look = scene.look(rng, 256)
    return replace(look, hair=HairStyle.random(rng, kind="bald"), beard=None)
