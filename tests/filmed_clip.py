"""A clip whose truth is known, made of a face model's numbers alone, and what an oracle says of it."""

from types import SimpleNamespace

import numpy as np

from steadyface.evaluate.datasets.sample import Clip
from steadyface.evaluate.prediction import Prediction
from steadyface.evaluate.reference import face_middle
from steadyface.rotation import seen_rotation
from steadyface.synthesis.script import Script

T = 48
FOCAL = 800.0


def script_of(model, seed=3):
    """A head that nods, turns and talks for T frames in the middle of a picture."""
    t = np.arange(T)
    rotation = np.column_stack([0.1 * np.sin(t / 1.5), 0.4 * np.sin(t / 5), 0.05 * np.cos(t / 2)])
    translation = np.column_stack([40 * np.sin(t / 6), 10 * np.cos(t / 5), 700 + 20 * np.sin(t / 7)])
    rng = np.random.default_rng(seed)
    expression = 0.5 + 0.4 * np.sin(t[:, None] / 3 + np.arange(model.expression_count))
    identity = rng.normal(0, 0.5, model.identity_count)
    return Script(
        *(rotation, translation, FOCAL, np.array([320.0, 240.0]), identity, expression, (640, 480), 25.0),
        model=model,
    )


def clip_of(script, name="clip", **attributes):
    """The clip of a script as the benchmark's reader gives it, all of it visible."""
    pixels = script.image_points("ibug68")
    depth = FOCAL / script.translation[:, 2, None] * (pixels[..., 2] - script.translation[:, 2, None])
    truth = SimpleNamespace(
        script=script,
        visible=np.ones((T, script.model.vertex_count), bool),
        points=script.image_points,
        visible_points=lambda markup: np.ones(script.image_points(markup).shape[:2], bool),
        vertices=script.vertices,
    )
    landmarks = np.concatenate([pixels[..., :2], depth[..., None]], -1)
    attributes = {"truth": truth, "category": "A", "condition": "clean"} | attributes
    return Clip("steadybench", name, ("",), T, "ibug68", landmarks, fps=25.0, attributes=attributes)


def perfect(clip, **changes):
    """The prediction that says the truth of a clip; changes: fields to say otherwise."""
    script = clip.attributes["truth"].script
    fields = {
        "method": "oracle",
        "found": np.ones(T, bool),
        "points": {m: script.image_points(m) for m in ("ibug68", "mediapipe478")},
        "vertices": script.vertices(),
        "vertex_pixels": script.image_points(script.model.shape)[..., :2],
        "triangles": script.model.triangles,
        "metric": True,
        "rotation": seen_rotation(script.rotation, face_middle(script)),
        "expression": script.expression,
        "expression_names": script.model.expression_names,
        "seconds": np.full(T, 0.01),
        "memory_mb": 123.0,
    }
    return Prediction(**fields | changes)
