"""Scores of a prediction against a clip: cases whose answers follow from how the prediction was made."""

import numpy as np
import pytest
from filmed_clip import T, clip_of, perfect, script_of

from steadyface.errors import InputError
from steadyface.evaluate.closest_point import Surface
from steadyface.evaluate.datasets.sample import Clip, Sample
from steadyface.evaluate.markup_offset import errors_without, markup_offset
from steadyface.evaluate.pose_scores import rotation_error, rotations_of_points, steady_points, zero_pose
from steadyface.evaluate.prediction import Prediction
from steadyface.evaluate.reference import COMMON, Reference, lengths_of
from steadyface.evaluate.scores import region_of_points, score
from steadyface.evaluate.surface_scores import compare_surfaces, on_rim, spread_frames
from steadyface.fit.image import weak_perspective_pose
from steadyface.rotation import matrix_from_axis_angle, seen_rotation


@pytest.fixture(scope="module")
def clip(tiny_model):
    return clip_of(script_of(tiny_model))


def test_the_truth_scores_as_the_truth(clip):
    values = score(perfect(clip), Reference.of_clip(clip)).values
    zero = [n for n in values if n.startswith(("nme", "ssme")) and np.isfinite(values[n])]
    assert {"nme_68", "nme_478_bbox_sqrt", "ssme_51_face", "ssme_478_face", "ssme_dense_face"} <= set(zero)
    for name in (*zero, "nmf", "stability", "lag", "angle", "expression", "chamfer_face", "fr"):
        assert values[name] == pytest.approx(0, abs=1e-4), name
    # Where the face ends, a ray meets the cut truth and the whole prediction at different triangles.
    assert values["normals"] < 1
    assert values["found"] == 100
    assert values["auc"] == pytest.approx(100)
    assert values["jitter"] == pytest.approx(values["jitter_truth"])
    assert values["fps"] == pytest.approx(100)
    assert values["memory_mb"] == 123


def test_a_constant_shift_is_error_and_no_motion(clip):
    reference = Reference.of_clip(clip)
    lengths = reference.lengths["interocular"]
    # Every point lies 3-4-5 away, scaled so that the error is 4 percent of each frame's eyes' distance.
    shift = lengths[:, None, None] * np.array([0.024, 0.032])
    truth = {m: p[..., :2] for m, p in perfect(clip).points.items()}
    shifted = perfect(clip, points={m: p + shift for m, p in truth.items()})
    values = score(shifted, reference).values
    assert [values["nme"], values["nme_68"]] == pytest.approx([4, 4])
    assert values["nme_bbox_sqrt"] == pytest.approx(np.mean(4 * lengths / reference.lengths["bbox_sqrt"]))
    # All errors at 4 of 8 percent: half of the area; none is a failure.
    assert values["auc"] == pytest.approx(50, abs=0.1)
    assert values["fr"] == 0
    still = perfect(clip, points={m: np.add(p, [3, 4]) for m, p in truth.items()})
    values = score(still, reference).values
    for name in ("nmf", "stability", "ssme_51_face", "ssme_51_face_30"):
        assert not values[name] > 1e-9, name
    assert values["nme"] == pytest.approx(np.mean(500 / lengths))


def test_frames_without_a_face_are_failures_and_no_error(clip):
    found = np.arange(T) % 4 != 0
    hidden = np.where(found, 1, np.nan)
    points = {"ibug68": perfect(clip).points["ibug68"][..., :2] * hidden[:, None, None]}
    only = Prediction("points", found, points)
    scores = score(only, Reference.of_clip(clip))
    assert scores.values["found"] == pytest.approx(75)
    assert scores.values["nme"] == pytest.approx(0, abs=1e-9)
    assert scores.values["fr"] == pytest.approx(25)
    assert scores.values["auc"] == pytest.approx(75)
    np.testing.assert_array_equal(np.isfinite(scores.frames["error"]), found)
    assert not {"angle", "expression", "chamfer_face", "nme_478", "ssme_478_face"} & set(scores.values)
    assert np.isnan(scores.values["memory_mb"])
    nothing = Prediction("blind", np.zeros(T, bool), {"ibug68": np.full((T, 68, 2), np.nan)})
    values = score(nothing, Reference.of_clip(clip)).values
    assert values["found"] == 0
    assert values["fr"] == 100
    assert all(np.isnan(values[n]) for n in ("nme", "nmf", "lag", "jitter", "ssme_51_face"))


