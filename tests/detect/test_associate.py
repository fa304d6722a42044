from itertools import permutations

import numpy as np
import pytest

from steadyface.detect.associate import AssociationSettings, FaceIds, assign, crop_distance
from steadyface.detect.detector import Detection


def face(x, y=100.0, size=80.0, score=0.9):
    return Detection(np.array([x, y], float), size, score, 0.0)


def crop(x, y=100.0, size=80.0):
    return face(x, y, size).crop


def test_crop_distance_is_zero_on_itself_symmetric_and_free_of_resolution():
    crops = [crop(0), crop(70, 130, 50), crop(300, 20, 200)]
    d = crop_distance(crops, crops)
    np.testing.assert_allclose(np.diag(d), 0, atol=1e-12)
    np.testing.assert_allclose(d, d.T)
    large = [crop(c.center[0] * 3, c.center[1] * 3, c.side * 3) for c in crops]
    np.testing.assert_allclose(crop_distance(large, large), d)
    assert crop_distance([crop(0)], [crop(80)])[0, 0] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 2), (4, 4)])
def test_assign_is_the_cheapest_of_all_assignments(shape):
    rng = np.random.default_rng(sum(shape))
    for _ in range(30):
        cost = rng.random(shape)
        pairs = assign(cost, 2.0)
        assert len(pairs) == min(shape)
        wide = cost if shape[0] <= shape[1] else cost.T
        best = min(
            sum(wide[r, c] for r, c in enumerate(order))
            for order in permutations(range(wide.shape[1]), wide.shape[0])
        )
        assert sum(cost[r, c] for r, c in pairs) == pytest.approx(best)


def test_assign_pairs_as_many_as_the_limit_allows_before_looking_at_the_cost():
    # Taking the cheapest pair (0, 0) first would leave row 1 alone.
    assert assign([[0.1, 0.8], [0.2, 5.0]], 1.0) == [(0, 1), (1, 0)]
    assert assign([[0.1, 5.0], [5.0, 5.0]], 1.0) == [(0, 0)]
    assert assign(np.zeros((0, 3)), 1.0) == []


def test_only_faces_not_followed_are_new_and_ids_count_up():
    ids = FaceIds()
    first = ids.new_faces(0.0, [face(100), face(400)])
    assert [(i, new) for i, _, new in first] == [(0, True), (1, True)]
    assert ids.followed(0.1, {0: crop(105), 1: crop(395)}) == []
    second = ids.new_faces(0.1, [face(108), face(700), face(390)])
    assert [(i, d.center[0], new) for i, d, new in second] == [(2, 700.0, True)]


def test_a_face_lost_for_a_short_while_gets_its_id_back_near_its_last_place():
    ids = FaceIds()
    ids.new_faces(0.0, [face(100), face(400)])
    ids.followed(0.1, {1: crop(400)})
    assert [(i, new) for i, _, new in ids.new_faces(0.5, [face(120)])] == [(0, False)]


def test_a_face_lost_for_long_or_far_away_is_a_new_one_and_its_id_is_never_used_again():
    ids = FaceIds(AssociationSettings(max_gap_s=1.0))
    ids.new_faces(0.0, [face(100)])
    ids.followed(0.1, {})
    assert [(i, new) for i, _, new in ids.new_faces(0.2, [face(600)])] == [(1, True)]
    ids.followed(0.3, {1: crop(600)})
    assert [(i, new) for i, _, new in ids.new_faces(5.0, [face(100)])] == [(2, True)]


def test_two_lost_faces_go_back_to_their_own_ids():
    ids = FaceIds()
    ids.new_faces(0.0, [face(100), face(180)])
    ids.followed(0.1, {})
    # The first detection is nearer to face 1's place for both, the total decides.
    again = ids.new_faces(0.3, [face(195), face(150)])
    assert [(i, d.center[0], new) for i, d, new in again] == [(1, 195.0, False), (0, 150.0, False)]


def test_of_two_trackers_on_one_face_the_younger_gives_up_for_good():
    ids = FaceIds()
    ids.new_faces(0.0, [face(100), face(400)])
    assert ids.followed(0.1, {0: crop(300), 1: crop(305)}) == [1]
    ids.followed(0.2, {0: crop(300)})
    assert [(i, new) for i, _, new in ids.new_faces(0.3, [face(400)])] == [(2, True)]


def test_ids_given_from_outside_are_not_given_out_again():
    ids = FaceIds()
    ids.followed(0.0, {7: crop(100)})
    assert [i for i, _, _ in ids.new_faces(0.0, [face(500)])] == [8]
