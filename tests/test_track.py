import errno
import os
from dataclasses import replace

import numpy as np
import pytest

from steadyface.errors import InputError, OutputError
from steadyface.rotation import matrix_from_axis_angle
from steadyface.track import Track


@pytest.fixture
def track(tiny_model):
    rng = np.random.default_rng(0)
    t = 7
    return Track.from_image_pose(
        frame_index=np.array([0, 1, 2, 5, 6, 7, 8]),
        time_s=np.arange(t) / 25,
        rotation=rng.normal(0, 0.3, (t, 3)),
        translation=rng.uniform(100, 300, (t, 2)),
        scale=rng.uniform(1, 2, t),
        identity=rng.normal(size=tiny_model.identity_count),
        expression=rng.uniform(0, 1, (t, tiny_model.expression_count)),
        sigma=rng.uniform(1, 2, (t, 68)),
        confidence=rng.uniform(0.5, 1, t),
        image_size=(640, 480),
        fps=25.0,
        model=tiny_model,
    )


def test_landmarks_are_the_weak_perspective_image_of_the_model(track):
    pose = track.landmarks("ibug68")
    assert pose.shape == (7, 68, 3)
    shape = track.model.landmarks("ibug68")(track.identity, track.expression[3])
    turned = track.scale[3] * shape @ matrix_from_axis_angle(track.rotation[3]).T
    origin = track.scale[3] * track.translation[3, :2] + track.center
    np.testing.assert_allclose(pose[3, :, :2], turned[:, :2] + origin)
    np.testing.assert_allclose(pose[3, :, 2], turned[:, 2])


def test_the_image_pose_is_kept(tiny_model, track):
    translation = track.translation[:, :2] * track.scale[:, None] + track.center
    assert ((translation >= 100) & (translation <= 300)).all()
    # At the nominal distance a camera of focal length 640 px shows 1 mm as `scale` pixels.
    np.testing.assert_allclose(640 / track.translation[:, 2], track.scale)


def test_landmarks_lie_on_the_projected_vertices(track):
    embedding = track.model.embeddings["mediapipe478"]
    corners = track.camera.project(track.vertices())[:, track.model.triangles[embedding.triangle]]
    on_surface = np.einsum("tlcd,lc->tld", corners, embedding.barycentric)
    np.testing.assert_allclose(track.landmarks("mediapipe478")[..., :2], on_surface, atol=1e-3)


def test_some_frames_are_those_frames(track):
    np.testing.assert_allclose(track.landmarks("ibug68", [2, 4]), track.landmarks("ibug68")[[2, 4]])
    np.testing.assert_allclose(track.landmarks("ibug68", 3), track.landmarks("ibug68")[3])
    np.testing.assert_allclose(track.vertices(slice(1, 3)), track.vertices()[1:3])


def test_save_and_load(track, tiny_model, tmp_path):
    track.save(tmp_path / "a.npz")
    loaded = Track.load(tmp_path / "a.npz", tiny_model)
    for name in ("frame_index", "time_s", "rotation", "translation", "identity", "expression", "sigma"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(track, name))
    assert (loaded.image_size, loaded.fps) == ((640, 480), 25.0)
    np.testing.assert_array_equal(loaded.landmarks("ibug68"), track.landmarks("ibug68"))


def test_foreign_files_are_refused(track, tiny_model, tmp_path):
    track.save(tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("half.npz", "text.npz", "empty.npz", "other.npz", "array.npy"):
        with pytest.raises(InputError, match="is not a steadyface track"):
            Track.load(tmp_path / name, tiny_model)
    with pytest.raises(InputError, match="no such file"):
        Track.load(tmp_path / "none.npz", tiny_model)


def altered(path, **changes):
    with np.load(path) as z:
        arrays = {**dict(z), **changes}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": np.array(99)}, "version 99, this steadyface reads up to 4"),
        ({"model": np.array("other")}, "face model 'other', not 'tiny'"),
        ({"scale": None}, "it lacks scale"),
        ({"scale": np.ones(3)}, r"needs scale of shape \(7,\)"),
    ],
)
def test_what_is_wrong_with_a_track_file_is_said(track, tiny_model, tmp_path, changes, message):
    track.save(tmp_path / "a.npz")
    with pytest.raises(InputError, match=message):
        Track.load(altered(tmp_path / "a.npz", **changes), tiny_model)


