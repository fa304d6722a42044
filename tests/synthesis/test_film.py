from dataclasses import replace

import cv2
import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.rotation import axis_angle_from_matrix, matrix_from_euler
from steadyface.synthesis.conditions import OCCLUDERS, Conditions
from steadyface.synthesis.film import Shot, film
from steadyface.synthesis.hair import HairStyle
from steadyface.synthesis.lighting import KINDS
from steadyface.synthesis.script import Script

SIZE = (240, 200)
CLEAN = Conditions(noise=0)


def make_script(model, angles, expression=None, step=0.0, size=SIZE):
    angles = np.atleast_2d(angles)
    count = len(angles)
    k = np.arange(count)[:, None]
    return Script(
        rotation=axis_angle_from_matrix(matrix_from_euler(angles)),
        translation=np.array([0, -10.0, 700]) + k * np.array([step, 0, 0]),
        focal=500.0,
        center=(np.array(size) - 1) / 2,
        identity=np.random.default_rng(1).normal(0, 0.5, model.identity_count),
        expression=np.zeros((count, model.expression_count)) if expression is None else expression,
        image_size=size,
        fps=30.0,
        model=model,
    )


def make_shot(scene, look, script, conditions=CLEAN, seed=0):
    stage = scene.stage(np.random.default_rng(5), script.image_size)
    return Shot(script, look, stage, conditions, np.random.default_rng(seed), figure=scene.figure)


@pytest.mark.parametrize("yaw", [-0.7, 0.0, 0.5])
def test_what_is_painted_on_a_landmark_is_seen_at_its_truth(scene, plain, yaw):
    model = scene.figure.head.model
    script = make_script(model, [[0.1, yaw, 0.15]])
    shot = make_shot(scene, plain, script)
    truth, embedding = script.image_points("ibug68", 0), model.embeddings["ibug68"]
    size = 1024
    corners = model.uv_triangles[embedding.triangle]
    at = (model.uv[corners] * embedding.barycentric[..., None]).sum(1) * size - 0.5
    _, seen = shot.frame(0)
    tried = 0
    # Brows and the bridge of the nose: places on smooth skin that one dot fits on.
    for k in (18, 20, 23, 25, 27, 28, 29):
        visible = seen[model.triangles[embedding.triangle[k]]].all()
        if not visible:
            continue
        dark, gloss = np.full((size, size, 3), 60, np.uint8), np.zeros((size, size), np.uint8)
        y, x = np.mgrid[:size, :size]
        blot = 190 * np.exp(-((x - at[k, 0]) ** 2 + (y - at[k, 1]) ** 2) / (2 * 2.5**2))
        shot.actor.texture = (cv2.add(dark, np.repeat(blot[..., None], 3, 2).astype(np.uint8)), gloss)
        lit, _ = shot.frame(0)
        shot.actor.texture = (dark, gloss)
        unlit, _ = shot.frame(0)
        change = lit.astype(float).sum(-1) - unlit.astype(float).sum(-1)
        change[change < 0.2 * change.max()] = 0
        rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
        found = np.array([(change * columns).sum(), (change * rows).sum()]) / change.sum()
        assert np.linalg.norm(found - truth[k, :2]) < 0.5
        tried += 1
    assert tried >= 4


def test_visible_vertices_face_the_camera(scene, plain):
    model = scene.figure.head.model
    points = model.landmarks("mediapipe478").mean
    nearest = [np.argmin(np.linalg.norm(model.shape.mean - points[k], axis=-1)) for k in (234, 454, 1)]
    for yaw, expected in ((0.0, (None, None, True)), (1.2, (True, False, True)), (-1.2, (False, True, True))):
        _, visible = make_shot(scene, plain, make_script(model, [[0, yaw, 0]])).frame(0)
        for vertex, state in zip(nearest, expected, strict=True):
            assert state is None or visible[vertex] == state
        back = model.shape.mean[:, 2] > 170
        assert not visible[back].any()
        assert 0.2 < visible[model.region("face")].mean() < 0.9


def test_vertices_outside_the_picture_are_not_visible(scene, plain):
    model = scene.figure.head.model
    script = make_script(model, [[0, 0, 0]])
    script = replace(script, translation=script.translation + np.array([120.0, 0, 0]))
    _, visible = make_shot(scene, plain, script).frame(0)
    x = script.image_points(model.shape, 0)[:, 0]
    assert not visible[x > SIZE[0]].any()
    assert visible[x < SIZE[0] - 2].any()


def test_a_frame_is_the_same_whenever_it_is_made(scene, plain):
    model = scene.figure.head.model
    script = make_script(model, np.zeros((3, 3)), step=4.0)
    look = replace(plain, hair=HairStyle.random(np.random.default_rng(3), kind="side"))
    conditions = Conditions(lighting="lamp_moves", occluder="hand")
    first = make_shot(scene, look, script, conditions)
    second = make_shot(scene, look, script, conditions)
    expected = [first.frame(i) for i in range(3)]
    for i in (2, 0):
        image, visible = second.frame(i)
        np.testing.assert_array_equal(image, expected[i][0])
        np.testing.assert_array_equal(visible, expected[i][1])
    assert np.abs(expected[0][0].astype(int) - expected[1][0]).mean() > 0.5


