import numpy as np
import pytest

from steadyface.errors import InputError
from steadyface.evaluate import metrics
from steadyface.evaluate.closest_point import Surface
from steadyface.evaluate.surface_alignment import Similarity, align_points, align_surface
from steadyface.evaluate.surface_metrics import IBUG_7, KEYPOINTS_7, unroll_normals
from steadyface.rotation import matrix_from_axis_angle

rng = np.random.default_rng(0)


def turn(*axis_angle):
    return matrix_from_axis_angle(np.array(axis_angle, float))


def face_of(model, seed=0):
    r = np.random.default_rng(seed)
    return model.shape(r.normal(size=model.identity_count), r.random(model.expression_count))


def keypoints(model):
    """Seven vertices at the front of the tiny head, spread as NoW's."""
    where = [(-40, 0), (-15, 0), (15, 0), (40, 0), (0, 35), (-20, 60), (20, 60)]
    front = np.flatnonzero(model.shape.mean[:, 2] < 60)
    xy = model.shape.mean[front, :2]
    return front[[np.linalg.norm(xy - w, axis=1).argmin() for w in where]]


def test_points_align_exactly_and_never_mirror():
    source = rng.normal(size=(7, 3))
    truth = Similarity(turn(0.3, -1.2, 0.4), np.array([5.0, -3, 80]), 2.5)
    found = align_points(source, truth.apply(source), scale=True)
    np.testing.assert_allclose(found.rotation, truth.rotation, atol=1e-12)
    np.testing.assert_allclose(found.translation, truth.translation, atol=1e-12)
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.undo(found.apply(source)), source, atol=1e-12)
    mirrored = source * [-1, 1, 1]
    assert np.linalg.det(align_points(source, mirrored, scale=True).rotation) == pytest.approx(1)
    gaps = np.vstack([source, np.full((1, 3), np.nan)])
    np.testing.assert_allclose(
        align_points(gaps, truth.apply(gaps), True).rotation, truth.rotation, atol=1e-12
    )


def test_alignment_without_scale_is_the_best_rigid_one():
    source = rng.normal(size=(20, 3))
    target = 1.3 * source @ turn(0.2, 0.1, -0.5).T + 0.05 * rng.normal(size=(20, 3))
    best = align_points(source, target)
    assert best.scale == 1

    def cost(s):
        return ((s.apply(source) - target) ** 2).sum()

    for _ in range(30):
        nearby = Similarity(turn(*0.02 * rng.normal(size=3)) @ best.rotation, best.translation)
        assert cost(nearby) >= cost(best)


@pytest.mark.parametrize("scale", [False, True])
def test_surface_alignment_finds_the_way_back(tiny_model, scale):
    vertices = face_of(tiny_model)
    surface = Surface(vertices, tiny_model.triangles)
    truth = Similarity(turn(0.02, 0.4, -0.1), np.array([30.0, -20, 400]), 0.8 if scale else 1.0)
    corners = vertices[tiny_model.triangles]
    points = truth.apply(np.einsum("fk,fkd->fd", rng.dirichlet(np.ones(3), len(corners)), corners))
    start = Similarity(turn(0.05, 0.05, 0.05) @ truth.rotation, truth.translation + 4, truth.scale * 1.0)
    found = align_surface(surface, points, start, scale)
    np.testing.assert_allclose(found.apply(vertices), truth.apply(vertices), atol=2e-2)
    assert found.scale == pytest.approx(truth.scale, abs=1e-3)


def test_alignment_needs_three_points():
    with pytest.raises(InputError, match="at least 3 pairs of points, got 2"):
        align_points(np.eye(3)[:2], np.eye(3)[:2])
    with pytest.raises(InputError, match="coincide"):
        align_points(np.ones((4, 3)), np.ones((4, 3)))


def plane(z, n=11, width=100.0):
    x, y = np.meshgrid(np.linspace(0, width, n), np.linspace(0, width, n))
    v = np.arange(n * n).reshape(n, n)
    lower = np.stack([v[:-1, :-1], v[:-1, 1:], v[1:, :-1]], -1).reshape(-1, 3)
    upper = np.stack([v[1:, :-1], v[:-1, 1:], v[1:, 1:]], -1).reshape(-1, 3)
    points = np.stack([x, y, np.broadcast_to(z, x.shape)], -1).reshape(-1, 3)
    return points, np.concatenate([lower, upper])