def test_lag_is_the_delay_behind_the_truth(clip):
    for delay in (0, 1, 2):
        late = np.concatenate([np.arange(delay) * 0, np.arange(T - delay)])
        points = {m: p[late] for m, p in perfect(clip).points.items()}
        late_clip = perfect(clip, points=points)
        assert score(late_clip, Reference.of_clip(clip)).values["lag"] == pytest.approx(delay, abs=0.15)


def test_another_mark_up_is_compared_on_the_51_points_that_both_have(clip):
    points = np.full((T, 478, 2), 7.0)
    points[:, COMMON["mediapipe478"]] = clip.landmarks[:, 17:, :2]
    plain = Clip("plain", "clip", ("",), T, "ibug68", clip.landmarks)
    scores = score(Prediction("mesh", np.ones(T, bool), {"mediapipe478": points}), Reference.of_clip(plain))
    assert scores.values["nme"] == pytest.approx(0, abs=1e-9)
    assert "nme_68" not in scores.values
    assert not {"angle", "chamfer_face"} & set(scores.values)
    other = Prediction("other", np.ones(T, bool), {"aflw21": np.zeros((T, 21, 2))})
    with pytest.raises(InputError, match=r"other gives aflw21.*compared in ibug68, mediapipe478"):
        score(other, Reference.of_clip(plain))


def test_what_does_not_fit_is_refused(clip):
    short = Prediction("short", np.ones(3, bool), {"ibug68": np.zeros((3, 68, 2))})
    with pytest.raises(InputError, match="must hold every frame"):
        score(short, Reference.of_clip(clip))
    with pytest.raises(InputError, match="has no landmarks"):
        Reference.of_clip(Clip("d", "c", ("",), 3))
    with pytest.raises(InputError, match="outer eye corners are not known"):
        Reference.of_clip(Clip("d", "c", ("",), 3, "aflw21", np.zeros((3, 21, 2))))
    two = [
        Sample("d", "a", None, "ibug68", np.zeros((68, 2))),
        Sample("d", "b", None, "wflw98", np.zeros((98, 2))),
    ]
    with pytest.raises(InputError, match="one mark-up"):
        Reference.of_samples(two)


def test_eyes_in_profile_keep_their_distance_where_depth_is_known():
    points = np.zeros((1, 68, 3))
    points[0, 45] = [30, 0, 40]
    points[0, 8] = [10, 40, 0]
    lengths = lengths_of(points, "ibug68")
    assert lengths["interocular"][0] == pytest.approx(50)
    assert lengths_of(points[..., :2], "ibug68")["interocular"][0] == pytest.approx(30)
    # The box is 30 wide and 40 high in the image.
    assert lengths["bbox_sqrt"][0] == pytest.approx(np.sqrt(1200))
    assert lengths["bbox_diagonal"][0] == pytest.approx(50)


