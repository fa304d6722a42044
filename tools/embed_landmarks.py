"""Embed the MediaPipe-478 and iBUG-68 landmarks in the head that build_face_model.py made.

    python tools/embed_landmarks.py head.npz --mediapipe-python ENV/bin/python \\
        --portraits DATA/portraits/landmarks478.npz --out src/steadyface/assets/face_model.npz

Renders random heads, lets MediaPipe find its landmarks on them (mediapipe==0.10.21 pins numpy<2, so it
runs in an environment of its own), casts the points back to the surface, and takes robust, symmetrised
means, which are then corrected by the mean residual of fitted portraits. iBUG 17-67 follow from the
known MediaPipe correspondences; the jaw line 0-16 is placed evenly along MediaPipe's face oval between
the ears. Regions of the face follow from the landmarks.
"""

import argparse
import dataclasses
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from steadyface.face_model.mediapipe import EYES, INNER_51, LIPS, NOSE, OVAL
from steadyface.face_model.morphable import Embedding, load_face_model, save_face_model
from steadyface.fit.image import fit_image
from steadyface.render.rasterize import rasterize
from steadyface.rotation import matrix_from_axis_angle, matrix_from_euler
from steadyface.synthesis.split import is_held_out

SIZE = 320
# Over the portraits, with the gaze held at rest, irises are seen this far out from the nose and down from the
# eyeballs' centres, and their rings are cut by the lids: without it every fitted eye looks outward and down.
IRIS_SHIFT_MM = (1.5, 1.0)
IRIS_HALF_HEIGHT_MM = 5.1
IRIS_RADIUS_MM = 5.85  # Mean visible iris radius of adults (Gharaee et al. 2014: 11.7 mm in diameter).


def shade(model, vertices, raster, tone):
    """A plain matte render with skin, eye and lip tones that MediaPipe reads as a face. (h, w, 3) uint8."""
    normals = np.cross(
        vertices[model.triangles[:, 1]] - vertices[model.triangles[:, 0]],
        vertices[model.triangles[:, 2]] - vertices[model.triangles[:, 0]],
    )
    vertex_normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(vertex_normals, model.triangles[:, corner], normals)
    vertex_normals /= np.linalg.norm(vertex_normals, axis=-1, keepdims=True) + 1e-9
    light = np.clip(vertex_normals @ np.array([-0.3, -0.45, -0.84]), 0, 1) * 0.65 + 0.35
    color = np.tile(tone, (len(vertices), 1))
    for side in ("left", "right"):
        ball = model.region(f"eyeball_{side}")
        color[ball] = 0.93
        front = vertices[ball][np.argmin(vertices[ball][:, 2])]
        color[ball & (np.linalg.norm(vertices - front, axis=-1) < 6.5)] = 0.12
    color[model.region("tongue")] = [0.5, 0.2, 0.2]
    lit = color * light[:, None]
    corners = model.triangles[np.maximum(raster.triangle, 0)]
    image = np.einsum("hwc,hwcd->hwd", raster.barycentric, lit[corners])
    image[raster.triangle < 0] = 0.75
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def random_views(model, count, open_mouth, rng):
    """Random heads turned up to 45 degrees: images, rasters and projected vertices."""
    images, casts = [], []
    names = model.expression_names
    for _ in range(count):
        identity = rng.normal(0, 0.8, model.identity_count)
        expression = np.zeros(model.expression_count)
        expression[names.index("eyeWideLeft")] = expression[names.index("eyeWideRight")] = rng.uniform(0, 0.5)
        if open_mouth:
            expression[names.index("jawOpen")] = rng.uniform(0.25, 0.6)
        vertices = model.shape(identity, expression)
        rotation = matrix_from_euler(rng.normal(0, [0.12, 0.35, 0.1]))
        turned = vertices @ rotation.T
        scale = SIZE / 300 * rng.uniform(0.9, 1.1)
        points = turned * scale
        points[:, :2] += rng.normal([SIZE / 2, SIZE / 2 - 10], 5)
        raster = rasterize(points, model.triangles, (SIZE, SIZE))
        tone = np.array([0.85, 0.62, 0.52]) * rng.uniform(0.6, 1.05)
        images.append(shade(model, turned, raster, tone))
        casts.append((raster, points))
    return np.stack(images), casts


def detect(images, python):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "images.npy", Path(folder) / "points.npy"
        np.save(source, images)
        script = Path(__file__).with_name("detect_mediapipe.py")
        subprocess.run([python, str(script), str(source), str(target)], check=True, capture_output=True)
        return np.load(target)


