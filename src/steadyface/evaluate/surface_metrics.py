"""The measures of reconstructed surfaces against scans: chamfer distance, neutral-shape error, normals."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..render.shade import triangle_normals
from .closest_point import Surface
from .surface_alignment import Similarity, align_points, align_surface

#: Order of the seven points of the NoW benchmark (and of FlowFace's chamfer distance).
KEYPOINTS_7 = (
    *("right eye, outer corner", "right eye, inner corner"),
    *("left eye, inner corner", "left eye, outer corner"),
    *("nose base", "mouth corner, right", "mouth corner, left"),
)
#: The same points as iBUG-68 indices.
IBUG_7 = np.array([36, 39, 42, 45, 33, 48, 54])


@dataclass(frozen=True)
class SurfaceError:
    """Distances (N,) of scan vertices to a reconstruction, with their median, mean and deviation, in mm."""

    distances: np.ndarray
    median: float
    mean: float
    std: float

    @classmethod
    def of(cls, *parts):
        """Of all distances together: a benchmark pools those of its images. parts: arrays (N_i,), mm."""
        d = np.concatenate([np.asarray(p, float).ravel() for p in parts])
        if not len(d):
            raise InputError("no distances: no scan vertex counts")
        return cls(d, float(np.median(d)), float(d.mean()), float(d.std()))


def _keypoints(keypoints, pred_vertices, gt_vertices):
    # As points on both: given as a pair of points or indices, or as indices that mean the same in both.
    pair = (keypoints, keypoints) if np.ndim(keypoints) == 1 else keypoints
    out = []
    for points, vertices in zip(pair, (pred_vertices, gt_vertices), strict=True):
        points = np.asarray(points)
        if points.ndim == 1 and points.dtype.kind in "iu":
            points = vertices[points]
        if points.ndim != 2 or points.shape[1] != 3:
            raise InputError(
                "keypoints must be vertex indices (K,) of both meshes, or a pair (predicted, true) of "
                f"indices (K,) or points (K, 3); got an array {points.shape}"
            )
        out.append(points)
    return out


def _pose(surface, points, pred_keypoints, gt_keypoints, scale, refine):
    start = align_points(pred_keypoints, gt_keypoints, scale)
    return align_surface(surface, points, start, scale) if refine else start


def _distances(surface, points, pose):
    return pose.scale * surface.closest(pose.undo(points)).distance


def chamfer(
    pred_vertices,
    gt_vertices,
    triangles,
    keypoints,
    regions: Mapping[str, np.ndarray] | None = None,
    visible=None,
    refine=True,
):
    """Scan-to-mesh chamfer distance: mean distance of true vertices to the predicted surface, mm per region.

    The prediction is brought to the truth rigidly, by its keypoints and then by closest points (`refine`),
    over all vertices that count: finite and, if given, `visible` (G,). pred_vertices: (P, 3) mm; gt_vertices:
    (G, 3) mm, any other topology; triangles: (F, 3) of the prediction; keypoints: as `KEYPOINTS_7`, indices
    (K,) where both have one topology, else a pair (predicted, true) of indices (K,) or points (K, 3);
    regions: name to (G,) bool, by default all as "all". Returns name to mm, NaN where no vertex of the
    region counts.
    Source: FlowFace, section 3.3, "3D Reconstruction".
    """
    gt_vertices, counted = _counted(gt_vertices, visible)
    regions = _regions(regions, len(gt_vertices))
    surface = Surface(pred_vertices, triangles)
    pred_points, gt_points = _keypoints(keypoints, np.asarray(pred_vertices, float), gt_vertices)
    distance = np.full(len(gt_vertices), np.nan)
    if counted.any():
        points = gt_vertices[counted]
        pose = _pose(surface, points, pred_points, gt_points, False, refine)
        distance[counted] = _distances(surface, points, pose)
    inside = {name: distance[counted & mask] for name, mask in regions.items()}
    return {name: float(d.mean()) if len(d) else float("nan") for name, d in inside.items()}


def _counted(gt_vertices, visible):
    gt_vertices = np.asarray(gt_vertices, float)
    if gt_vertices.ndim != 2 or gt_vertices.shape[1] != 3:
        raise InputError(f"true vertices must be (G, 3), got {gt_vertices.shape}")
    counted = np.all(np.isfinite(gt_vertices), axis=1)
    if visible is not None:
        if np.shape(visible) != counted.shape:
            raise InputError(f"visible must be (G,) = {counted.shape}, got {np.shape(visible)}")
        counted = counted & np.asarray(visible, bool)
    return gt_vertices, counted


def _regions(regions, count):
    if regions is None:
        return {"all": np.ones(count, bool)}
    masks = {name: np.asarray(mask) for name, mask in regions.items()}
    for name, mask in masks.items():
        if mask.shape != (count,) or mask.dtype != bool:
            raise InputError(f"region {name!r} must be a bool mask ({count},), got {mask.dtype} {mask.shape}")
    return masks


def neutral_error(pred_vertices, triangles, pred_keypoints, scan_vertices, scan_keypoints, metrical=False):
    """Error of a neutral face against a scan, as the NoW benchmark measures it: a `SurfaceError` in mm.

    The scan is cut to a ball: centre 0.3 of the way from nose base to the middle of the inner eye corners,
    radius 1.4 times half the sum of the distance of the outer eye corners and of that way's length. The
    prediction is brought to it by a similarity of the seven points, refined by the distances of the scan's
    vertices to the mesh, and those unsigned distances are the errors. pred_vertices: (P, 3) any unit (mm if
    `metrical`, which forbids scaling: NoW's second challenge); triangles: (F, 3) its faces; pred_keypoints,
    scan_keypoints: (7, 3) as `KEYPOINTS_7`; scan_vertices: (S, 3) mm, not finite ones do not count. Pool the
    images of a benchmark with `SurfaceError.of(*(e.distances for e in errors))`.
    Source: Sanyal et al. 2019, section 4, and the benchmark's published program, whose seven-point alignment
    would also mirror a face where that fits better; this one never does.
    """
    scan, counted = _counted(scan_vertices, None)
    pred_keypoints, scan_keypoints = np.asarray(pred_keypoints, float), np.asarray(scan_keypoints, float)
    if pred_keypoints.shape != (7, 3) or scan_keypoints.shape != (7, 3):
        raise InputError(
            f"NoW needs 7 points on mesh and scan, got {pred_keypoints.shape} and {scan_keypoints.shape}: "
            f"{'; '.join(KEYPOINTS_7)}"
        )
    scan = scan[counted]
    right, inner_right, inner_left, left, base = scan_keypoints[:5]
    bridge = (inner_right + inner_left) / 2
    radius = 1.4 * (np.linalg.norm(right - left) + np.linalg.norm(bridge - base)) / 2
    scan = scan[np.linalg.norm(scan - (base + 0.3 * (bridge - base)), axis=1) <= radius]
    if not len(scan):
        raise InputError("no scan vertex lies in the face: the scan's points are not in the scan's frame")
    surface = Surface(pred_vertices, triangles)
    pose = _pose(surface, scan, pred_keypoints, scan_keypoints, not metrical, True)
    return SurfaceError.of(_distances(surface, scan, pose))


def normal_error(
    pred_vertices,
    pred_triangles,
    gt_vertices,
    gt_triangles,
    center,
    rotation=None,
    visible=None,
    size=256,
    half_height=150.0,
):
    """Mean angle between the normals of two surfaces seen from the head's axis, radians.

    Both, already in the same place, are unrolled on a cylinder around the head's vertical axis: `size` rows
    from -half_height to half_height mm and `size` columns around; every ray takes the outermost triangle it
    hits, and counts where it hits both. pred_vertices: (P, 3), gt_vertices: (G, 3) mm; triangles: (F, 3)
    each; center: (3,) on the axis, half-way up; rotation: (3, 3) of the head, by default none; visible: (G,)
    bool: true triangles with a corner that is not visible, or not finite, are left out. Normals are turned
    away from the axis, so the order of corners does not matter. NaN where no ray hits both.
    Source: FaceScape (Zhu et al. 2023, section 6), mean normal error. The benchmark's own program adds 1
    to every component of the normals before it takes angles, which makes them smaller: its published figures
    and these are not comparable.
    """
    gt_vertices, counted = _counted(gt_vertices, visible)
    gt_triangles = np.asarray(gt_triangles)
    gt_triangles = gt_triangles[np.all(counted[gt_triangles], axis=1)]
    if not np.isfinite(pred_vertices).all():
        raise InputError("the predicted vertices are not all finite")
    head = Similarity(
        np.eye(3) if rotation is None else np.asarray(rotation, float), np.asarray(center, float)
    )
    a, b = (
        unroll_normals(head.undo(np.asarray(v, float)), np.asarray(t), size, half_height)
        for v, t in ((pred_vertices, pred_triangles), (gt_vertices, gt_triangles))
    )
    both = np.isfinite(a).all(-1) & np.isfinite(b).all(-1)
    if not both.any():
        return float("nan")
    a, b = a[both], b[both]
    # By the tangent, for the arc cosine loses half the digits at small angles.
    return float(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)).mean())


def unroll_normals(vertices, triangles, size, half_height):
    """Outward normals of a surface around the y axis, of any length: (size, size, 3), NaN at holes.

    vertices: (V, 3); triangles: (F, 3). Row i looks from (0, y_i, 0), y from -half_height to half_height;
    column j along (sin, 0, -cos)(2 pi j / size): the first looks ahead, along the face's -z.
    """
    normals = triangle_normals(vertices, triangles)
    corners = vertices[triangles]
    out = np.full((size * size, 3), np.nan)
    reach = np.full(size * size, -np.inf)
    y = np.linspace(-half_height, half_height, size)
    row = np.stack(
        [np.searchsorted(y, corners[..., 1].min(1)), np.searchsorted(y, corners[..., 1].max(1), "right")]
    )
    angle = np.arctan2(corners[..., 0], -corners[..., 2])
    # Corners' angles next to the first one's; a triangle around the axis then spans more than half a turn.
    angle = angle[:, :1] + (angle - angle[:, :1] + np.pi) % (2 * np.pi) - np.pi
    low, high = angle.min(1), angle.max(1)
    step = 2 * np.pi / size
    around = high - low >= np.pi
    first = np.where(around, 0, np.ceil(low / step - 1e-9)).astype(int)
    columns = np.where(around, size, np.floor(high / step + 1e-9).astype(int) - first + 1)
    pairs = (row[1] - row[0]) * columns
    ends = np.cumsum(pairs)
    for begin, stop in _parts(ends, 1_000_000):
        which = np.repeat(np.arange(begin, stop), pairs[begin:stop])
        place = np.arange(len(which)) - np.repeat(ends[begin:stop] - pairs[begin:stop], pairs[begin:stop])
        place += ends[begin] - pairs[begin]
        i = row[0, which] + place // columns[which]
        j = (first[which] + place % columns[which]) % size
        ray = np.stack([np.sin(step * j), np.zeros(len(j)), -np.cos(step * j)], -1)
        origin = np.stack([np.zeros(len(i)), y[i], np.zeros(len(i))], -1)
        distance = _hit(origin, ray, corners[which])
        hit = distance > 0
        pixel, distance, which, ray = (i * size + j)[hit], distance[hit], which[hit], ray[hit]
        # The last of those that share a pixel stays: sorted, the outermost.
        order = np.argsort(distance, kind="stable")
        order = order[distance[order] > reach[pixel[order]]]
        reach[pixel[order]] = distance[order]
        n = normals[which[order]]
        out[pixel[order]] = n * np.where((n * ray[order]).sum(-1) < 0, -1, 1)[:, None]
    return out.reshape(size, size, 3)


def _parts(ends, most):
    # Ranges of items whose running totals `ends` grow by about `most` each.
    begin = 0
    while begin < len(ends):
        before = ends[begin - 1] if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, before + most, "right")))
        yield begin, stop
        begin = stop


def _hit(origin, ray, corners):
    # Distance along the ray to one triangle each, NaN where it misses (Moeller and Trumbore 1997).
    ab, ac, ao = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], origin - corners[:, 0]
    p = np.cross(ray, ac)
    det = (ab * p).sum(-1)
    safe = np.where(det == 0, 1, det)
    u = (ao * p).sum(-1) / safe
    q = np.cross(ao, ab)
    v = (ray * q).sum(-1) / safe
    # Rays along an edge that triangles share must not slip between them.
    inside = (det != 0) & (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9)
    return np.where(inside, (ac * q).sum(-1) / safe, np.nan)