def test_unwritable_places_are_one_line(track, tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        track.save(tmp_path / "none" / "a.npz")
    with pytest.raises(OutputError, match="is a folder"):
        track.save(tmp_path)


def test_a_full_disk_keeps_the_old_file(track, tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    path.write_text("before")

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OutputError, match="the disk is full"):
        track.save(path)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.npz"]


def test_a_pinhole_track_is_seen_in_perspective(track, tiny_model, tmp_path):
    distance = 900 / track.scale
    head = np.column_stack([track.translation[:, :2], distance])
    near = replace(track, translation=head, focal=900.0)
    points = near.camera_points(tiny_model.landmarks("ibug68"))
    expected = 900 * points[..., :2] / points[..., 2:] + track.center
    np.testing.assert_allclose(near.landmarks("ibug68")[..., :2], expected)
    np.testing.assert_allclose(near.landmarks("ibug68", [2, 4]), near.landmarks("ibug68")[[2, 4]])
    np.testing.assert_allclose(near.landmarks("ibug68", 3), near.landmarks("ibug68")[3])
    # A camera far away sees what weak perspective does.
    far = replace(track, translation=head * [1, 1, 1e5], focal=900e5)
    np.testing.assert_allclose(
        far.landmarks("ibug68")[..., :2], track.landmarks("ibug68")[..., :2], atol=0.01
    )
    near.save(tmp_path / "a.npz")
    loaded = Track.load(tmp_path / "a.npz", tiny_model)
    assert loaded.focal == 900.0
    np.testing.assert_array_equal(loaded.landmarks("ibug68"), near.landmarks("ibug68"))


def test_weak_perspective_files_keep_their_layout(track, tiny_model, tmp_path):
    track.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as z:
        assert int(z["version"]) == 1
        assert "focal" not in z.files
    assert Track.load(tmp_path / "a.npz", tiny_model).focal is None


@pytest.mark.parametrize("focal", [0.0, -5.0, np.nan])
def test_focal_lengths_are_positive(track, focal):
    with pytest.raises(InputError, match="focal length must be > 0 px"):
        replace(track, focal=focal)


@pytest.fixture
def dense(track):
    """The track as one that knows where it was filled in, and how sure it is of seven vertices."""
    rng = np.random.default_rng(1)
    return replace(
        track,
        focal=900.0,
        interpolated=np.arange(7) == 3,
        dense_vertices=np.array([0, 30, 77, 150, 210, 290, 399]),
        dense_sigma=rng.uniform(0.2, 2, (7, 7)).astype(np.float16),
        dense_confidence=rng.uniform(0, 1, (7, 7)).astype(np.float16),
    )


def test_uncertainty_is_spread_over_the_vertices(dense, tiny_model):
    sigma = dense.vertex_sigma()
    assert sigma.shape == (7, tiny_model.vertex_count)
    # Where it is known it is as known; elsewhere between the known ones.
    np.testing.assert_allclose(sigma[:, dense.dense_vertices], dense.dense_sigma, rtol=1e-4)
    low, high = dense.dense_sigma.min(1, keepdims=True), dense.dense_sigma.max(1, keepdims=True)
    assert ((sigma >= low * 0.999) & (sigma <= high * 1.001)).all()
    np.testing.assert_allclose(dense.vertex_sigma(3), sigma[3])
    np.testing.assert_allclose(dense.vertex_sigma([2, 5]), sigma[[2, 5]])
    confidence = dense.vertex_confidence(slice(1, 3))
    np.testing.assert_allclose(confidence[:, dense.dense_vertices], dense.dense_confidence[1:3], rtol=1e-4)
    # A vertex takes after what is near it: the nearest known one weighs most.
    x = tiny_model.shape.mean
    near = np.linalg.norm(x - x[77], axis=-1).argsort()[1]
    assert abs(sigma[0, near] - dense.dense_sigma[0, 2]) < 0.5 * np.ptp(dense.dense_sigma[0])


def test_a_live_track_does_not_know_its_vertices(track):
    with pytest.raises(InputError, match=r"has no dense_sigma: .* track with quality='standard'"):
        track.vertex_sigma()
    with pytest.raises(InputError, match="has no dense_confidence"):
        track.vertex_confidence(0)


def test_extra_fields_are_saved_in_a_layout_of_their_own(dense, tiny_model, tmp_path):
    dense.save(tmp_path / "a.npz")
    loaded = Track.load(tmp_path / "a.npz", tiny_model)
    for name in ("interpolated", "dense_vertices", "dense_sigma", "dense_confidence"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(dense, name))
        assert getattr(loaded, name).dtype == getattr(dense, name).dtype
    replace(dense, interpolated=None).save(tmp_path / "b.npz")
    assert Track.load(tmp_path / "b.npz", tiny_model).interpolated is None
    plain = replace(dense, interpolated=None, dense_vertices=None, dense_sigma=None, dense_confidence=None)
    plain.save(tmp_path / "c.npz")
    for name, version in (("a", 3), ("b", 3), ("c", 2)):
        with np.load(tmp_path / f"{name}.npz") as z:
            assert int(z["version"]) == version


def test_extra_fields_fit_the_track(dense):
    with pytest.raises(InputError, match=r"needs interpolated of shape \(7,\), got \(3,\)"):
        replace(dense, interpolated=np.zeros(3, bool))
    with pytest.raises(InputError, match=r"needs dense_sigma of shape \(7, 7\), got \(7, 5\)"):
        replace(dense, dense_sigma=np.zeros((7, 5)))
    with pytest.raises(InputError, match="go together"):
        replace(dense, dense_confidence=None)


def test_a_head_in_the_corner_that_faces_the_camera_is_seen_from_the_front(track):
    assert np.array_equal(track.seen_rotation(), matrix_from_axis_angle(track.rotation))
    middle = np.array([200.0, -100, 600])
    shape = track.model.landmarks("mediapipe478").mean.mean(0)
    # The rotation that takes the optical axis to the ray by the shortest way.
    axis = np.cross([0, 0, 1], middle)
    angle = np.arctan2(np.linalg.norm(axis), middle[2])
    turn = angle * axis / np.linalg.norm(axis)
    origin = middle - matrix_from_axis_angle(turn) @ shape
    faced = replace(track, focal=900.0, rotation=np.tile(turn, (7, 1)), translation=np.tile(origin, (7, 1)))
    np.testing.assert_allclose(faced.seen_rotation(), np.tile(np.eye(3), (7, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(faced.seen_rotation([2]), np.eye(3)[None], atol=1e-6)


@pytest.fixture
def studio(dense):
    """The track as one of the studio quality."""
    rng = np.random.default_rng(2)
    return replace(
        dense,
        refined=np.arange(7) != 2,
        irradiance=rng.normal(size=(7, 33)).astype(np.float32),
        texture=rng.integers(0, 256, (16, 16, 3), np.uint8),
        texture_confidence=rng.uniform(0, 1, (16, 16)).astype(np.float16),
    )


def test_a_studio_track_is_saved_and_loaded(studio, tiny_model, tmp_path):
    studio.save(tmp_path / "a.npz")
    loaded = Track.load(tmp_path / "a.npz", tiny_model)
    for name in ("refined", "irradiance", "texture", "texture_confidence", "dense_sigma", "interpolated"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(studio, name))
        assert getattr(loaded, name).dtype == getattr(studio, name).dtype
    assert loaded.focal == studio.focal


def test_a_track_is_written_in_the_earliest_layout_that_holds_it(studio, tiny_model, tmp_path):
    no_texture = {"texture": None, "texture_confidence": None}
    no_light = {"refined": None, "irradiance": None}
    layouts = {"all": {}, "light": no_texture, "texture": no_light, "standard": no_light | no_texture}
    for (name, without), version in zip(layouts.items(), (4, 4, 4, 3), strict=True):
        path = tmp_path / f"{name}.npz"
        replace(studio, **without).save(path)
        with np.load(path) as z:
            assert int(z["version"]) == version
            assert not set(without) & set(z.files)
        loaded = Track.load(path, tiny_model)
        assert all(getattr(loaded, field) is None for field in without)


def test_what_studio_adds_goes_together_and_fits(studio):
    for name in ("refined", "irradiance", "texture", "texture_confidence"):
        with pytest.raises(InputError, match="go together: give all of them or none"):
            replace(studio, **{name: None})
    for name, wrong, shape in (
        ("refined", np.ones(3, bool), r"\(7,\), got \(3,\)"),
        ("irradiance", np.ones((3, 33)), r"\(7, 33\), got \(3, 33\)"),
        ("texture", np.zeros((16, 12, 3), np.uint8), r"\(16, 16, 3\), got \(16, 12, 3\)"),
        ("texture_confidence", np.zeros((8, 8)), r"\(16, 16\), got \(8, 8\)"),
    ):
        with pytest.raises(InputError, match=rf"needs {name} of shape {shape}"):
            replace(studio, **{name: wrong})
