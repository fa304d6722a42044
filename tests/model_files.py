"""Small files of other face models, in their true formats, of a mesh as the fixture `person` holds it."""

import json
import pickle

import h5py
import numpy as np
import scipy.io
import scipy.sparse

STD = np.array([3.0, 2.0, 1.5, 1.2, 1.1, 0.5])
STD_EXPRESSION = np.array([2.0, 1.0, 0.7, 0.4])
EXPRESSIONS = ["browInnerUp_L", "browInnerUp_R", "jawOpen", "mouthSmile_L"]


def columns(basis, std):
    """(K, V, 3) to the files' columns (3V, K), a deviation's share taken out."""
    return (basis / std[:, None, None]).reshape(len(basis), -1).T


def nearest_vertices(person):
    """(68,) the vertex nearest to each iBUG point."""
    away = np.linalg.norm(person.mean[None] - person.points["ibug68"][:, None], axis=-1)
    away[:, np.setdiff1d(np.arange(len(person.mean)), person.triangles)] = np.inf
    return away.argmin(1)


def bfm2009_shape(person):
    """Entries of BFM 2009, micrometres; triangles from 1, their corners the other way round."""
    return {
        "shapeMU": person.mean.reshape(-1, 1) * 1e3,
        "shapePC": columns(person.identity, STD) * 1e3,
        "shapeEV": STD[:, None],
        "texMU": np.zeros((person.mean.size, 1)),
        "tl": (person.triangles[:, ::-1] + 1).astype(np.uint16),
    }


def bfm2009_expression(person):
    """Entries of 3DDFA's Model_Exp.mat."""
    return {
        "mu_exp": np.full((person.mean.size, 1), 500.0),
        "w_exp": columns(person.expression, STD_EXPRESSION) * 1e3,
        "sigma_exp": STD_EXPRESSION[:, None],
    }


def write_bfm2009(folder, person, expression=False):
    """01_MorphableModel.mat, and Model_Exp.mat beside it if expression is wanted: path of the first."""
    scipy.io.savemat(folder / "01_MorphableModel.mat", bfm2009_shape(person), do_compression=True)
    if expression:
        scipy.io.savemat(folder / "Model_Exp.mat", bfm2009_expression(person))
    return folder / "01_MorphableModel.mat"


def write_bfm2017(path, person, expression=True):
    """BFM 2017's h5 file, millimetres."""
    with h5py.File(path, "w") as f:
        f["shape/model/mean"] = person.mean.reshape(-1).astype(np.float32)
        f["shape/model/pcaBasis"] = columns(person.identity, STD).astype(np.float32)
        f["shape/model/pcaVariance"] = (STD**2).astype(np.float32)
        f["shape/representer/cells"] = person.triangles.T.astype(np.int32)
        f["color/model/mean"] = np.zeros(person.mean.size, np.float32)
        if expression:
            f["expression/model/mean"] = np.full(person.mean.size, 0.5, np.float32)
            f["expression/model/pcaBasis"] = columns(person.expression, STD_EXPRESSION).astype(np.float32)
            f["expression/model/pcaVariance"] = (STD_EXPRESSION**2).astype(np.float32)
    return path


def write_3ddfa_v2(folder, person):
    """3DDFA_V2's pickle with 40 + 10 coefficients and the file of their means and deviations.

    Returns its path, its entries, the means and the deviations (62,).
    """
    rng = np.random.default_rng(0)
    w_shp, w_exp = rng.normal(0, 1e-3, (person.mean.size, 40)), rng.normal(0, 10, (person.mean.size, 10))
    std = np.concatenate([np.ones(12), np.full(40, 1e5), np.ones(10)])
    middle = np.concatenate([np.zeros(12), rng.normal(0, 1e4, 40), rng.normal(0, 1, 10)])
    entries = {
        "u": (person.mean.reshape(-1, 1) * 1e3).astype(np.float32),
        "w_shp": w_shp.astype(np.float32),
        "w_exp": w_exp.astype(np.float32),
        "tri": person.triangles.T,
        "keypoints": (3 * nearest_vertices(person)[:, None] + np.arange(3)).ravel(),
    }
    (folder / "bfm_noneck_v3.pkl").write_bytes(pickle.dumps(entries, 4))
    whitening = {"mean": middle.astype(np.float32), "std": std.astype(np.float32)}
    (folder / "param_mean_std_62d_120x120.pkl").write_bytes(pickle.dumps(whitening, 4))
    return folder / "bfm_noneck_v3.pkl", entries, middle, std


