"""Measure three rasterisers on one mesh in one run: OpenCV's (used), a numba kernel, vectorised numpy.

python benchmarks/rasterize.py [--repeats 20] [--out docs]

All give the front-most triangle, barycentric coordinates and depth of every pixel. One thread.
"""

import argparse
import time
from pathlib import Path

import cv2
import numba
import numpy as np

from steadyface.evaluate.report import Section, Table, save
from steadyface.render.rasterize import rasterize


def sphere(rings):
    """A closed sphere: (V, 3) in the unit ball and (F, 3)."""
    theta = np.linspace(1e-3, np.pi - 1e-3, rings)
    phi = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    s, c = np.sin(theta)[:, None], np.cos(theta)[:, None]
    points = np.stack([s * np.cos(phi), c + 0 * phi, s * np.sin(phi)], -1).reshape(-1, 3)
    i, j = np.arange(rings - 1)[:, None] * 2 * rings, np.arange(2 * rings)
    j1, down = (j + 1) % (2 * rings), 2 * rings
    upper = np.stack([i + j, i + j1, i + down + j], -1).reshape(-1, 3)
    lower = np.stack([i + j1, i + down + j1, i + down + j], -1).reshape(-1, 3)
    return points.astype(np.float32), np.concatenate([upper, lower]).astype(np.int32)


@numba.njit(cache=False)
def _numba_kernel(p, tri, triangle, bary, depth):
    h, w = triangle.shape
    for t in range(len(tri)):
        ax, ay, az = p[tri[t, 0]]
        bx, by, bz = p[tri[t, 1]]
        cx, cy, cz = p[tri[t, 2]]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        x0, x1 = max(0, int(np.ceil(min(ax, bx, cx)))), min(w - 1, int(np.floor(max(ax, bx, cx))))
        y0, y1 = max(0, int(np.ceil(min(ay, by, cy)))), min(h - 1, int(np.floor(max(ay, by, cy))))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                u = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                v = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                if u >= 0 and v >= 0 and u + v <= 1:
                    z = az + u * (bz - az) + v * (cz - az)
                    if z < depth[y, x]:
                        depth[y, x] = z
                        triangle[y, x] = t
                        bary[y, x, 0], bary[y, x, 1], bary[y, x, 2] = 1 - u - v, u, v


def numba_rasterize(points, triangles, size):
    """One scalar loop over triangles with a depth buffer."""
    triangle = np.full(size, -1, np.int32)
    bary = np.zeros((*size, 3), np.float32)
    depth = np.full(size, np.inf, np.float32)
    _numba_kernel(points, triangles, triangle, bary, depth)
    return triangle, bary, depth


def numpy_rasterize(points, triangles, size):
    """Triangles bucketed by bounding box; all box pixels at once; sorted so that the nearest writes last."""
    h, w = size
    corners = points[triangles]
    low = np.ceil(corners[..., :2].min(1)).astype(int)
    extent = np.maximum(np.floor(corners[..., :2].max(1)).astype(int) - low + 1, 0)
    bucket = np.ceil(np.log2(np.maximum(extent.max(1), 1))).astype(int)
    found = []
    for level in np.unique(bucket):
        index = np.flatnonzero((bucket == level) & (extent.min(1) > 0))
        side = np.arange(2**level)
        offset = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
        pixel = low[index, None] + offset
        a, b, c = (corners[index, k, None] for k in range(3))
        q, e, f = pixel - a[..., :2], b - a, c - a
        area = e[..., 0] * f[..., 1] - e[..., 1] * f[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (q[..., 0] * f[..., 1] - q[..., 1] * f[..., 0]) / area
            v = (e[..., 0] * q[..., 1] - e[..., 1] * q[..., 0]) / area
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (pixel >= 0).all(-1) & (pixel < [w, h]).all(-1)
        t, k = np.nonzero(inside)
        z = a[t, 0, 2] + u[t, k] * e[t, 0, 2] + v[t, k] * f[t, 0, 2]
        found.append((index[t], pixel[t, k] @ [1, w], u[t, k], v[t, k], z))
    t, pixel, u, v, z = (np.concatenate(x) for x in zip(*found, strict=True))
    order = np.argsort(-z, kind="stable")
    triangle, depth = np.full(h * w, -1, np.int32), np.full(h * w, np.inf, np.float32)
    bary = np.zeros((h * w, 3), np.float32)
    triangle[pixel[order]] = t[order]
    depth[pixel[order]] = z[order]
    bary[pixel[order]] = np.stack([1 - u - v, u, v], -1)[order]
    return triangle.reshape(size), bary.reshape(h, w, 3), depth.reshape(size)


def _opencv(points, triangles, size):
    r = rasterize(points, triangles, size)
    return r.triangle, r.barycentric, r.depth


WAYS = {"OpenCV": _opencv, "numba": numba_rasterize, "numpy": numpy_rasterize}


def measure(sides, repeats):
    """Median ms of every way at every size, and the share of pixels with OpenCV's triangle: two dicts of
    lists, by way."""
    points, triangles = sphere(48)
    times, same = ({way: [] for way in WAYS} for _ in range(2))
    for side in sides:
        placed = (points * side * 0.45 + np.array([side / 2 + 0.3, side / 2 + 0.3, 0])).astype(np.float32)
        expected = rasterize(placed, triangles, (side, side)).triangle
        for way, function in WAYS.items():
            found = function(placed, triangles, (side, side))[0]
            same[way].append(float(np.mean(found == expected)))
            spent = []
            for _ in range(repeats):
                start = time.perf_counter()
                function(placed, triangles, (side, side))
                spent.append(1e3 * (time.perf_counter() - start))
            times[way].append(float(np.median(spent)))
    return times, same


def section(sides, times, same):
    """The `Section` "rasterize" of what `measure` returns."""
    points, triangles = sphere(48)
    agreement = ", ".join(f"{way} {100 * min(same[way]):.2f} %" for way in list(WAYS)[1:])
    return Section(
        name="rasterize",
        title="Ways to rasterise",
        command="python benchmarks/rasterize.py",
        tables=(
            Table(
                f"Median milliseconds, one thread; {len(points)} vertices, {len(triangles)} triangles. "
                "OpenCV's is used.",
                ("pixels", *WAYS),
                tuple((f"{s} x {s}", *(times[way][i] for way in WAYS)) for i, s in enumerate(sides)),
            ),
        ),
        notes=(
            f"Pixels with the same triangle as OpenCV's, at least: {agreement}.",
            "numba is not used for all its speed: it would add some 200 MB to the runtime environment, and a "
            "second of compiling to the first use.",
        ),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    sides = (120, 160, 256, 512)
    print(save(section(sides, *measure(sides, args.repeats)), args.out))


if __name__ == "__main__":
    main()
