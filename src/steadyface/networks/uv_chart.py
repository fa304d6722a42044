"""The flat chart of the face in which the alignment flow lives, and how a flow is read at its vertices."""

from dataclasses import dataclass

import numpy as np

#: Weight of a vertex by region, in the chart's area and in the loss; the last region that holds it decides.
REGION_WEIGHTS = {
    "skin": 0.1,
    "ears": 0.15,
    "neck": 0.05,
    "face": 0.6,
    "nose": 1.0,
    "mouth": 1.5,
    "eyes": 1.5,
}
# Share of the chart that is spread evenly over the model's own texture coordinates.
_EVEN = 0.4


@dataclass(frozen=True)
class UVChart:
    """Where each aligned vertex lies in the unit square: nu of FlowFace's eq. 1.

    vertices: (n,) indices into the model, rising; position: (n, 2) in [0, 1], v down; weight: (n,) mean 1.
    """

    vertices: np.ndarray
    position: np.ndarray
    weight: np.ndarray

    def __len__(self):
        return len(self.vertices)


def uv_chart(model):
    """The `UVChart` of a face model: the outer skin, with the area where the face's detail is.

    model: MorphableModel. The piece of its texture coordinates that holds most of the face is kept, and each
    axis is passed through the distribution of the vertices' weights along it, so that the eyes, which fill a
    hundredth of a usual texture, get as many texels as they have detail. The map of either axis rises, so
    nothing folds. The paper's chart was drawn by an artist.
    """
    texels = _largest_piece(model)
    vertices, first = np.unique(model.triangles[texels].ravel(), return_index=True)
    uv = model.uv[model.uv_triangles[texels].ravel()[first]].astype(float)
    weight = np.full(model.vertex_count, 0.1)
    for name, value in REGION_WEIGHTS.items():
        if name in model.regions:
            weight[model.regions[name]] = value
    weight = weight[vertices]
    position = np.stack([_spread(uv[:, 0], weight), _spread(uv[:, 1], weight)], -1)
    return UVChart(vertices, position.astype(np.float32), (weight / weight.mean()).astype(np.float32))


def _largest_piece(model):
    """Triangles (F,) bool of the connected piece of the texture that holds most of the face."""
    label = np.arange(len(model.uv))
    corners = model.uv_triangles
    while True:
        # Every corner takes the smallest label of its triangle, until nothing changes.
        lowest = label[corners].min(1)
        before = label.copy()
        np.minimum.at(label, corners.ravel(), np.repeat(lowest, 3))
        label = label[label]
        if np.array_equal(before, label):
            break
    piece = label[corners[:, 0]]
    face = (
        model.regions["face"][model.triangles].all(1)
        if "face" in model.regions
        else np.ones(len(piece), bool)
    )
    names, count = np.unique(piece[face], return_counts=True)
    return piece == names[count.argmax()]


def _spread(value, weight, bins=64):
    """Values through the smoothed distribution function of their weights, mixed with an even one: [0, 1]."""
    edges = np.linspace(value.min(), value.max(), bins + 1)
    density = np.histogram(value, edges, weights=weight)[0]
    density = np.convolve(np.pad(density, 2, mode="edge"), [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16], "valid")
    density = (1 - _EVEN) * density / density.sum() + _EVEN / bins
    share = np.concatenate([[0.0], np.cumsum(density)])
    return np.interp(value, edges, share / share[-1])


def sampling_matrix(position, size):
    """Weights (n, size^2) by which a map of size x size texels is read bilinearly at chart positions.

    position: (n, 2) in [0, 1]; texel (row i, column j) has its centre at ((j + 1/2), (i + 1/2)) / size, and
    beyond the outer centres the border repeats.
    """
    at = np.clip(np.asarray(position, float) * size - 0.5, 0, size - 1)
    low = np.minimum(at.astype(int), size - 2)
    part = at - low
    matrix = np.zeros((len(at), size * size))
    rows = np.arange(len(at))
    for dy in (0, 1):
        for dx in (0, 1):
            w = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
            matrix[rows, (low[:, 1] + dy) * size + low[:, 0] + dx] += w
    return matrix


def smoothest_map(position, values, size, stiffness=1e-3):
    """The smooth map (size, size, C) that, read at chart positions (n, 2), comes nearest to values (n, C).

    Least squares with squared differences of neighbouring texels, times `stiffness`, so that texels without
    vertices continue their neighbours.
    """
    matrix = sampling_matrix(position, size)
    step = np.diff(np.eye(size), axis=0)
    line = step.T @ step
    smooth = np.kron(np.eye(size), line) + np.kron(line, np.eye(size))
    normal = matrix.T @ matrix + stiffness * smooth
    return np.linalg.solve(normal, matrix.T @ values).reshape(size, size, -1)


def texel_weights(position, size, neighbours=8):
    """How texels' values follow from their nearest vertices: indices and weights (size^2, neighbours).

    position: (n, 2) in [0, 1]. The weights are those of a local plane fitted by least squares, near vertices
    first, with a slope that fades where they lie on one side: nearly exact inside for what is linear over the
    chart.
    """
    position = np.asarray(position, float) * size - 0.5
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    centers = np.stack([x, y], -1).reshape(-1, 1, 2)
    away = position - centers
    squared = (away**2).sum(-1)
    near = np.argsort(squared, axis=1, kind="stable")[:, : min(neighbours, len(position))]
    away = np.take_along_axis(away, near[..., None], 1)
    squared = np.take_along_axis(squared, near, 1)
    importance = 1 / (squared + 0.05)
    plane = np.concatenate([np.ones_like(away[..., :1]), away], -1)
    normal = np.einsum("tki,tk,tkj->tij", plane, importance, plane)
    # Far from every vertex the plane is held level, and the texel takes their mean.
    normal[:, [1, 2], [1, 2]] += (0.01 * importance.sum(1) * (1 + squared[:, 0]))[:, None]
    first = np.linalg.solve(normal, np.array([1.0, 0, 0])[:, None])[..., 0]
    weight = np.einsum("ti,tki,tk->tk", first, plane, importance)
    return near, (weight / weight.sum(1, keepdims=True)).astype(np.float32)
