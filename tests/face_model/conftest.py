from dataclasses import dataclass

import numpy as np
import pytest

from steadyface.face_model.morphable import load_face_model

# From this package's axes to those of the other models: y up, z to the viewer.
AXES = np.array([1.0, -1.0, -1.0])


@dataclass
class Person:
    """Another face's mesh as another model would hold it: mm, its own axes and origin.

    mean: (V, 3); identity, expression: random smooth bases, standard deviation 1; triangles: (F, 3); points:
    where its landmarks are; eyes: midway between its eyeballs.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray
    points: dict
    eyes: np.ndarray


@pytest.fixture(scope="session")
def person():
    ours = load_face_model()
    rng = np.random.default_rng(3)
    who = rng.normal(0, 0.7, ours.identity_count)
    offset = np.array([4.0, 30.0, -50.0])
    kept = np.flatnonzero(ours.region("face"))
    new = np.full(ours.vertex_count, -1)
    new[kept] = rng.permutation(len(kept))
    triangles = new[ours.triangles]
    triangles = triangles[(triangles >= 0).all(1)]
    mean = np.empty((len(kept), 3))
    mean[new[kept]] = ours.shape.neutral(who)[kept] * AXES + offset
    wave = rng.normal(0, 0.03, (9, 3))

    def smooth(count):
        phase = rng.uniform(0, 2 * np.pi, (count, 9))
        waves = np.sin(mean @ wave.T + phase[:, None])
        return waves @ rng.normal(0, 0.7, (9, 3))

    points = {n: ours.landmarks(n).neutral(who) * AXES + offset for n in ours.embeddings}
    return Person(mean, smooth(6), smooth(4), triangles, points, offset)