def test_chamfer_of_a_bump_worked_by_hand():
    """A plane with two vertices out of 121 raised by 6 and 12 mm, held by corners that fit: 18 / 121."""
    pred, triangles = plane(0.0)
    gt = pred.copy()
    gt[[60, 73], 2] = 6, 12
    corners = np.array([0, 10, 110, 120])
    bump = np.zeros(121, bool)
    bump[[60, 73]] = True
    regions = {"all": np.ones(121, bool), "bump": bump, "rest": ~bump, "none": np.zeros(121, bool)}
    held = metrics.chamfer(pred, gt, triangles, corners, regions, refine=False)
    assert held["all"] == pytest.approx(18 / 121)
    assert held["bump"] == pytest.approx(9)
    assert held["rest"] == pytest.approx(0, abs=1e-9)
    assert np.isnan(held["none"])
    # Closest points may only move along the normal: least squares lifts and tilts the plane a little.
    free = metrics.chamfer(pred, gt, triangles, corners, regions)
    assert 0.1 < free["rest"] < 0.3
    assert free["bump"] < 9
    assert metrics.chamfer(pred, gt, triangles, corners, visible=~bump)["all"] == pytest.approx(0, abs=1e-6)
    gt[bump] = np.nan
    assert metrics.chamfer(pred, gt, triangles, corners)["all"] == pytest.approx(0, abs=1e-6)


def test_chamfer_does_not_see_where_the_head_is_but_how_large(tiny_model):
    pred, gt = face_of(tiny_model, 0), face_of(tiny_model, 1)
    k = keypoints(tiny_model)
    t = tiny_model.triangles
    d = metrics.chamfer(pred, gt, t, k)["all"]
    assert d > 0.2
    for move in (
        Similarity(np.eye(3), np.array([5.0, -90, 700])),
        Similarity(turn(0.5, 1.0, -0.3), np.zeros(3)),
    ):
        assert metrics.chamfer(move.apply(pred), gt, t, k)["all"] == pytest.approx(d, rel=1e-3)
        assert metrics.chamfer(move.apply(pred), move.apply(gt), t, k)["all"] == pytest.approx(d, rel=1e-3)
    assert metrics.chamfer(3 * pred, 3 * gt, t, k)["all"] == pytest.approx(3 * d, rel=1e-3)
    # Size is part of the answer: nothing scales the prediction.
    assert metrics.chamfer(1.1 * gt, gt, t, k)["all"] > 2


def test_chamfer_knows_no_topology(tiny_model):
    pred, gt = face_of(tiny_model, 0), face_of(tiny_model, 1)
    k = keypoints(tiny_model)
    d = metrics.chamfer(pred, gt, tiny_model.triangles, k)["all"]
    order = rng.permutation(len(gt))
    points = metrics.chamfer(pred, gt[order], tiny_model.triangles, (pred[k], gt[k]))["all"]
    assert points == pytest.approx(d, rel=1e-6)
    indices = metrics.chamfer(pred, gt[order], tiny_model.triangles, (k, np.argsort(order)[k]))["all"]
    assert indices == pytest.approx(d, rel=1e-6)


def test_neutral_error_counts_the_ball_of_the_face_alone(tiny_model):
    """Scan = prediction + vertices 300 mm off: those lie outside the ball and do not count."""
    v = face_of(tiny_model)
    k = keypoints(tiny_model)
    scan = np.vstack([v, v + 300, [[np.nan] * 3]])
    e = metrics.neutral_error(v, tiny_model.triangles, v[k], scan, v[k])
    right, ir, il, left, base = v[k][:5]
    way = (ir + il) / 2 - base
    radius = 0.7 * (np.linalg.norm(right - left) + np.linalg.norm(way))
    inside = np.linalg.norm(v - base - 0.3 * way, axis=1) <= radius
    assert 20 < inside.sum() < len(v)
    assert len(e.distances) == inside.sum()
    assert e.median == pytest.approx(0, abs=1e-6)
    assert e.mean == pytest.approx(0, abs=1e-6)


def test_neutral_error_takes_any_unit_unless_it_is_metrical(tiny_model):
    pred, scan = face_of(tiny_model, 0), face_of(tiny_model, 1)
    k, t = keypoints(tiny_model), tiny_model.triangles
    e = metrics.neutral_error(pred, t, pred[k], scan, scan[k])
    assert 0 < e.median < e.mean + 3 * e.std
    metres = Similarity(turn(2.0, 0.1, 0.2), np.array([0.1, 0, 3]), 1e-3).apply(pred)
    far = metrics.neutral_error(metres, t, metres[k], scan, scan[k])
    assert far.mean == pytest.approx(e.mean, rel=1e-3)
    large = metrics.neutral_error(1.2 * scan, t, 1.2 * scan[k], scan, scan[k], metrical=True)
    assert large.mean > 0.2
    assert metrics.neutral_error(1.2 * scan, t, 1.2 * scan[k], scan, scan[k]).mean < 1e-5


def test_errors_of_several_images_are_pooled():
    e = metrics.SurfaceError.of([1.0, 2.0], [6.0])
    assert (e.median, e.mean) == (2.0, 3.0)
    # Deviations -2, -1, 3: squares 4 + 1 + 9 over 3.
    assert e.std == pytest.approx(np.sqrt(14 / 3))