def test_a_head_that_faces_the_camera_from_the_corner_is_seen_frontally():
    translation = np.array([[300.0, -100, 500], [0, 0, 700]])
    toward = -translation[0] / np.linalg.norm(translation[0])
    # The head turned by the shortest way until its face, -z of the model, looks along the ray.
    axis = np.cross([0, 0, -1.0], toward)
    angle = np.arccos(-toward[2])
    rotation = np.stack([axis / np.linalg.norm(axis) * angle, [0.1, 0.2, 0.3]])
    seen = seen_rotation(rotation, translation)
    np.testing.assert_allclose(seen[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(seen[1], matrix_from_axis_angle(rotation[1]), atol=1e-12)


def test_a_weak_perspective_camera_sees_the_face_along_the_ray_to_its_middle(clip):
    script = clip.attributes["truth"].script
    shape = script.model.landmarks("mediapipe478")
    pixels = script.image_points(shape)[..., :2]
    local = shape(np.broadcast_to(script.identity, (T, 6)), script.expression)
    fitted = np.stack([weak_perspective_pose(p, s)[0] for p, s in zip(pixels, local, strict=True)])
    error = rotation_error(fitted, Reference.of_clip(clip).rotation)
    from_origin = rotation_error(fitted, seen_rotation(script.rotation, script.translation))
    assert np.median(error) < min(1.0, 0.5 * np.median(from_origin))


def test_rotation_error_is_the_angle_and_the_zero_pose_takes_a_constant_one_off(clip):
    true = Reference.of_clip(clip).rotation
    turn = matrix_from_axis_angle(np.deg2rad([6.0, 0, 8]))
    np.testing.assert_allclose(rotation_error(true @ turn, true), 10, atol=1e-9)
    np.testing.assert_allclose(zero_pose(true @ turn, true), turn.T, atol=1e-9)
    values = score(perfect(clip, rotation=true @ turn), Reference.of_clip(clip)).values
    assert values["angle"] == pytest.approx(10)
    assert values["angle_offset_free"] == pytest.approx(0, abs=1e-6)
    unknown = np.full((2, 3, 3), np.nan)
    assert np.isnan(rotation_error(unknown, true[:2])).all()
    np.testing.assert_array_equal(zero_pose(unknown, true[:2]), np.eye(3))


def test_rotations_come_from_points_of_any_size(tiny_model):
    reference = tiny_model.landmarks("mediapipe478").mean
    turns = matrix_from_axis_angle(np.random.default_rng(0).normal(0, 0.6, (5, 3)))
    points = 2.5 * reference @ np.swapaxes(turns, -1, -2) + [300, 200, 10]
    points[3] = np.nan
    found = rotations_of_points(points, reference)
    np.testing.assert_allclose(found[[0, 1, 2, 4]], turns[[0, 1, 2, 4]], atol=1e-9)
    assert np.isnan(found[3]).all()
    # A mirrored face is no rotation, so the best proper one is found.
    mirrored = rotations_of_points(points[:1] * [-1, 1, 1], reference)
    assert np.linalg.det(mirrored[0]) == pytest.approx(1)


def test_a_method_without_rotation_is_judged_by_its_steady_points(clip, tiny_model):
    script = clip.attributes["truth"].script
    seen = Reference.of_clip(clip).rotation
    shape = tiny_model.landmarks("mediapipe478")
    local = shape(np.broadcast_to(script.identity, (T, 6)), script.expression)
    points = local @ np.swapaxes(seen, -1, -2) + [300, 200, 0]
    steady = steady_points(shape)
    assert 150 <= steady.sum() <= 170
    assert np.linalg.norm(shape.expression_basis[:, steady], axis=-1).max() <= np.median(
        np.linalg.norm(shape.expression_basis, axis=-1).max(0)
    )
    values = score(
        Prediction("mesh", np.ones(T, bool), {"mediapipe478": points}), Reference.of_clip(clip)
    ).values
    assert values["angle"] < 4
    assert values["angle_offset_free"] < values["angle"]
    flat = Prediction("flat", np.ones(T, bool), {"mediapipe478": points[..., :2]})
    assert "angle" not in score(flat, Reference.of_clip(clip)).values


def test_expression_error_is_over_the_names_that_both_know(clip):
    script = clip.attributes["truth"].script
    names = ("unknown", script.model.expression_names[2], script.model.expression_names[0])
    said = np.column_stack([np.ones(T), script.expression[:, 2] + 0.1, script.expression[:, 0] - 0.3])
    values = score(perfect(clip, expression=said, expression_names=names), Reference.of_clip(clip)).values
    assert values["expression"] == pytest.approx(0.2)


def test_surfaces_are_compared_after_the_alignment_their_unit_allows(tiny_model):
    script = script_of(tiny_model)
    true = script.vertices(0)
    pose = matrix_from_axis_angle(script.rotation[0]), script.translation[0]

    def compare(vertices, metric):
        regions = ("face",)
        return compare_surfaces(vertices, tiny_model.triangles, true, tiny_model, *pose, metric, regions)

    turned = true @ matrix_from_axis_angle(np.array([0.2, 0.1, 0])) + [5, 6, 7]
    assert compare(turned, True)["chamfer_face"] == pytest.approx(0, abs=1e-3)
    assert compare(turned, True)["normals"] < 1
    assert compare(1.3 * turned, False)["chamfer_face"] == pytest.approx(0, abs=1e-3)
    assert compare(1.3 * turned, True)["chamfer_face"] > 3
    assert compare(true[:100], True) is None


def test_a_mask_is_judged_where_it_is(tiny_model):
    script = script_of(tiny_model)
    true = script.vertices(0)
    pose = matrix_from_axis_angle(script.rotation[0]), script.translation[0]
    local = tiny_model.shape(script.identity, script.expression[0])
    front = (local[tiny_model.triangles][..., 2] < 60).all(1)
    mask = tiny_model.triangles[front]
    assert 0.2 < front.mean() < 0.6
    values = compare_surfaces(true + 3, mask, true, tiny_model, *pose, True, ("face",))
    assert values["chamfer_face"] == pytest.approx(0, abs=1e-3)
    inside = local[tiny_model.region("face"), 2] < 60
    assert 100 * inside.mean() - 25 < values["covered"] < 100 * inside.mean()
    whole = compare_surfaces(true, tiny_model.triangles, true, tiny_model, *pose, True, ("face",))
    # The tiny head is open at its poles, whose two rings of 20 vertices lie on the rim.
    face = tiny_model.region("face")
    assert whole["covered"] == pytest.approx(
        100 - 100 * face[[*range(20), *range(380, 400)]].sum() / face.sum()
    )


def test_the_rim_is_found_where_triangles_end():
    # Two triangles of a unit square; only their common diagonal is no rim.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    points = np.array([[0.5, 0.5, 1], [0.7, 0.2, 1], [0.5, -1, 0], [2, 2, 0], [1, 0.5, 0], [0.2, 0.9, 0.1]])
    found = on_rim(Surface(vertices, triangles).closest(points), vertices, triangles)
    np.testing.assert_array_equal(found, [False, False, True, True, True, False])


def test_frames_of_surfaces_are_spread_over_those_found():
    found = np.zeros(100, bool)
    found[50:] = True
    np.testing.assert_array_equal(spread_frames(found, 5), [54, 64, 74, 84, 94])
    np.testing.assert_array_equal(spread_frames(np.arange(6) % 2 == 1, 5), [1, 3, 5])


def test_points_belong_to_the_region_that_holds_most_of_their_triangle(tiny_model):
    inside = region_of_points(tiny_model, "ibug68", "face")
    e = tiny_model.embeddings["ibug68"]
    z = (tiny_model.shape.mean[tiny_model.triangles[e.triangle]] * e.barycentric[..., None]).sum(1)[:, 2]
    assert inside.any()
    assert z[inside].max() < z.max() or inside.all()


def test_a_mark_ups_offset_in_the_head_is_found_and_taken_off(clip):
    rng = np.random.default_rng(1)
    rotation = Reference.of_clip(clip).rotation
    offset = rng.normal(0, 0.03, (51, 3))
    noise = rng.normal(0, 0.01, (T, 51, 2))
    residual = np.einsum("tia,la->tli", rotation[:, :2], offset) + noise
    residual[5] = np.nan
    found = markup_offset([residual, residual[::-1]], [rotation, rotation[::-1]])
    np.testing.assert_allclose(found[:, :2], offset[:, :2], atol=0.01)
    without = errors_without(residual, rotation, found)
    assert np.isnan(without[5])
    assert np.nanmean(without) == pytest.approx(100 * 0.01 * np.sqrt(np.pi / 2), rel=0.1)
    # One frontal view shows nothing of the depth.
    front = markup_offset([residual[:1] * 0 + 0.1], [np.eye(3)[None]])
    np.testing.assert_allclose(front, np.tile([0.1, 0.1, 0], (51, 1)), atol=1e-9)
