"""The Basel Face Model of 2009 and 2017 and 3DDFA's versions of it.

Paysan et al. 2009; Gerig et al. 2018; expression of 3DDFA: Zhu et al. 2016; 3DDFA_V2: Guo et al. 2020.
"""

from pathlib import Path

import numpy as np

from ..errors import InputError
from .imported import EXPRESSION_SIGMAS, ForeignModel
from .pickle_reader import Fields, read_bytes, read_pickle, unpickle_array
from .registration import vertex_embedding

_MICROMETRE = 1e-3
_EXPRESSION_FILES = ("Model_Exp.mat", "Model_Expression.mat")
# What is read of .mat files: their textures are as large as the rest.
_ENTRIES = (
    *("shapeMU", "shapePC", "shapeEV", "tl", "mu_shape", "w", "sigma", "tri", "keypoints", "kpt_ind"),
    *("mu_exp", "w_exp", "sigma_exp", "expMU", "expPC", "expEV", "trimIndex"),
)
_WHITENING_FILES = ("param_mean_std_62d_120x120.pkl", "param_whitening.pkl")


def read_bfm_mat(path):
    """BFM 2009 or 3DDFA's .mat file: a `ForeignModel`.

    Expression is read from the same file or from Model_Exp.mat beside it, and where that is of fewer
    vertices, model_info.mat beside it says which; without either the model has no expression. Raises
    InputError if the file is broken, lacks an entry, or scipy is missing.
    """
    path = Path(path)
    f = _load_mat(path)
    mean = f("shapeMU", "mu_shape").reshape(-1)
    basis = _basis(f("shapePC", "w"), mean, path)
    std = f("shapeEV", "sigma").reshape(-1)
    triangles = _triangles(f("tl", "tri")) - 1
    keypoints = f("keypoints", "kpt_ind") if "keypoints" in f or "kpt_ind" in f else None
    e = f
    if "w_exp" not in f and "expPC" not in f:
        e = next((_load_mat(p) for p in (path.parent / n for n in _EXPRESSION_FILES) if p.is_file()), None)
    expression = np.zeros((0, len(mean) // 3, 3))
    if e is not None:
        offset = e("expMU", "mu_exp").reshape(-1)
        if len(offset) != len(mean):
            mean, basis, triangles, keypoints = _trim(path, mean, basis, triangles, len(offset), keypoints)
        expression = _scaled(path, e("w_exp", "expPC"), e("sigma_exp", "expEV").reshape(-1), offset)
        mean = mean + offset
    vertices = None if keypoints is None else keypoints.reshape(-1).astype(int) - 1
    return _model(
        "bfm2009" if e is None else "3ddfa",
        path,
        mean,
        _scaled(path, basis, std, mean),
        expression,
        triangles,
        _MICROMETRE,
        vertices,
    )


def read_bfm_h5(path):
    """BFM 2017 or 2019, or 2009 in the same layout: a `ForeignModel`.

    Raises InputError if the file is broken, lacks an entry, or h5py is missing.
    """
    try:
        import h5py
    except ImportError as e:
        raise InputError(f"{path} needs h5py: install it with pip install 'steadyface[models]'") from e
    try:
        with h5py.File(path, "r") as file:
            found = {}
            for key in ("shape/model", "expression/model"):
                for part in ("mean", "pcaBasis", "pcaVariance"):
                    if f"{key}/{part}" in file:
                        found[f"{key}/{part}"] = np.asarray(file[f"{key}/{part}"])
            for key in ("shape/representer/cells", "representer/cells"):
                if key in file:
                    found[key] = np.asarray(file[key])
    except Exception as e:
        # Broken files end in many of h5py's errors.
        raise InputError(f"cannot read {path}: {' '.join(str(e).split())}") from e
    f = Fields(path, found)
    mean = f("shape/model/mean").reshape(-1).astype(float)
    identity = _scaled(path, f("shape/model/pcaBasis"), _root(f, "shape/model/pcaVariance"), mean)
    expression = np.zeros((0, len(mean) // 3, 3))
    if "expression/model/pcaBasis" in f:
        std = _root(f, "expression/model/pcaVariance")
        expression = _scaled(path, f("expression/model/pcaBasis"), std, mean)
        offset = f("expression/model/mean").reshape(-1)
        if offset.shape != mean.shape:
            raise InputError(f"{path}: its two means are of {len(mean)} and {len(offset)} numbers")
        mean = mean + offset
    triangles = _triangles(f("shape/representer/cells", "representer/cells"))
    name = "bfm2017" if len(expression) else "bfm"
    return _model(name, path, mean, identity, expression, triangles, 1.0, None)


def read_3ddfa_pickle(path, values=None):
    """3DDFA_V2's pickle (u, w_shp, w_exp, tri, keypoints): a `ForeignModel`.

    Mean and standard deviation of the coefficients are in param_mean_std_62d_120x120.pkl, which must lie
    beside it; tri.pkl, if it lies there, replaces the triangles, as in 3DDFA_V2. Raises InputError if a
    file is broken, refused, missing or lacks an entry.
    """
    path = Path(path)
    f = Fields(path, read_pickle(path) if values is None else values)
    u = f("u").reshape(-1).astype(float)
    w_shp, w_exp = _basis(f("w_shp"), u, path), _basis(f("w_exp"), u, path)
    beside = next((p for p in (path.parent / n for n in _WHITENING_FILES) if p.is_file()), None)
    if beside is None:
        raise InputError(
            f"{path} does not say how its coefficients spread: put {_WHITENING_FILES[0]} of 3DDFA_V2 "
            "beside it"
        )
    g = Fields(beside, read_pickle(beside))
    k, e = len(w_shp.T), len(w_exp.T)
    middle, std = g("mean", "param_mean").reshape(-1), g("std", "param_std").reshape(-1)
    if len(middle) != 12 + 40 + 10 or len(std) != len(middle) or k < 40 or e < 10:
        raise InputError(
            f"{path} and {beside} do not fit: {k} + {e} coefficients, {len(middle)} means, "
            f"{len(std)} deviations"
        )
    w_shp, w_exp = w_shp[:, :40], w_exp[:, :10]
    mean = u + w_shp @ middle[12:52] + w_exp @ middle[52:]
    triangles = path.parent / "tri.pkl"
    triangles = unpickle_array(read_bytes(triangles), triangles) if triangles.is_file() else f("tri")
    # Three flat indices for each point, of x, y and z.
    keypoints = f("keypoints").reshape(-1).astype(int)
    if len(keypoints) != 68 * 3:
        raise InputError(f"{path}: 'keypoints' must be 204 indices, got {len(keypoints)}")
    return _model(
        "3ddfa_v2",
        path,
        mean,
        _scaled(path, w_shp, std[12:52], mean),
        _scaled(path, w_exp, std[52:], mean),
        _triangles(triangles),
        _MICROMETRE,
        keypoints[::3] // 3,
    )


def _model(name, path, mean, identity, expression, triangles, unit, keypoints):
    placed = {}
    if keypoints is not None:
        if len(keypoints) != 68 or keypoints.min() < 0 or keypoints.max() >= len(mean) // 3:
            raise InputError(f"{path}: its key points must be 68 of its {len(mean) // 3} vertices")
        try:
            placed["ibug68"] = np.arange(68), vertex_embedding(keypoints, triangles)
        except ValueError as e:
            raise InputError(f"{path}: {e}") from e
    count = len(expression)
    return ForeignModel(
        name=name,
        path=path,
        mean=np.asarray(mean, float).reshape(-1, 3),
        identity=identity,
        expression=expression,
        triangles=triangles,
        millimetres=unit,
        names=tuple(f"expression{i:02d}" for i in range(count)),
        bounds=np.tile([-EXPRESSION_SIGMAS, EXPRESSION_SIGMAS], (count, 1)),
        placed=placed,
    )


def _load_mat(path):
    try:
        from scipy.io import loadmat
    except ImportError as e:
        raise InputError(f"{path} needs scipy: install it with pip install 'steadyface[models]'") from e
    try:
        return Fields(path, loadmat(path, variable_names=_ENTRIES))
    except NotImplementedError as e:
        raise InputError(f"{path} is a MATLAB 7.3 file: save it again with save -v7") from e
    except Exception as e:
        # Broken files end in many of scipy's errors.
        raise InputError(f"cannot read {path}: {' '.join(str(e).split())}") from e


def _root(f, key):
    variance = f(key).reshape(-1)
    if (variance < 0).any():
        raise InputError(f"{f.path}: {key!r} must be >= 0")
    return np.sqrt(variance)


def _basis(basis, mean, path):
    if basis.ndim != 2 or len(basis) != len(mean) or len(mean) % 3:
        raise InputError(f"{path}: a basis of {basis.shape} does not fit a mean of {len(mean)} numbers")
    return basis


def _scaled(path, basis, std, mean):
    """Columns (3V, K) by their standard deviations, as (K, V, 3)."""
    basis = _basis(basis, mean, path)
    if std.shape != (basis.shape[1],):
        raise InputError(f"{path}: {basis.shape[1]} components need as many deviations, got {std.shape}")
    return (basis * std).T.reshape(len(std), -1, 3)


def _triangles(a):
    """(3, F), as MATLAB and 3DDFA store them, or (F, 3), to (F, 3) integers."""
    if a.ndim != 2 or 3 not in a.shape:
        raise InputError(f"triangles must be (F, 3) or (3, F), got {a.shape}")
    return (a if a.shape[1] == 3 else a.T).astype(np.int64)


def _trim(path, mean, basis, triangles, size, keypoints):
    """Cut a whole BFM to the vertices that 3DDFA's expression is for."""
    info = path.parent / "model_info.mat"
    if not info.is_file():
        raise InputError(
            f"{path} has {len(mean) // 3} vertices and its expression {size // 3}: put model_info.mat of "
            "3DDFA beside it, whose trimIndex says which they are"
        )
    g = _load_mat(info)
    kept = g("trimIndex").reshape(-1).astype(int) - 1
    if len(kept) * 3 != size or kept.min() < 0 or kept.max() >= len(mean) // 3:
        raise InputError(f"{info}: 'trimIndex' must be {size // 3} of the {len(mean) // 3} vertices")
    if "tri" in g:
        triangles = _triangles(g("tri")) - 1
    else:
        new = np.full(len(mean) // 3, -1)
        new[kept] = np.arange(len(kept))
        triangles = new[triangles]
        triangles = triangles[(triangles >= 0).all(1)]
    if keypoints is None and "keypoints" in g:
        keypoints = g("keypoints")
    rows = (3 * kept[:, None] + np.arange(3)).ravel()
    return mean[rows], basis[rows], triangles, keypoints
