from dataclasses import replace

import numpy as np
import pytest
from refined_scene import truth_of

from steadyface.refine.select import select_frames


@pytest.fixture
def track(tiny_model):
    return truth_of(tiny_model, 40)


def test_frames_are_evenly_spread_with_both_ends(track):
    assert select_frames(track, 4).tolist() == [0, 13, 26, 39]
    assert select_frames(track, 1).tolist() == [0]
    assert select_frames(track, 40).tolist() == select_frames(track, 128).tolist() == list(range(40))


def test_a_track_of_one_frame_gives_it(tiny_model):
    assert select_frames(truth_of(tiny_model, 1), 128).tolist() == [0]


def test_frames_that_are_badly_tracked_or_filled_in_are_left_out(track):
    confidence = np.full(40, 0.8)
    confidence[10:20] = 0.39
    confidence[20] = 0.41
    interpolated = np.zeros(40, bool)
    interpolated[30:] = True
    rows = select_frames(replace(track, confidence=confidence, interpolated=interpolated), 128)
    assert rows.tolist() == [*range(10), *range(20, 30)]


def test_if_nothing_is_well_tracked_every_frame_is(track):
    rows = select_frames(replace(track, interpolated=np.ones(40, bool)), 128)
    assert rows.tolist() == list(range(40))
    # Most frames are filled in, and have no confidence.
    confidence = np.zeros(40)
    confidence[:9] = 0.7
    few = replace(track, confidence=confidence, interpolated=confidence == 0)
    assert select_frames(few, 128).tolist() == list(range(9))
