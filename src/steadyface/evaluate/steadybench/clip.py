"""From the plan of a clip to its script: who moves how before which camera."""

from dataclasses import replace

import numpy as np

from ...rotation import axis_angle_from_matrix
from ...synthesis.script import Script
from .motion import draw_motion
from .performance import perform

#: Width of the face in the picture over the picture's width when the head rests, and limits that it keeps to
#: while the head moves: in a picture 640 px wide, 90 to 240 px.
REST_WIDTH, LEAST_WIDTH, MOST_WIDTH = (0.2, 0.3), 90 / 640, 240 / 640
#: Focal lengths over the picture's width: from a laptop's camera to a portrait lens.
_FOCAL = (0.95, 1.9)
#: The landmarks stay this share of the picture's sides away from its edges.
_MARGIN = 0.04


def face_width_mm(model):
    """Width of the mean face between the first and last landmark of the jaw's contour, mm."""
    contour = model.landmarks("ibug68").mean[[0, 16]]
    return float(np.linalg.norm(contour[1] - contour[0]))


def face_widths(script):
    """Width that the mean face would have in each frame if it looked into the camera: (T,) px."""
    return script.focal * face_width_mm(script.model) / np.asarray(script.translation)[:, 2]


def draw_identity(rng, count, fitted=None):
    """Someone's face shape: (K,), a mixture of fitted ones with some change, or the model's prior.

    fitted: (M, K) or None.
    """
    if fitted is None or rng.random() < 0.3:
        # Far from the mean the eyeballs leave their sockets: stay within what adult heads need.
        return np.clip(rng.normal(0, 0.55, count), -2, 2)
    a, b = fitted[rng.integers(len(fitted), size=2)]
    return np.clip(a + rng.uniform(0.2, 0.8) * (b - a) + rng.normal(0, 0.25, count), -3, 3)


def draw_script(plan, model, rng, fitted=None):
    """The `Script` of a plan. fitted: (M, K) identities of people who may be mixed, or None."""
    width, height = plan.size
    identity = draw_identity(rng, model.identity_count, fitted)
    motion = draw_motion(plan.motion, plan.frames, plan.fps, rng)
    expression = perform(plan.expression, model.expression_names, motion.angles, plan.fps, rng)
    focal = width * rng.uniform(*_FOCAL)
    distance = focal * face_width_mm(model) / (width * rng.uniform(*REST_WIDTH))
    # Heads are filmed somewhat above the middle, and not quite in it.
    share = rng.normal((0, -0.06), (0.05, 0.03))
    rest = np.array([*(share * plan.size * distance / focal), distance])
    script = Script(
        rotation=axis_angle_from_matrix(motion.rotation),
        translation=motion.translation(rest),
        focal=float(focal),
        center=(np.array(plan.size) - 1) / 2,
        identity=identity,
        expression=expression,
        image_size=(width, height),
        fps=plan.fps,
        model=model,
    )
    return keep_in_frame(script)


def keep_in_frame(script):
    """The script moved sideways and away from the camera as far as is needed to see the face in all frames.

    The whole motion is carried over by one shift; only its path towards the camera is made flatter where the
    face would leave the range of widths that clips have.
    """
    width, height = script.image_size
    translation = np.array(script.translation, float)
    near, far = (script.focal * face_width_mm(script.model) / (width * w) for w in (MOST_WIDTH, LEAST_WIDTH))
    z = translation[:, 2]
    middle = np.clip(z.mean(), 1.1 * near, 0.9 * far)
    reach = np.abs(z - z.mean()).max() / max(min(middle - near, far - middle), 1e-6)
    translation[:, 2] = middle + (z - z.mean()) / max(reach, 1)
    size = np.array([width, height])
    for _ in range(20):
        script = replace(script, translation=translation)
        points = script.image_points("ibug68")[..., :2]
        low, high = points.min((0, 1)), points.max((0, 1))
        room = (1 - 2 * _MARGIN) * size - (high - low)
        if (room < 0).any():
            # Too large a path: go back, and if that is not enough make the path smaller.
            scale = ((high - low) / ((1 - 2 * _MARGIN) * size)).max() * 1.01
            if (translation[:, 2] * scale).max() < far:
                translation *= scale
            else:
                translation[:, :2] = 0.8 * translation[:, :2] + 0.2 * translation[:, :2].mean(0)
            continue
        shift = np.clip(_MARGIN * size - low, 0, None) - np.clip(high - (1 - _MARGIN) * size, 0, None)
        if np.abs(shift).max() < 0.5:
            break
        translation[:, :2] += shift * translation[:, 2].mean() / script.focal
    return script
