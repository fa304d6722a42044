import json

import numpy as np
import pytest
from model_files import write_ict, write_obj

import steadyface as sf
from steadyface.errors import InputError
from steadyface.face_model.ict import read_ict
from steadyface.fit.image import FitConfig, fit_image

AXES = np.array([1.0, -1.0, -1.0])


@pytest.fixture(scope="module")
def folder(person, tmp_path_factory):
    return write_ict(tmp_path_factory.mktemp("ict"), person)


def test_the_model_is_that_of_the_files(folder, person):
    foreign = read_ict(folder.parent)  # the repository's folder will do
    np.testing.assert_allclose(foreign.mean, person.mean / 10, atol=1e-14)
    np.testing.assert_allclose(foreign.identity, person.identity[:2] / 10, atol=1e-13)
    np.testing.assert_allclose(foreign.expression, person.expression / 10, atol=1e-13)
    assert len(foreign.triangles) == len(person.triangles)
    assert foreign.names == ("browInnerUpLeft", "browInnerUpRight", "jawOpen", "mouthSmileLeft")


def test_the_loaded_model_is_in_our_frame_and_fits(folder, person):
    model = sf.load_face_model(folder)
    assert model.shape.expression_bounds is None  # activations, as the embedded model's
    wanted = (person.mean - person.eyes) * AXES
    assert np.abs(model.shape.mean - wanted).max() < 1.0
    index = json.loads((folder / "vertex_indices.json").read_text())["idx_to_landmark_verts"]
    np.testing.assert_array_equal(model.landmarks("ibug68").mean, model.shape.mean[index])
    assert model.uv.shape == (model.vertex_count, 2)
    np.testing.assert_array_equal(model.uv_triangles, model.triangles)  # one texture point a vertex here
    rng = np.random.default_rng(0)
    shape = model.landmarks("mediapipe478")
    identity, expression = rng.normal(0, 1, 2), np.array([0.8, 0, 0.3, 0.6])
    points = shape(identity, expression)[:, :2] * 2 + 300
    fit = fit_image(points, shape, config=FitConfig(point_sigma_mm=0.01, expression_l1=0))
    np.testing.assert_allclose(fit.identity, identity, atol=0.1)
    np.testing.assert_allclose(fit.expression, expression, atol=0.05)


def test_eyes_of_the_published_mesh_are_found_and_its_hidden_parts_left_out(person, tmp_path):
    rng = np.random.default_rng(0)
    count, polygons = 26719, 26384
    mean = np.zeros((count, 3))
    mean[: len(person.mean)] = person.mean / 10
    centres = person.eyes / 10 + [[3.1, 0.2, 0], [-3.1, 0.2, 0]]
    for centre, part in zip(centres, (slice(21451, 22221), slice(23021, 23791)), strict=True):
        ball = rng.normal(0, 1, (770, 3))
        ball[:, 2] = np.abs(ball[:, 2])  # the front half, unevenly: its middle is not the centre
        mean[part] = centre + 1.2 * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    faces = np.tile([17100, 17101, 17102], (polygons, 1))  # teeth
    faces[:11144] = person.triangles[np.arange(11144) % len(person.triangles)]
    faces[21496:24692] = 21451 + rng.integers(0, 770, (3196, 3))
    write_obj(tmp_path / "generic_neutral_mesh.obj", mean, faces)
    write_obj(tmp_path / "identity000.obj", mean + 0.1)
    table = {"expressions": [], "idx_to_landmark_verts": [int(person.triangles[0, 0])] * 68}
    (tmp_path / "vertex_indices.json").write_text(json.dumps(table))
    foreign = read_ict(tmp_path)
    np.testing.assert_allclose(foreign.eyes, centres.mean(0), atol=1e-6)
    assert len(foreign.triangles) == 11144 + 3196
    assert not np.isin(foreign.triangles, [17100, 17101, 17102]).any()


@pytest.fixture
def copy(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vertex_indices.json", None, "cannot read vertex_indices.json"),
        ("vertex_indices.json", b"{", "not what ICT-FaceKit writes"),
        ("vertex_indices.json", b"[]", "not what ICT-FaceKit writes"),
        ("vertex_indices.json", b'{"expressions": []}', "lacks 'idx_to_landmark_verts'"),
        ("jawOpen.obj", None, "cannot read .*jawOpen.obj"),
        ("jawOpen.obj", b"v 1 2 3\n", "jawOpen.obj has 1 vertices"),
        ("identity001.obj", b"v 1 2\n", "broken line 'v'"),
        ("identity001.obj", b"v 1 2 nan\n", "not finite"),
        ("generic_neutral_mesh.obj", b"v 1 2 3\nf 1 2 3\n", "faces must be three or more of its 1 vertices"),
        ("generic_neutral_mesh.obj", b"v 1 2 3\nf a b c\n", "broken face"),
    ],
)
def test_missing_and_broken_files_are_named(copy, name, content, message):
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=message.replace(".obj", r"\.obj")) as error:
        sf.load_face_model(copy)
    assert "\n" not in str(error.value)