def box(angle, half=40.0, height=100.0):
    """Four walls around the y axis, turned about it."""
    corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    corner = corner @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.array([[x, y, z] for y in (-height / 2, height / 2) for x, z in corner])
    walls = [[i, (i + 1) % 4, 4 + i] for i in range(4)] + [
        [(i + 1) % 4, 4 + (i + 1) % 4, 4 + i] for i in range(4)
    ]
    return points, np.array(walls)


def test_normals_of_boxes_turned_against_each_other():
    """Every ray hits one wall of each box; walls turned by a meet at a, and past a corner at 90 degrees - a.

    Turned by 45 degrees both are 45 degrees; turned by 30, a third of the way around is 60, the rest 30.
    """
    a, t = box(0.0)
    center = np.zeros(3)
    for degrees, expected in ((0, 0), (45, 45), (30, (2 * 30 + 60) / 3)):
        b, _ = box(np.deg2rad(degrees))
        e = metrics.normal_error(b, t, a, t, center, half_height=60.0, size=180)
        assert np.rad2deg(e) == pytest.approx(expected, abs=0.7)
    reversed_corners = metrics.normal_error(a, t[:, ::-1], a, t, center, half_height=60.0)
    assert reversed_corners == pytest.approx(0, abs=1e-12)


def test_unrolled_walls_face_outward_from_the_outermost():
    inner, t = box(0.0, half=20.0)
    outer, _ = box(0.0, half=50.0)
    n = unroll_normals(np.vstack([outer, inner]), np.vstack([t, t + 8]), 8, 60.0)
    # Eight rows from -60 to 60 mm: the walls reach from -50 to 50, which leaves the first and last out.
    assert np.isnan(n[[0, -1]]).all()
    ahead, left = n[4, 0], n[4, 2]
    np.testing.assert_allclose(ahead / np.linalg.norm(ahead), [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(left / np.linalg.norm(left), [1, 0, 0], atol=1e-12)
    # Twice the area of the outer walls' triangles, 100 x 100, and not of the inner ones.
    assert np.linalg.norm(ahead) == pytest.approx(100 * 100)


def test_every_ray_hits_a_closed_surface(tiny_model):
    v = tiny_model.shape.mean
    center = (v.min(0) + v.max(0)) / 2
    n = unroll_normals(v - center, tiny_model.triangles, 64, 80.0)
    assert np.isfinite(n).all()


def test_normal_error_moves_with_the_head(tiny_model):
    pred, gt, t = face_of(tiny_model, 0), face_of(tiny_model, 1), tiny_model.triangles
    center = gt.mean(0)
    e = metrics.normal_error(pred, t, gt, t, center, size=64)
    assert 0.005 < e < 0.5
    move = Similarity(turn(0.3, -0.8, 0.1), np.array([10.0, 20, 500]))
    moved = metrics.normal_error(
        move.apply(pred), t, move.apply(gt), t, move.apply(center), move.rotation, size=64
    )
    assert moved == pytest.approx(e, rel=1e-6)
    scaled = metrics.normal_error(2 * pred, t, 2 * gt, t, 2 * center, size=64, half_height=300.0)
    assert scaled == pytest.approx(e, rel=1e-6)
    assert metrics.normal_error(gt, t, gt, t, center, size=64) == pytest.approx(0, abs=1e-9)
    seen = gt[:, 2] < center[2]
    part = metrics.normal_error(pred, t, gt, t, center, visible=seen, size=64)
    hidden = np.where(seen[:, None], gt, np.nan)
    assert metrics.normal_error(pred, t, hidden, t, center, size=64) == pytest.approx(part)
    assert part != pytest.approx(e, rel=1e-3)
    assert np.isnan(metrics.normal_error(pred, t, gt, t, center, visible=np.zeros(len(gt), bool)))


def test_seven_points_have_names_and_ibug_indices():
    assert len(KEYPOINTS_7) == len(IBUG_7) == 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v, t: metrics.chamfer(v, v[:, :2], t, np.arange(7)), r"\(G, 3\), got"),
        (lambda v, t: metrics.chamfer(v, v, t, np.zeros((2, 7, 2))), "indices"),
        (lambda v, t: metrics.chamfer(v, v, t, np.arange(7), {"nose": np.arange(3)}), "region 'nose'"),
        (lambda v, t: metrics.chamfer(v, v, t, np.arange(7), visible=np.ones(3, bool)), "visible must be"),
        (lambda v, t: metrics.chamfer(np.full_like(v, np.nan), v, t, np.arange(7)), "finite"),
        (lambda v, t: metrics.neutral_error(v, t, v[:6], v, v[:6]), "right eye, outer corner"),
        (lambda v, t: metrics.neutral_error(v, t, v[:7], v + 1e4, v[:7]), "not in the scan's frame"),
        (lambda v, t: metrics.SurfaceError.of([]), "no scan vertex counts"),
    ],
)
def test_wrong_input_is_answered_with_the_rule(tiny_model, call, message):
    with pytest.raises(InputError, match=message):
        call(tiny_model.shape.mean, tiny_model.triangles)