def cast(model, raster, points, landmarks, reach=4):
    """Cast image points to the surface: (L, 3) on the mean head in mm, NaN where they miss.

    A point that falls on an eyeball or just outside the silhouette takes the nearest skin pixel.
    """
    skin = model.region("skin")[model.triangles].all(-1)
    on_skin = (raster.triangle >= 0) & skin[np.maximum(raster.triangle, 0)]
    ys, xs = np.nonzero(on_skin)
    from scipy.spatial import KDTree

    tree = KDTree(np.stack([xs, ys], 1))
    distance, nearest = map(np.asarray, tree.query(landmarks, distance_upper_bound=reach))
    hit = np.isfinite(distance)
    out = np.full((len(landmarks), 3), np.nan)
    pixel = nearest[hit]
    y, x = ys[pixel], xs[pixel]
    triangle = raster.triangle[y, x]
    corners = points[model.triangles[triangle], :2]
    # Barycentrics at the exact point when it is over skin, at the pixel when it had to be moved.
    target = np.where((distance[hit] < 0.75)[:, None], landmarks[hit], np.stack([x, y], 1))
    edge = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], -1)
    det = np.linalg.det(edge)
    ok = np.abs(det) > 1e-3
    bc = np.linalg.solve(edge[ok], (target - corners[:, 0])[ok][..., None])[..., 0]
    w = np.clip(np.concatenate([1 - bc.sum(-1, keepdims=True), bc], -1), -0.3, 1.3)
    mean = model.shape.mean[model.triangles[triangle[ok]]]
    out[np.nonzero(hit)[0][ok]] = np.einsum("lc,lcd->ld", w, mean)
    return out


def closest_on_surface(points, vertices, triangles):
    """Closest point of a triangle mesh to each point, as an `Embedding` (Ericson 2004, by candidates)."""
    from scipy.spatial import KDTree

    centers = vertices[triangles].mean(1)
    candidates = np.asarray(KDTree(centers).query(points, k=40)[1])
    tri = vertices[triangles[candidates]]
    best, best_d = None, None
    grid = [(a, b) for a in np.linspace(0, 1, 33) for b in np.linspace(0, 1, 33) if a + b <= 1 + 1e-9]
    g = np.array([(1 - a - b, a, b) for a, b in grid])
    surface = np.einsum("gc,lkcd->lkgd", g, tri)
    d = np.linalg.norm(surface - points[:, None, None], axis=-1)
    flat = d.reshape(len(points), -1).argmin(-1)
    k, j = np.divmod(flat, len(g))
    best = candidates[np.arange(len(points)), k]
    best_d = d.reshape(len(points), -1).min(-1)
    return Embedding(best.astype(np.int32), g[j].astype(np.float32)), best_d


def geometric_median(samples, iterations=50):
    """(N, L, 3) with NaN to (L, 3): Weiszfeld's algorithm."""
    center = np.nanmedian(samples, 0)
    for _ in range(iterations):
        w = 1 / np.maximum(np.linalg.norm(samples - center, axis=-1, keepdims=True), 0.05)
        center = np.nansum(w * samples, 0) / np.nansum(np.where(np.isnan(samples), np.nan, w), 0)
    return center


def iris_points(model):
    """(10, 3) mm: centre and ring of the subject's right iris (468-472), then the left's (473-477)."""
    rows = []
    for side in ("right", "left"):
        ball = model.shape.mean[model.region(f"eyeball_{side}")]
        front = ball[np.argmin(ball[:, 2])]
        x, y = front[0], (ball[:, 1].min() + ball[:, 1].max()) / 2
        # Ring order as MediaPipe's in both eyes: image right, top, image left, bottom.
        ring = np.array([[1, 0], [0, -1], [-1, 0], [0, 1]]) * [IRIS_RADIUS_MM, IRIS_HALF_HEIGHT_MM]
        x, y = x + np.sign(x) * IRIS_SHIFT_MM[0], y + IRIS_SHIFT_MM[1]
        rows.append(np.concatenate([[[x, y]], ring + np.array([x, y])]))
    xy = np.concatenate(rows)
    return np.concatenate([xy, np.full((10, 1), model.shape.mean[:, 2].min())], 1)