def test_a_still_head_does_not_flicker(scene, plain):
    model = scene.figure.head.model
    look = replace(plain, hair=HairStyle.random(np.random.default_rng(3), kind="short"))
    script = make_script(model, np.zeros((6, 3)))
    shot = make_shot(scene, look, script)
    # A camera that does not sway either.
    shot.stage = replace(shot.stage, sway=0 * shot.stage.sway)
    frames = [shot.frame(i)[0] for i in (0, 3, 5)]
    np.testing.assert_array_equal(frames[0], frames[1])
    np.testing.assert_array_equal(frames[0], frames[2])


def test_noise_is_new_in_each_frame_and_as_strong_as_asked(scene, plain):
    model = scene.figure.head.model
    script = make_script(model, np.zeros((2, 3)))
    clean, noisy = (make_shot(scene, plain, script, Conditions(noise=n)) for n in (0, 6))
    for shot in (clean, noisy):
        shot.stage = replace(shot.stage, sway=0 * shot.stage.sway, picture=0 * shot.stage.picture + 128)
    a, b = (noisy.frame(i)[0].astype(float) - clean.frame(i)[0] for i in range(2))
    corner = (slice(0, 40), slice(0, 40))
    assert 5 < a[corner].std() < 7
    assert abs(np.corrcoef(a[corner].ravel(), b[corner].ravel())[0, 1]) < 0.1


def test_a_window_shows_that_part_of_the_frame(scene, plain):
    model = scene.figure.head.model
    shot = make_shot(scene, plain, make_script(model, [[0, 0.3, 0]]))
    whole, visible = shot.frame(0)
    x0, y0, x1, y1 = window = (60, 40, 180, 170)
    part, inside = shot.frame(0, window)
    assert part.shape == (y1 - y0, x1 - x0, 3)
    assert np.abs(part[3:-3, 3:-3].astype(int) - whole[y0:y1, x0:x1][3:-3, 3:-3]).mean() < 1
    at = shot.script.image_points(model.shape, 0)[:, :2]
    within = ((at > (x0 + 1, y0 + 1)) & (at < (x1 - 2, y1 - 2))).all(-1)
    assert (inside[within] == visible[within]).mean() > 0.995
    assert not inside[(at < (x0 - 1, y0 - 1)).any(-1)].any()


def test_motion_blurs_along_the_motion(scene, plain):
    model = scene.figure.head.model
    script = make_script(model, np.zeros((3, 3)), step=25.0)
    sharp, blurred = (
        make_shot(scene, plain, script, Conditions(noise=0, exposure=e)).frame(1)[0] for e in (0.0, 0.9)
    )
    x, y = script.image_points("ibug68", 1)[27:36, :2].mean(0).astype(int)
    a, b = (p[y - 30 : y + 30, x - 25 : x + 25].astype(float) for p in (sharp, blurred))
    across = [np.abs(np.diff(p, axis=1)).mean() for p in (a, b)]
    down = [np.abs(np.diff(p, axis=0)).mean() for p in (a, b)]
    assert across[1] < 0.75 * across[0]
    assert across[1] / across[0] < 0.9 * down[1] / down[0]


@pytest.mark.parametrize("occluder", OCCLUDERS)
def test_occluders_hide_what_they_cover(scene, plain, occluder):
    model = scene.figure.head.model
    look = replace(plain, hair=HairStyle.random(np.random.default_rng(3), kind="side"))
    script = make_script(model, np.zeros((60, 3)))
    free, hidden = (make_shot(scene, look, script, replace(CLEAN, occluder=o)) for o in (None, occluder))
    face = model.region("face")
    shares = []
    for i in range(0, 60, 12):
        (image, visible), (other, seen) = free.frame(i), hidden.frame(i)
        assert not (seen & ~visible).any()
        lost = visible & ~seen & face
        shares.append(lost.mean() / face.mean())
        if lost.sum() > 10:
            x, y = np.rint(script.image_points(model.shape, i)[lost, :2]).astype(int).T
            # What is hidden looks different from the face.
            change = np.abs(image[y, x].astype(int) - other[y, x]).sum(-1)
            assert np.median(change) > 15
    assert 0.01 < max(shares) < 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_lighting_changes_as_it_is_called(scene, plain, kind):
    model = scene.figure.head.model
    script = make_script(model, np.zeros((90, 3)))
    shot = make_shot(scene, plain, script, replace(CLEAN, lighting=kind))
    shot.stage = replace(shot.stage, sway=0 * shot.stage.sway)
    frames = np.stack([shot.frame(i)[0] for i in (0, 30, 60, 89)]).astype(float)
    x, y = np.rint(script.image_points("ibug68", 0)[30, :2]).astype(int)
    faces = frames[:, y - 25 : y + 25, x - 25 : x + 25]
    level = faces.mean((1, 2, 3))
    ratio = faces[..., 0].mean((1, 2)) / faces[..., 2].mean((1, 2))
    halves = faces[:, :, :25].mean((1, 2, 3)) / faces[:, :, 25:].mean((1, 2, 3))
    changes = np.ptp(level) / level.mean(), np.ptp(ratio) / ratio.mean(), np.ptp(halves)
    steady = max(changes) < 0.02
    assert steady == (kind in ("steady", "side", "dim"))
    if kind == "lamp_moves":
        assert changes[2] > 0.05
    if kind == "color":
        assert changes[1] > 0.05
    if kind == "flicker":
        assert changes[0] > 0.05
    if kind == "dim":
        assert level.max() < 75
    if kind == "side":
        assert not 0.8 < halves[0] < 1.25


