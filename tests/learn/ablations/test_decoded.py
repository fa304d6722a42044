"""Decoded videos: kept once, and not those of another video."""

import os

import numpy as np

from steadyface.evaluate.datasets.sample import Clip
from steadyface.learn.ablations.decoded import frames_of


class Film(Clip):
    """A clip whose frames are made, and counted when they are."""

    made = 0

    def frames(self):
        for t in range(self.length):
            type(self).made += 1
            yield np.full((4, 6, 3), t, np.uint8)


def test_frames_are_decoded_once(tmp_path):
    source = tmp_path / "video.mp4"
    source.write_bytes(b"abc")
    film = Film("films", "one", source, 5)
    assert len(list(frames_of(film))) == 5
    assert not (tmp_path / "kept").exists()
    first, again = (list(frames_of(film, tmp_path / "kept")) for _ in range(2))
    assert Film.made == 10
    np.testing.assert_array_equal(first, again)
    assert [int(f[0, 0, 0]) for f in again] == [0, 1, 2, 3, 4]
    assert again[0].shape == (4, 6, 3)


def test_another_video_of_the_name_is_decoded_anew(tmp_path):
    source = tmp_path / "video.mp4"
    source.write_bytes(b"abc")
    list(frames_of(Film("films", "one", source, 2), tmp_path))
    source.write_bytes(b"abcd")
    os.utime(source, (0, 0))
    assert len(list(frames_of(Film("films", "one", source, 3), tmp_path))) == 3
