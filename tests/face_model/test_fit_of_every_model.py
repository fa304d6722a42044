"""The sequence fit runs with every kind of face model that can be read."""

from dataclasses import replace

import numpy as np
import pytest
from model_files import write_3ddfa_v2, write_bfm2009, write_bfm2017, write_flame, write_ict
from sequence_scene import SIZE, sequence, turn_between

import steadyface as sf
from steadyface.fit.rig import Rig
from steadyface.rotation import matrix_from_axis_angle

WRITERS = {
    "flame": write_flame,
    "bfm2009": write_bfm2009,
    "3ddfa": lambda folder, person: write_bfm2009(folder, person, expression=True),
    "bfm2017": lambda folder, person: write_bfm2017(folder / "model2017-1.h5", person),
    "3ddfa_v2": lambda folder, person: write_3ddfa_v2(folder, person)[0],
    "ict": write_ict,
}


@pytest.mark.parametrize("name", WRITERS)
def test_landmarks_give_the_pose_back(name, person, tmp_path):
    model = sf.load_face_model(WRITERS[name](tmp_path, person))
    assert model.name == name
    shape = model.landmarks("ibug68")
    rig = replace(Rig.single(SIZE), focal=np.array([800.0]))
    scene = sequence(shape, 5, noise=0.2, rig=rig)
    fit = sf.fit_landmarks(scene.points, image_size=SIZE, focal=800, sigma=0.2, model=model)
    track = fit.track
    assert fit.distance[0] < 0.5
    assert np.degrees(turn_between(matrix_from_axis_angle(track.rotation), scene.rotation).max()) < 4
    np.testing.assert_allclose(track.translation[:, :2], scene.translation[:, :2], atol=5)
    np.testing.assert_allclose(track.translation[:, 2], scene.translation[:, 2], rtol=0.05)
    low, high = shape.bounds.T
    assert (track.expression >= low).all()
    assert (track.expression <= high).all()
    track.save(tmp_path / "track.npz")
    again = sf.Track.load(tmp_path / "track.npz", model)
    np.testing.assert_array_equal(again.vertices(), track.vertices())