def test_less_resolution_leaves_less_detail(scene, plain):
    model = scene.figure.head.model
    script = make_script(model, [[0, 0, 0]])
    detail = []
    for resolution in (1.0, 0.5, 0.25):
        image = make_shot(scene, plain, script, Conditions(noise=0, resolution=resolution)).frame(0)[0]
        assert image.shape == (SIZE[1], SIZE[0], 3)
        detail.append(np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean())
    assert detail[0] > detail[1] > detail[2]


def test_film_yields_every_frame(scene, plain):
    script = make_script(scene.figure.head.model, np.zeros((3, 3)))
    stage = scene.stage(np.random.default_rng(0), SIZE)
    rng = np.random.default_rng(0)
    frames = list(film(script, plain, stage, CLEAN, rng, figure=scene.figure))
    assert len(frames) == 3
    for image, visible in frames:
        assert image.shape == (SIZE[1], SIZE[0], 3)
        assert image.dtype == np.uint8
        assert visible.shape == (scene.figure.head.model.vertex_count,)


def test_irises_follow_the_gaze(scene, plain):
    model = scene.figure.head.model
    names = model.expression_names
    expression = np.zeros((3, len(names)))
    for row, gaze in ((0, ("eyeLookInLeft", "eyeLookOutRight")), (2, ("eyeLookOutLeft", "eyeLookInRight"))):
        expression[row, [names.index(g) for g in gaze]] = 0.8
    script = make_script(model, np.zeros((3, 3)), expression)
    script = replace(script, translation=script.translation * [1, 1, 0.5])
    shot = make_shot(scene, plain, script)
    corners = script.image_points("ibug68", 1)[[42, 45], :2]
    low, high = np.rint(corners.min(0) - 5).astype(int), np.rint(corners.max(0) + 5).astype(int)
    found = []
    for i in range(3):
        eye = shot.frame(i)[0][low[1] : high[1], low[0] : high[0]].mean(-1)
        found.append(np.nonzero(eye < eye.min() + 12)[1].mean())
    # The subject's left is the image's right.
    assert found[0] + 3 < found[1] < found[2] - 3


def test_the_torso_follows_less_than_the_head_turns(scene, plain):
    turn = np.column_stack([np.zeros(60), np.linspace(-0.6, 0.6, 60), np.zeros(60)])
    script = make_script(scene.figure.head.model, turn)
    shot = make_shot(scene, plain, script)
    shoulders = scene.figure.ring[:, 1] > 0.6
    n = scene.figure.head_count
    first, last = (shot._moment(i, None).points for i in (0, 59))
    moved = np.linalg.norm(last - first, axis=-1)
    reach = np.linalg.norm(last[n:][shoulders] - last[n:][shoulders].mean(0), axis=-1)
    assert moved[n:][shoulders].max() < 0.5 * 1.2 * reach.max()
    # The neck's lower end is carried by the torso, the face by the script alone.
    low, face = scene.figure.bend[:n] > 0.999, scene.figure.bend[:n] == 0
    assert low.sum() > 5
    neutral = scene.figure.head.points(script.identity, script.expression[59]) + shot.actor.grown
    rotation, translation = (pose[59] for pose in shot.torso)
    np.testing.assert_allclose(last[:n][low], neutral[low] @ rotation.T + translation, atol=1e-2)
    np.testing.assert_allclose(last[:n][face], script.place(neutral, 59)[face], atol=1e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lighting": "disco"}, "unknown lighting 'disco': give one of steady"),
        ({"occluder": "elephant"}, "unknown occluder"),
        ({"exposure": 1.5}, "exposure must be from 0 to 1"),
        ({"resolution": 0}, "resolution must be"),
        ({"noise": -1}, "noise must be"),
    ],
)
def test_unknown_conditions_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        Conditions(**change)
