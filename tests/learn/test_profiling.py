import cv2
import numpy as np
import pytest

from steadyface.align.crop import ANCHOR_MM, Crop
from steadyface.errors import InputError
from steadyface.face_model.morphable import load_face_model
from steadyface.learn.profiling import draw_angles, profile_cache, source_weights
from steadyface.learn.sample_writer import Labels, landmarks_and_openings
from steadyface.render.rasterize import rasterize
from steadyface.render.shade import interpolate
from steadyface.rotation import matrix_from_euler
from steadyface.synthesis.expressions import vary_expression
from steadyface.synthesis.head import build_head
from steadyface.synthesis.photograph import (
    crop_pose,
    head_outline,
    picture_points,
    take_apart,
    warp_background,
)


@pytest.fixture(scope="module")
def head():
    return build_head(load_face_model())


@pytest.fixture(scope="module")
def still(head):
    """A picture whose head shows at every pixel where on the head it lies, and its labels."""
    rng = np.random.default_rng(0)
    identity = rng.normal(0, 0.3, head.model.identity_count)
    expression = np.zeros(head.model.expression_count)
    pose = crop_pose(matrix_from_euler(np.array([0.05, 0.15, 0])))
    points = picture_points(head.points(identity, expression), *pose, 160)
    raster = rasterize(points, head.triangles, (160, 160), cull=True)
    picture = interpolate(raster, head.triangles, _paint(head))
    picture[~raster.mask] = 20
    return picture.astype(np.uint8), pose, identity, expression


def _paint(head):
    return np.clip(128 + head.rest * np.array([1.2, 1.0, 0]) + np.array([0, 0, 20]), 0, 255)