def embed_iris(model):
    """Embedding of the iris points by casting them along z onto the eyeballs' front."""
    points = iris_points(model)
    balls = model.region("eyeball_left") | model.region("eyeball_right")
    index = np.nonzero(balls[model.triangles].all(-1))[0]
    tri = model.shape.mean[model.triangles[index]]
    triangle, weights = [], []
    for p in points:
        edge = np.stack([tri[:, 1, :2] - tri[:, 0, :2], tri[:, 2, :2] - tri[:, 0, :2]], -1)
        det = np.linalg.det(edge)
        safe = np.where(np.abs(det)[:, None, None] < 1e-9, np.eye(2), edge)
        bc = np.linalg.solve(safe, (p[:2] - tri[:, 0, :2])[..., None])[..., 0]
        w = np.concatenate([1 - bc.sum(-1, keepdims=True), bc], -1)
        z = np.where(
            (w.min(-1) > -1e-6) & (np.abs(det) >= 1e-9), np.einsum("fc,fc->f", w, tri[..., 2]), np.inf
        )
        best = int(np.argmin(z))
        assert np.isfinite(z[best]), "an iris point misses the eyeball"
        triangle.append(index[best])
        weights.append(w[best])
    return Embedding(np.array(triangle, np.int32), np.array(weights, np.float32))


def refine_on_portraits(model, embedding, data, candidates, count=700):
    """Move the 468 skin points by their mean residual over fitted portraits, and back to the surface.

    Renders of plain heads bias the detector a little, always the same way; portraits that are not held out
    show by how much. Returns the new `Embedding`.
    """
    flip = data["flip_index"]
    reliable = data["flip_consistency"] < np.percentile(data["flip_consistency"], 70)
    allowed = reliable & np.array([not is_held_out(n) for n in data["names"]])
    index = np.random.default_rng(0).choice(np.nonzero(allowed)[0], count, replace=False)
    points = data["xyz"][index][..., :2] / 32 - 0.5
    shape = model.at(embedding)
    fit = fit_image(points, shape)
    rows = matrix_from_axis_angle(fit.rotation)[:, :2]
    residual = (points - fit.project(shape)) / fit.scale[:, None, None]
    # Least squares for each point's offset in the model frame; depth is seen only in turned heads.
    normal = np.einsum("nki,nkj->ij", rows, rows) + 20 * np.eye(3)
    offset = np.linalg.solve(normal, np.einsum("nki,nlk->li", rows, residual).T).T
    offset = (offset + offset[flip] * [-1, 1, 1]) / 2
    size = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)[:, None]
    before = np.linalg.norm(points - fit.project(shape), axis=-1) / size
    moved = np.linalg.norm(offset[:468], axis=-1).mean()
    print(f"portraits: residual {100 * before.mean():.2f} % of inter-ocular; points move by {moved:.2f} mm")
    skin, _ = closest_on_surface(
        shape.mean[:468] + offset[:468], model.shape.mean, model.triangles[candidates]
    )
    refined = Embedding(
        np.concatenate([candidates[skin.triangle], embedding.triangle[468:]]).astype(np.int32),
        np.concatenate([skin.barycentric, embedding.barycentric[468:]]),
    )
    fit = fit_image(points, model.at(refined))
    after = np.linalg.norm(points - fit.project(model.at(refined)), axis=-1) / size
    print(f"portraits: residual {100 * after.mean():.2f} % after")
    return refined


def jaw_line(mp_points):
    """iBUG 0-16: seventeen points at even arc length along the lower face oval, ear to ear. (17, 3) mm."""
    # Image-left ear (subject's right, 234-127) down over the chin (152) to the image-right ear (454).
    start, end = OVAL.index(127), OVAL.index(356)
    path = mp_points[list(OVAL[end : start + 1])][::-1]
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=-1))])
    at = np.linspace(0, length[-1], 17)
    return np.stack([np.interp(at, length, path[:, i]) for i in range(3)], -1)


