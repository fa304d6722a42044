import pickle

import numpy as np
import pytest
from model_files import flame_entries, write_flame
from python2_pickle import array2, chumpy2, python2, sparse2, text

import steadyface as sf
from steadyface.errors import InputError
from steadyface.face_model.flame import read_flame
from steadyface.face_model.morphable import save_face_model
from steadyface.fit.image import FitConfig, fit_image
from steadyface.rotation import matrix_from_axis_angle

AXES = np.array([1.0, -1.0, -1.0])
JAW = 0.4


@pytest.fixture(scope="module")
def arrays(person):
    return flame_entries(person)


@pytest.fixture(scope="module")
def path(person, tmp_path_factory):
    return write_flame(tmp_path_factory.mktemp("flame"), person)


@pytest.fixture(scope="module")
def embedding(person, tmp_path_factory):
    """FLAME's static and dynamic landmark files: somewhere on the triangles nearest the points."""
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("landmarks")
    middle = person.mean[person.triangles].mean(1)
    triangle = np.linalg.norm(middle - person.points["ibug68"][:, None], axis=-1).argmin(1)
    weights = rng.dirichlet(np.ones(3), 68)
    static = {"lmk_face_idx": triangle[17:].astype(np.uint32), "lmk_b_coords": weights[17:]}
    (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(static, 2))
    turned = {
        "lmk_face_idx": [triangle[:17]] + [np.zeros(17, int)] * 78,
        "lmk_b_coords": [weights[:17]] + [np.full((17, 3), 1 / 3)] * 78,
    }
    np.save(folder / "flame_dynamic_embedding.npy", np.array(turned, object))
    whole = {"full_lmk_faces_idx": triangle[None], "full_lmk_bary_coords": weights[None]}
    np.save(folder / "landmark_embedding.npy", np.array(whole, object))
    return folder, triangle, weights


@pytest.fixture(scope="module")
def model(path, embedding):
    return sf.load_face_model(path, embedding[0] / "landmark_embedding.npy")


def ours(points, person):
    """Metres of the file to this package's frame."""
    return (np.asarray(points) * 1000 - person.eyes) * AXES


def test_the_model_is_that_of_the_file(model, arrays, person):
    assert (model.identity_count, model.expression_count) == (300, 4 + 11)
    rng = np.random.default_rng(2)
    a, e = rng.normal(0, 1, 300), np.concatenate([rng.normal(0, 1, 4), np.zeros(11)])
    wanted = arrays["v_template"] + arrays["shapedirs"] @ np.concatenate([a, e[:4]])
    np.testing.assert_allclose(model.shape(a, e), ours(wanted, person), atol=2e-3)
    np.testing.assert_array_equal(np.sort(model.triangles, 1), np.sort(arrays["f"], 1))
    np.testing.assert_array_equal(model.shape.bounds[:4], [[-4, 4]] * 4)
    np.testing.assert_array_equal(model.shape.bounds[4:], [[0, 1]] * 11)
    assert model.expression_names[:5] == ("expression00", *(f"expression0{i}" for i in (1, 2, 3)), "jawOpen")


def skin(arrays, joint, axis_angle):
    """FLAME's own steps, joint by joint with 4x4 transforms along the kinematic tree."""
    parents = [-1, 0, 1, 1, 1]
    joints = arrays["J_regressor"].toarray() @ arrays["v_template"]
    rotations = [np.eye(3)] * 5
    rotations[joint] = matrix_from_axis_angle(np.array(axis_angle, float))
    feature = np.concatenate([(r - np.eye(3)).ravel() for r in rotations[1:]])
    posed = arrays["v_template"] + arrays["posedirs"] @ feature
    world = []
    for j, parent in enumerate(parents):
        local = np.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - (joints[parent] if j else 0)
        world.append(world[parent] @ local if j else local)
    moved = 0
    for j in range(5):
        t = world[j].copy()
        t[:3, 3] -= t[:3, :3] @ joints[j]
        moved = moved + arrays["weights"][:, j : j + 1] * (posed @ t[:3, :3].T + t[:3, 3])
    return moved


@pytest.mark.parametrize(
    ("name", "joint", "angle"),
    [("jawOpen", 2, (JAW, 0, 0)), ("jawLeft", 2, (0, 0.15, 0)), ("eyeLookInRight", 4, (0, 0.5, 0))],
)
def test_jaw_and_eyes_are_skinned_as_flame_does(model, arrays, person, name, joint, angle):
    e = np.zeros(model.expression_count)
    e[model.expression_names.index(name)] = 1
    wanted = ours(skin(arrays, joint, angle), person)
    np.testing.assert_allclose(model.shape(np.zeros(300), e), wanted, atol=2e-3)


def test_the_jaw_opens_downwards_and_eyes_turn_where_they_are_named(model, person):
    def moved(name, rig_point):
        return model.shape.expression_basis[model.expression_names.index(name)]

    assert moved("jawOpen", None)[:, 1].mean() > 1  # y down
    front = model.shape.mean[:, 2] < -20  # in front of the eyes' joints
    assert moved("eyeLookInLeft", None)[front, 0].mean() < 0  # the left eye inwards: to the subject's right
    assert moved("eyeLookOutLeft", None)[front, 0].mean() > 0
    assert moved("eyeLookUpRight", None)[front, 1].mean() < 0
    assert moved("jawLeft", None)[front, 0].mean() > 0