def flame_entries(person):
    """FLAME's entries in metres: 5 joints, the last two at the eyes, the jaw before the ears."""
    rng = np.random.default_rng(0)
    mean = person.mean / 1000
    v = len(mean)
    eyes = person.eyes / 1000 + np.array([[0.03, 0, 0], [-0.03, 0, 0]])
    joints = np.array([[0, -0.2, 0], [0, -0.1, 0], person.eyes / 1000 + [0, -0.03, -0.02], *eyes])
    # Any five points are an affine combination of a few vertices; least squares finds a regressor.
    rows = np.linalg.lstsq(
        np.vstack([mean[:40].T, np.ones(40)]), np.vstack([joints.T, np.ones(5)]), rcond=None
    )[0]
    regressor = np.zeros((5, v))
    regressor[:, :40] = rows.T
    weights = rng.dirichlet(np.ones(5), v)
    directions = np.zeros((v, 3, 304))
    directions[..., :6] = person.identity.transpose(1, 2, 0) / 1000
    directions[..., 300:] = person.expression.transpose(1, 2, 0) / 1000
    return {
        "v_template": mean,
        "f": person.triangles.astype(np.uint32),
        "shapedirs": directions,
        "posedirs": rng.normal(0, 1e-3, (v, 3, 36)),
        "J_regressor": scipy.sparse.csc_matrix(regressor),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.uint32),
        "weights": weights,
        "bs_style": "lbs",
    }


def write_flame(folder, person):
    """FLAME's generic_model.pkl."""
    path = folder / "generic_model.pkl"
    path.write_bytes(pickle.dumps(flame_entries(person), 2))
    return path


def write_obj(path, vertices, faces=(), uv=()):
    lines = ["mtllib ICTFaceModelMaterial.mtl", *(f"v {x:.15f} {y:.15f} {z:.15f}" for x, y, z in vertices)]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" if len(uv) else f"{i + 1}" for i in face) for face in faces]
    path.write_text("\n".join(lines) + "\n")


def write_ict(folder, person):
    """FaceXModel with quads, centimetres, two identities and four expressions: its path."""
    folder = folder / "FaceXModel"
    folder.mkdir()
    mean = person.mean / 10
    uv = np.random.default_rng(0).uniform(0, 1, (len(mean), 2))
    # One quad, of two triangles that share an edge, among the triangles.
    first = person.triangles[0]
    other = next(t for t in person.triangles[1:] if len(set(t) & set(first)) == 2)
    apex = (set(other) - set(first)).pop()
    alone = next(i for i in range(3) if first[i] not in other)
    quad = [first[alone], first[(alone + 1) % 3], apex, first[(alone + 2) % 3]]
    rest = [t for t in person.triangles[1:] if not np.array_equal(t, other)]
    write_obj(folder / "generic_neutral_mesh.obj", mean, [quad, *rest], uv)
    for i in range(2):
        write_obj(folder / f"identity{i:03d}.obj", mean + person.identity[i] / 10)
    for name, move in zip(EXPRESSIONS, person.expression, strict=True):
        write_obj(folder / f"{name}.obj", mean + move / 10)
    table = {"expressions": EXPRESSIONS, "idx_to_landmark_verts": nearest_vertices(person).tolist()}
    (folder / "vertex_indices.json").write_text(json.dumps(table))
    return folder