def regions_from_landmarks(model, mp_points):
    """Masks of the face and its parts by distance to landmark groups on the mean head."""
    from scipy.spatial import KDTree

    mean, skin = model.shape.mean, model.region("skin")
    outer = model.region("outer")
    near = {
        "eyes": (EYES, 9.0),
        "mouth": (LIPS, 7.0),
        "nose": (NOSE, 9.0),
    }
    distance = {k: KDTree(mp_points[list(i)]).query(mean)[0] / reach for k, (i, reach) in near.items()}
    first = np.argmin(np.stack(list(distance.values())), 0)
    regions = {k: skin & outer & (d < 1) & (first == n) for n, (k, d) in enumerate(distance.items())}
    from matplotlib.path import Path as Polygon

    # The face is what lies inside the oval, with the cheeks unrolled about the head's axis.
    def unroll(p):
        angle = np.arctan2(p[..., 0], 75 - p[..., 2])
        return np.stack([angle * 90, p[..., 1]], -1)

    inside = Polygon(unroll(mp_points[list(OVAL)])).contains_points(unroll(mean))
    regions["face"] = skin & outer & inside & (mean[:, 2] < mean[skin, 2].min() + 110)
    regions["ears"] = model.region("ears") & ~regions["face"]
    regions["neck"] = model.region("neck") & ~regions["face"]
    return regions


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("head")
    parser.add_argument("--mediapipe-python", required=True)
    parser.add_argument(
        "--portraits", required=True, help="npz of MediaPipe landmarks on portraits (names, xyz, flip_index)"
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--views", type=int, default=200)
    parser.add_argument("--sheet", help="write a contact sheet of the detections to this PNG")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    model = load_face_model(args.head)
    data = dict(np.load(args.portraits))
    flip = data["flip_index"]

    samples, seen = [], np.zeros(len(model.triangles), int)
    for open_mouth in (False, True):
        images, casts = random_views(model, args.views, open_mouth, rng)
        found = detect(images, args.mediapipe_python)
        rows = np.full((len(images), 478, 3), np.nan)
        for i, (raster, points) in enumerate(casts):
            np.add.at(seen, raster.triangle[raster.triangle >= 0], 1)
            if np.isfinite(found[i]).all():
                rows[i] = cast(model, raster, points, found[i])
        samples.append(rows)
        if args.sheet:
            draw_sheet(images, found, f"{args.sheet}.{int(open_mouth)}.png")
    # The inner lips coincide when the mouth is shut; everything but mouth and chin is steadier with it shut.
    take = np.where(
        np.isin(np.arange(478), LIPS)[:, None],
        geometric_median(samples[1]),
        geometric_median(samples[0]),
    )
    take = (take + take[flip] * [-1, 1, 1]) / 2
    spread = np.nanmedian(np.linalg.norm(samples[0] - take, axis=-1))
    print("views with landmarks:", [int(np.isfinite(rows).any((1, 2)).sum()) for rows in samples])
    print(f"points cast back agree to {spread:.2f} mm (median)")

    outer_triangles = seen > 0
    outer = np.zeros(model.vertex_count, bool)
    outer[model.triangles[outer_triangles]] = True
    skin = model.region("skin")[model.triangles].all(-1)
    candidates = np.nonzero(skin & outer_triangles)[0]
    surface, distance = closest_on_surface(take[:468], model.shape.mean, model.triangles[candidates])
    print(f"means lie {np.median(distance):.2f} mm (median), {distance.max():.2f} mm (worst) off the surface")
    iris = embed_iris(model)
    mediapipe = Embedding(
        np.concatenate([candidates[surface.triangle], iris.triangle]).astype(np.int32),
        np.concatenate([surface.barycentric, iris.barycentric]),
    )
    mediapipe = refine_on_portraits(model, mediapipe, data, candidates)
    mp_points = np.einsum(
        "lc,lcd->ld", mediapipe.barycentric, model.shape.mean[model.triangles[mediapipe.triangle]]
    )
    jaw, _ = closest_on_surface(jaw_line(mp_points), model.shape.mean, model.triangles[candidates])
    inner = list(INNER_51)
    ibug = Embedding(
        np.concatenate([candidates[jaw.triangle], mediapipe.triangle[inner]]).astype(np.int32),
        np.concatenate([jaw.barycentric, mediapipe.barycentric[inner]]),
    )
    model = dataclasses.replace(
        model,
        regions={**model.regions, "outer": outer},
        embeddings={"mediapipe478": mediapipe, "ibug68": ibug},
    )
    model = dataclasses.replace(model, regions={**model.regions, **regions_from_landmarks(model, mp_points)})
    print({k: int(v.sum()) for k, v in model.regions.items()})
    save_face_model(model, args.out)


def draw_sheet(images, found, path, columns=8):
    import cv2

    tiles = []
    for image, points in zip(images[: 3 * columns], found, strict=False):
        tile = image[..., ::-1].copy()
        for x, y in points[np.isfinite(points).all(-1)]:
            cv2.circle(tile, (round(float(x)), round(float(y))), 1, (0, 255, 0), -1)
        tiles.append(tile)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    cv2.imwrite(path, np.vstack(rows))


if __name__ == "__main__":
    main()