def test_crop_pose_is_the_crop_of_that_pose():
    rotation = matrix_from_euler(np.array([0.3, -0.9, 0.4]))
    upright, scale, translation = crop_pose(rotation)
    crop = Crop.from_pose(upright, scale, translation)
    np.testing.assert_allclose([*crop.center, crop.side, crop.roll], [0, 0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(scale * (upright @ np.array(ANCHOR_MM))[:2] + translation, 0, atol=1e-9)
    # Only the roll is taken out: what is seen of the head stays.
    np.testing.assert_allclose(upright[2], rotation[2], atol=1e-9)


def test_picture_points_agree_with_the_crop(head):
    rng = np.random.default_rng(0)
    mm = rng.normal(0, 50, (9, 3)).astype(np.float32)
    rotation, scale, translation = crop_pose(matrix_from_euler(np.array([0.2, 0.5, 0])))
    u = scale * (mm @ rotation.T)[:, :2] + translation
    expected = ((u * 0.75) + 0.5) * 160 - 0.5
    np.testing.assert_allclose(
        picture_points(mm, rotation, scale, translation, 160)[:, :2], expected, atol=1e-3
    )


def test_the_same_pose_gives_the_same_picture(head, still):
    picture, pose, identity, expression = still
    again = take_apart(head, picture, *pose, identity, expression).render(pose[0], expression)
    points = picture_points(head.points(identity, expression), *pose, 160)
    inside = (
        cv2.erode(rasterize(points, head.triangles, (160, 160)).mask.astype(np.uint8), np.ones((15, 15))) > 0
    )
    difference = np.abs(again.astype(int) - picture)[inside]
    assert np.median(difference) <= 2
    assert np.mean(difference > 20) < 0.02


@pytest.mark.parametrize("yaw", [-0.5, 0.6, 1.0])
def test_the_face_turns_with_its_labels(head, still, yaw):
    picture, pose, identity, expression = still
    photograph = take_apart(head, picture, *pose, identity, expression)
    rotation = matrix_from_euler(np.array([0.0, yaw, 0]))
    turned = photograph.render(rotation, expression)
    points = picture_points(head.points(identity, expression), *crop_pose(rotation), 160)
    raster = rasterize(points, head.triangles, (160, 160), cull=True)
    expected = interpolate(raster, head.triangles, _paint(head))
    well = interpolate(raster, head.triangles, photograph.seen[:, None])[..., 0] > 0.99
    assert well.sum() > 1000
    difference = np.abs(turned.astype(int) - expected)[well]
    assert np.mean(difference[:, :2]) < 4


def test_a_closed_eye_hides_the_eyeball(head, still):
    picture, pose, identity, expression = still
    points = picture_points(head.points(identity, expression), *pose, 160)
    raster = rasterize(points, head.triangles, (160, 160), cull=True)
    eye = raster.mask & head.eyeball[head.triangles[raster.triangle][..., 0]]
    marked = picture.copy()
    marked[eye] = (255, 0, 255)
    photograph = take_apart(head, marked, *pose, identity, expression)

    def magenta(image):
        return ((image[..., 2] > 150) & (image[..., 1] < 90)).sum()

    blink = expression.copy()
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        blink[head.model.expression_names.index(name)] = 1
    assert magenta(photograph.render(pose[0], expression)) > 30
    assert magenta(photograph.render(pose[0], blink)) < 5


def test_teeth_hide_behind_closed_lips_and_show_behind_open_ones(head):
    def visible_teeth(expression):
        points = head.points(np.zeros(head.model.identity_count), expression)
        raster = rasterize(points + np.array([128, 128, 0]), head.triangles, (256, 256), cull=True)
        return (raster.mask & head.teeth[head.triangles[raster.triangle][..., 0]]).sum()

    rest = np.zeros(head.model.expression_count)
    smile = rest.copy()
    for name in ("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"):
        smile[head.model.expression_names.index(name)] = 0.8
    assert visible_teeth(rest) < 20
    assert visible_teeth(smile) > 100


def test_head_points_agree_with_the_model(head):
    rng = np.random.default_rng(3)
    identity, expression = rng.normal(size=head.model.identity_count), rng.random(head.model.expression_count)
    expected = head.model.shape(identity, expression)
    np.testing.assert_allclose(head.points(identity, expression)[: len(expected)], expected, atol=1e-2)


def test_spread_keeps_a_constant_and_fills_the_unseen(head):
    v = len(head.rest)
    seen = (head.rest[:, 0] > 0).astype(float)
    color = np.broadcast_to([10.0, 60, 200], (v, 3))
    np.testing.assert_allclose(head.spread(color, seen)[head.exposed], color[head.exposed], rtol=1e-3)


def test_background_follows_the_outline(head):
    n = 160
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    radius = np.hypot(x, y)
    old, new = np.full(72, 40, np.float32), np.full(72, 55, np.float32)
    rings = np.repeat(radius[..., None], 3, -1).astype(np.float32)
    moved = warp_background(rings, old, new)[..., 0]
    at_outline = np.abs(radius - 55) < 0.5
    np.testing.assert_allclose(moved[at_outline], 40, atol=1.0)
    # It never folds: farther out in the picture is farther out in the source.
    order = np.argsort(radius[n // 2, n // 2 :])
    assert (np.diff(moved[n // 2, n // 2 :][order]) > 0).all()
    np.testing.assert_allclose(warp_background(rings, old, old)[..., 0], radius, atol=0.05)


def test_outline_bounds_the_head(head):
    points = picture_points(head.rest, *crop_pose(np.eye(3)), 160)
    outline = head_outline(points, head, 160)
    mask = rasterize(points, head.triangles, (160, 160)).mask
    y, x = np.nonzero(mask)
    far = np.hypot(x - 79.5, y - 79.5).max()
    assert outline.shape == (72,)
    assert far - 12 < outline.max() < far + 3


def test_openings_do_not_depend_on_the_pose(head):
    expression = np.zeros(head.model.expression_count)
    expression[head.model.expression_names.index("jawOpen")] = 0.6
    identity = np.zeros(head.model.identity_count)
    values = []
    for yaw in (0.0, 1.2):
        labels = Labels(
            *crop_pose(matrix_from_euler(np.array([0, yaw, 0]))), identity, expression, "", np.nan
        )
        points, eyes, mouth = landmarks_and_openings(head.model, labels)
        assert points.shape == (478, 2)
        values.append([*eyes, mouth])
    np.testing.assert_allclose(values[0], values[1])
    assert values[0][2] > 0.15


def test_varied_expressions_stay_in_range_and_never_open_eyes():
    names = load_face_model().expression_names
    base = np.zeros(len(names))
    blinks = [names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]
    base[blinks] = 0.5
    rng = np.random.default_rng(0)
    drawn = np.stack([vary_expression(base, names, rng) for _ in range(300)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert drawn[:, blinks].min() >= 0.5
    assert 0.2 < (drawn[:, blinks].max(1) > 0.55).mean() < 0.6
    assert 0.25 < (drawn[:, names.index("jawOpen")] > 0.1).mean() < 0.7


def test_angles_respect_their_limits():
    rng = np.random.default_rng(0)
    drawn = np.stack([draw_angles(rng, (0.1, rng.normal(0, 0.4), 0), 1.05, 1.57) for _ in range(500)])
    assert (np.abs(drawn[:, 1]) >= 1.05 - 1e-9).all()
    assert (np.abs(drawn[:, 1]) <= 1.57).all()
    assert 0.3 < (drawn[:, 1] > 0).mean() < 0.7


def test_dark_skin_is_taken_more_often():
    labels = {
        "skin_ita": np.array([60.0, 10.0, np.nan, 50.0]),
        "fit_error": np.array([0.01, 0.01, 0.01, 0.9]),
    }
    weight = source_weights(labels)
    assert weight[1] > 2 * weight[0] > 2 * weight[2] > 0
    assert weight[3] == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("processes", [1, 2])
def test_writes_a_set_that_the_trainer_reads(tmp_path, head, still, processes):
    from steadyface.learn.samples import load_samples

    picture, (rotation, scale, translation), identity, expression = still
    source = tmp_path / "portraits"
    source.mkdir()
    np.save(source / "images.npy", np.stack([picture] * 3))
    labels = {
        "rotation": rotation,
        "scale": np.float32(scale),
        "translation": translation,
        "identity": identity,
        "expression": expression,
        "skin_ita": np.float32(20),
        "fit_error": np.float32(0.01),
    }
    np.savez(
        source / "labels.npz",
        name=np.array(["a", "b", "c"]),
        **{k: np.stack([v] * 3) for k, v in labels.items()},
    )
    profile_cache(source, tmp_path / "profiled", 5, seed=1, model=head.model, processes=processes)
    samples = load_samples(tmp_path / "profiled")
    assert len(samples) == 5
    assert samples.images.shape == (5, 160, 160, 3)
    assert samples.images.reshape(5, -1).std(1).min() > 10
    with np.load(tmp_path / "profiled" / "labels.npz") as z:
        assert (z["source"] == 1).all()
        assert set(z["name"]) <= {"a", "b", "c"}
        u = z["scale"][:, None] * (z["rotation"] @ np.array(ANCHOR_MM))[:, :2] + z["translation"]
        np.testing.assert_allclose(u, 0, atol=1e-6)


def test_evenly_takes_every_portrait_once(tmp_path, head, still):
    picture, (rotation, scale, translation), identity, expression = still
    np.save(tmp_path / "images.npy", np.stack([picture] * 4))
    np.savez(
        tmp_path / "labels.npz",
        name=np.array(["a", "b", "c", "d"]),
        rotation=np.stack([rotation] * 4),
        scale=np.full(4, scale),
        translation=np.stack([translation] * 4),
        identity=np.stack([identity] * 4),
        expression=np.stack([expression] * 4),
        skin_ita=np.array([60.0, 0, -40, np.nan]),
        fit_error=np.array([0.01, 0.01, 0.9, 0.01]),
    )
    out = tmp_path / "even"
    profile_cache(
        tmp_path, out, 8, yaw_min=1.0, expressions=False, evenly=True, model=head.model, processes=1
    )
    with np.load(out / "labels.npz") as z:
        assert sorted(z["name"]) == sorted([*"abcd"] * 2)
        np.testing.assert_array_equal(z["expression"], np.broadcast_to(expression, z["expression"].shape))


def test_a_missing_cache_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match=r"steadyface\.learn\.portraits"):
        profile_cache(tmp_path / "none", tmp_path / "out", 3)
