"""Average the colours of many portraits on the face model: the texture of the demo's head.

python tools/build_mean_texture.py [--labels cache/portraits] [--out src/steadyface/assets/mean_texture.jpg]

Reads the labelled crops that `steadyface.learn.portraits` writes, of which only public-domain ones (names
that start with g) in colour and not held out are used. Each is sampled where the fitted face is seen, and
weighs more the more frontally it is seen; what no portrait shows is continued from its surroundings. The
average of a thousand people is nobody's face, so that it can ship.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from steadyface.align.crop import Crop
from steadyface.face_model.morphable import load_face_model
from steadyface.render.rasterize import rasterize
from steadyface.render.shade import vertex_normals
from steadyface.rotation import matrix_from_euler
from steadyface.synthesis.picture import PICTURE_MARGIN, read_set
from steadyface.synthesis.split import is_held_out

SIZE = 1024
#: Colours of what portraits hide: the mouth's lining and the tongue.
MOUTH, TONGUE = (92, 40, 38), (168, 92, 88)
#: Colours by distance (mm) from the eye's axis.
EYE = (
    (1.8, (18, 14, 12)),
    (2.3, (70, 48, 30)),
    (5.0, (92, 66, 42)),
    (5.8, (40, 30, 24)),
    (6.6, (222, 216, 208)),
    (12.0, (205, 190, 180)),
)


def sampled(model, texels, image, rotation, scale, translation, identity, expression):
    """Colours (N, 3) and weights (N,) of texels from one labelled picture.

    texels: (vertices (N, 3) int, barycentric (N, 3)); image: (n, n, 3); pose in crop units.
    """
    n = len(image)
    vertices = scale * model.shape(identity, expression) @ rotation.T
    vertices[:, :2] += translation
    picture = Crop(np.full(2, (n - 1) / 2), n / PICTURE_MARGIN)
    points = np.concatenate(
        [picture.to_image(vertices[:, :2]), n / PICTURE_MARGIN * vertices[:, 2:]], 1
    ).astype(np.float32)
    normals = vertex_normals(points, model.triangles)
    corners, weights = texels
    at = np.einsum("nkc,nk->nc", points[corners], weights)
    facing = -np.einsum("nk,nk->n", normals[:, 2][corners], weights)
    depth = rasterize(points, model.triangles, (n, n), cull=True).depth
    column, row = np.rint(at[:, :2].T).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < n) & (row < n)
    front = np.zeros(len(at), bool)
    front[inside] = at[inside, 2] < depth[row[inside], column[inside]] + 3
    # OpenCV takes no more than 32,767 points a row or column.
    columns = np.resize(at[:, :2], (-(-len(at) // 1024), 1024, 2)).astype(np.float32)
    colors = cv2.remap(image, columns[..., 0], columns[..., 1], cv2.INTER_LINEAR).reshape(-1, 3)[: len(at)]
    return colors, np.where(front & (facing > 0.2), facing**2, 0).astype(np.float32)


def filled(colors, weight):
    """Texture (h, w, 3) with what has no weight continued from its surroundings (push and pull)."""
    total, mass = colors * weight[..., None], weight
    pyramid = [(total, mass)]
    while min(mass.shape) > 2:
        total, mass = cv2.pyrDown(total), cv2.pyrDown(mass)
        pyramid.append((total, mass))
    image = pyramid[-1][0] / np.maximum(pyramid[-1][1], 1e-9)[..., None]
    for total, mass in pyramid[-2::-1]:
        image = cv2.pyrUp(image, dstsize=mass.shape[::-1])
        sure = np.clip(mass / 0.05, 0, 1)[..., None]
        image = sure * total / np.maximum(mass, 1e-9)[..., None] + (1 - sure) * image
    return image


def visible_at_rest(model, size=256):
    """(V,) bool: vertices of the mean face that some view from the front or the side sees."""
    mean = np.asarray(model.shape.mean, float)
    seen = np.zeros(len(mean), bool)
    scale = 0.45 * size / np.abs(mean - mean.mean(0)).max()
    for yaw in np.radians([-100, -60, -25, 0, 25, 60, 100, 180]):
        for pitch in np.radians([-40, 0, 40]):
            turned = (mean - mean.mean(0)) @ matrix_from_euler(np.array([pitch, yaw, 0])).T
            points = (turned * scale + np.array([size / 2, size / 2, 0])).astype(np.float32)
            depth = rasterize(points, model.triangles, (size, size), cull=True).depth
            column, row = np.clip(np.rint(points[:, :2]), 0, size - 1).astype(int).T
            facing = vertex_normals(points, model.triangles)[:, 2] < 0
            seen |= facing & (points[:, 2] < depth[row, column] + 1.5)
    return seen


def eye_colors(position, eyeball):
    """Colours (N, 3) of points (N, 3) mm of an eyeball (P, 3): pupil, iris, its rim, and the white."""
    ahead = np.hypot(*(position - (eyeball.min(0) + eyeball.max(0)) / 2)[:, :2].T)
    front = position[:, 2] < eyeball[:, 2].min() + 12
    radii, colors = zip(*EYE, strict=True)
    return np.stack(
        [np.interp(np.where(front, ahead, 99), radii, channel) for channel in np.transpose(colors)], -1
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, default=Path("cache/portraits"))
    parser.add_argument("--out", type=Path, default=Path("src/steadyface/assets/mean_texture.jpg"))
    parser.add_argument("--limit", type=int, default=1500)
    options = parser.parse_args()
    model = load_face_model()
    uv = np.concatenate([model.uv * SIZE - 0.5, np.zeros((len(model.uv), 1))], 1)
    raster = rasterize(uv, model.uv_triangles, (SIZE, SIZE))
    triangle = raster.triangle[raster.mask]
    texels = model.triangles[triangle], raster.barycentric[raster.mask]

    images, labels = read_set(options.labels)
    good = labels["fit_error"] < np.median(labels["fit_error"])
    total, mass, count = np.zeros((len(triangle), 3)), np.zeros(len(triangle)), 0
    for i in np.random.default_rng(0).permutation(np.flatnonzero(good)):
        name = str(labels["name"][i])
        image = np.asarray(images[i])
        # Toned prints have a colour, but only one.
        inner = image[40:-40, 40:-40].astype(float)
        hues = (inner[..., 0] - inner[..., 2]).std()
        if not name.startswith("g") or is_held_out(name) or hues < 22:
            continue
        pose = (labels[k][i] for k in ("rotation", "scale", "translation", "identity", "expression"))
        colors, weight = sampled(model, texels, image, *pose)
        total += colors * weight[:, None]
        mass += weight
        count += 1
        if count == options.limit:
            break
    colors, weight = np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.float32)
    region = {k: v[texels[0]].any(1) for k, v in model.regions.items()}
    # Collars and ties hide most necks.
    seen = np.clip(mass / max(mass.max(), 1e-9) / 0.05, 0, 1) * ~region["neck"]
    colors[raster.mask] = total / np.maximum(mass, 1e-9)[:, None]
    weight[raster.mask] = seen
    texture = filled(colors, weight)
    # The lining of mouth and sockets, and eyes: averaged ones are blurs without a gaze.
    painted = texture[raster.mask]
    painted[(~visible_at_rest(model))[texels[0]].sum(1) >= 2] = MOUTH
    painted[region["tongue"]] = TONGUE
    position = np.einsum("nkc,nk->nc", model.shape.mean[texels[0]], texels[1])
    for side in ("eyeball_left", "eyeball_right"):
        painted[region[side]] = eye_colors(position[region[side]], model.shape.mean[model.region(side)])
    texture[raster.mask] = painted
    cv2.imwrite(
        str(options.out),
        np.clip(np.rint(texture[..., ::-1]), 0, 255).astype(np.uint8),
        [cv2.IMWRITE_JPEG_QUALITY, 90],
    )
    print(f"{options.out}: average of {count} portraits, {options.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
