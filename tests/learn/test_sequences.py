import numpy as np
import pytest

from steadyface.align.alignment import decode_params
from steadyface.align.crop import Crop
from steadyface.errors import InputError
from steadyface.face_model.morphable import load_face_model
from steadyface.learn.filming import film_scene, training_cast
from steadyface.learn.sample_writer import FILMED, write_samples
from steadyface.learn.sequences import load_sequences


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    cast = training_cast()
    folder = tmp_path_factory.mktemp("set") / "sequences"

    def make(i):
        return film_scene(cast, np.random.default_rng(i), 1, frames=4)

    write_samples(folder, 2, make, cast.model, FILMED, 1, 4)
    return folder


def test_frames_and_landmarks_are_read_back_in_pixels_of_the_video(folder):
    s = load_sequences(folder)
    assert (len(s), s.frames, len(s.images)) == (2, 4, 8)
    model = load_face_model("anny")
    for i in range(len(s.params)):
        pose = decode_params(s.params[i], s.crops[i], model.identity_count)
        shape = model.landmarks("ibug68")(pose[3], pose[4])
        points = pose[1] * (shape @ pose[0].T)[:, :2] + pose[2]
        # Weak perspective is near the truth, and no more.
        error = np.linalg.norm(points - s.landmarks68[i], axis=-1).mean() / s.crops[i].side
        assert 1e-5 < error < 0.02


def test_a_view_through_the_stored_square_is_the_stored_picture(folder):
    s = load_sequences(folder)
    own = s.crops[3]
    seen = s.view(3, Crop(own.center, own.side * 4 / 3, own.roll), s.images.shape[1])
    np.testing.assert_allclose(seen.astype(int), s.images[3].astype(int), atol=1)


def test_views_and_params_move_together(folder):
    s = load_sequences(folder)
    own = s.crops[5]
    other = Crop(own.center + np.array([5, -3]), own.side * 1.1, own.roll + 0.2)
    there, here = decode_params(s.params_in(5, other), other, 80), decode_params(s.params[5], own, 80)
    for a, b in zip(there, here, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    # A crop moved by one pixel of the view shows the same picture one pixel on.
    n = 60
    moved = Crop(own.center + own.side / n * own.rotation[:, 0], own.side, own.roll)
    a, b = s.view(5, own, n).astype(int), s.view(5, moved, n).astype(int)
    assert np.abs(a[5:-5, 6:-5] - b[5:-5, 5:-6]).mean() < 1.5 < np.abs(a[5:-5, 5:-6] - b[5:-5, 5:-6]).mean()


def test_sets_of_single_pictures_are_refused(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 4, 4, 3), np.uint8))
    np.savez(tmp_path / "labels.npz", rotation=np.zeros((2, 3, 3)))
    with pytest.raises(InputError, match="lacks crop, landmarks68, clip"):
        load_sequences(tmp_path)