def test_chumpy_arrays_and_npz_give_the_same_model(model, arrays, embedding, tmp_path):
    entries = {k: array2(np.asarray(arrays[k])) for k in ("v_template", "f", "posedirs", "weights")}
    entries |= {"shapedirs": chumpy2(arrays["shapedirs"]), "J_regressor": sparse2(arrays["J_regressor"])}
    entries |= {"kintree_table": array2(arrays["kintree_table"]), "bs_style": text("lbs")}
    (tmp_path / "generic_model.pkl").write_bytes(python2(entries))
    np.savez(
        tmp_path / "flame.npz",
        **{k: v for k, v in arrays.items() if k != "J_regressor"},
        J_regressor=arrays["J_regressor"].toarray(),
    )
    first = read_flame(tmp_path / "generic_model.pkl")
    second = read_flame(tmp_path / "flame.npz")
    for name in ("mean", "identity", "expression", "triangles", "eyes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(first.mean, arrays["v_template"])
    by_npz = sf.load_face_model(tmp_path / "flame.npz", embedding[0] / "landmark_embedding.npy")
    np.testing.assert_array_equal(by_npz.shape.mean, model.shape.mean)


def test_landmark_files_place_the_points(model, path, person, embedding, arrays):
    folder, triangle, weights = embedding
    corners = arrays["v_template"][person.triangles[triangle]]
    wanted = ours(np.einsum("lcd,lc->ld", corners, weights), person)
    np.testing.assert_allclose(model.landmarks("ibug68").mean, wanted, atol=2e-3)
    both = [folder / "flame_static_embedding.pkl", folder / "flame_dynamic_embedding.npy"]
    again = sf.load_face_model(path, both)
    np.testing.assert_allclose(again.landmarks("ibug68").mean, wanted, atol=2e-3)
    np.savez(
        folder / "far.npz", ibug68_triangle=np.full(68, 10**6), ibug68_barycentric=np.full((68, 3), 1 / 3)
    )
    with pytest.raises(InputError, match="is it for another model"):
        sf.load_face_model(path, folder / "far.npz")


def test_landmarks_are_carried_over_where_no_file_places_them(path, person):
    carried = sf.load_face_model(path)
    # The mesh ends near the jaw line, points 0 to 16.
    for name, first, most in (("ibug68", 17, 1.0), ("mediapipe478", 0, 1.5)):
        wanted = (person.points[name] - person.eyes) * AXES
        assert np.linalg.norm(carried.landmarks(name).mean - wanted, axis=1)[first:].mean() < most
    nose = np.linalg.norm(carried.shape.mean - carried.landmarks("ibug68").mean[30], axis=1).argmin()
    assert carried.region("nose")[nose]
    assert not carried.region("mouth")[nose]


def test_the_fit_finds_the_coefficients_of_a_loaded_model(path):
    model = sf.load_face_model(path)
    rng = np.random.default_rng(5)
    shape = model.landmarks("mediapipe478")
    identity = np.concatenate([rng.normal(0, 1, 6), np.zeros(294)])
    expression = np.concatenate([rng.normal(0, 1, 4), [0.7], np.zeros(10)])
    rotation = np.array([0.1, 0.4, -0.05])
    points = 2 * (shape(identity, expression) @ matrix_from_axis_angle(rotation).T)[:, :2] + [300, 200]
    fit = fit_image(points, shape, config=FitConfig(point_sigma_mm=0.01, expression_l1=0))
    assert (expression[:4] < -0.5).any()  # what activations could not say
    np.testing.assert_allclose(fit.project(shape), points, atol=0.05)
    np.testing.assert_allclose(fit.expression[:5], expression[:5], atol=0.1)
    np.testing.assert_allclose(fit.identity, identity, atol=0.1)
    far = fit_image(points * [1, 3], shape)
    assert (far.expression >= model.shape.bounds[:, 0]).all()
    assert (far.expression <= model.shape.bounds[:, 1]).all()


def test_a_converted_model_is_the_model(model, tmp_path):
    save_face_model(model, tmp_path / "model.npz")
    again = sf.load_face_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.shape.mean, model.shape.mean)
    np.testing.assert_array_equal(again.shape.bounds, model.shape.bounds)
    np.testing.assert_array_equal(again.triangles, model.triangles)
    np.testing.assert_allclose(again.landmarks("ibug68").mean, model.landmarks("ibug68").mean, atol=1e-4)


def test_what_is_missing_is_named(arrays, tmp_path):
    for key in ("v_template", "shapedirs", "J_regressor", "weights"):
        path = tmp_path / "model.pkl"
        path.write_bytes(pickle.dumps({k: v for k, v in arrays.items() if k != key}, 2))
        with pytest.raises(InputError, match=f"model.pkl lacks '{key}'") as error:
            sf.load_face_model(path)
        assert "\n" not in str(error.value)
    path.write_bytes(pickle.dumps(arrays | {"shapedirs": arrays["shapedirs"][..., :100]}, 2))
    with pytest.raises(InputError, match="more than 300 directions"):
        sf.load_face_model(path)
    path.write_bytes(pickle.dumps(arrays | {"f": arrays["f"] + 10**6}, 2))
    with pytest.raises(InputError, match="triangles must be indices"):
        sf.load_face_model(path)
    path.write_bytes(pickle.dumps({"unknown": 1}, 2))
    with pytest.raises(InputError, match="neither FLAME's pickle nor 3DDFA's"):
        sf.load_face_model(path)


def test_a_mesh_that_is_no_face_has_no_landmarks_but_those_of_files(arrays, embedding, tmp_path):
    path = tmp_path / "model.pkl"
    squeezed = arrays["v_template"] * [1, 0.3, 1]
    path.write_bytes(pickle.dumps(arrays | {"v_template": squeezed}, 2))
    bare = sf.load_face_model(path)
    with pytest.raises(
        InputError, match=r"'flame' has no landmarks: give load_face_model the file .*landmarks=PATH"
    ):
        bare.landmarks("ibug68")
    placed = sf.load_face_model(path, embedding[0] / "landmark_embedding.npy")
    assert set(placed.embeddings) == {"ibug68"}
    assert not placed.regions
