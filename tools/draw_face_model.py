"""Draw the embedded face model: the 68 points, the regions, identities and expressions.

python tools/draw_face_model.py docs/images/face_model.jpg
"""

import sys

import cv2
import numpy as np

from steadyface.face_model.morphable import load_face_model
from steadyface.render.rasterize import rasterize
from steadyface.render.shade import Lighting, interpolate, shade, vertex_normals
from steadyface.rotation import matrix_from_euler

REGION_COLORS = {
    "face": (0.45, 0.7, 0.95),
    "eyes": (0.95, 0.35, 0.3),
    "nose": (0.35, 0.8, 0.35),
    "mouth": (0.85, 0.35, 0.85),
    "ears": (0.95, 0.75, 0.25),
    "neck": (0.5, 0.65, 0.6),
}
EXPRESSIONS = (
    "jawOpen",
    "eyeBlinkLeft",
    "mouthSmileLeft mouthSmileRight",
    "mouthPucker",
    "browInnerUp",
    "cheekPuff",
    "eyeLookInLeft eyeLookOutRight",
    "mouthFunnel",
)
BACKGROUND = 0.97
HEAD_CENTER_MM = np.array([0, 8, 70], np.float32)


def albedo(model, colored_regions):
    color = np.tile(np.array([0.86, 0.72, 0.64], np.float32), (model.vertex_count, 1))
    for side in ("left", "right"):
        ball = model.region(f"eyeball_{side}")
        front = model.shape.mean[ball][np.argmin(model.shape.mean[ball][:, 2])]
        color[ball] = 0.95
        color[ball & (np.linalg.norm(model.shape.mean - front, axis=-1) < 6.5)] = [0.25, 0.3, 0.35]
    color[model.region("tongue")] = [0.75, 0.4, 0.4]
    for name, paint in REGION_COLORS.items() if colored_regions else ():
        color[model.region(name)] = paint
    return color


def view(model, size, scale, identity=None, expression=None, yaw_deg=0.0, regions=False, points=False):
    """One picture of the model, (h, w, 3) uint8 RGB. scale: px per mm."""
    identity = np.zeros(model.identity_count) if identity is None else identity
    expression = np.zeros(model.expression_count) if expression is None else expression
    rotation = matrix_from_euler(np.radians([0, yaw_deg, 0])).astype(np.float32)
    h, w = size
    middle = np.array([w / 2, h / 2, 0], np.float32)

    def place(shape):
        return (shape(identity, expression) - HEAD_CENTER_MM) @ rotation.T * scale + middle

    vertices = place(model.shape)
    raster = rasterize(vertices, model.triangles, size)
    normals = interpolate(raster, model.triangles, vertex_normals(vertices, model.triangles))
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    image = shade(interpolate(raster, model.triangles, albedo(model, regions)), normals, Lighting())
    image[~raster.mask] = BACKGROUND
    image = np.ascontiguousarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    if points:
        for i, (x, y, _) in enumerate(place(model.landmarks("ibug68"))):
            at = (round(float(x)), round(float(y)))
            cv2.circle(image, at, 3, (200, 30, 30), -1, cv2.LINE_AA)
            place_text = (at[0] + 4, at[1] - 3)
            cv2.putText(
                image, str(i), place_text, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (20, 20, 60), 1, cv2.LINE_AA
            )
    return image


def main(path):
    model = load_face_model()
    rng = np.random.default_rng(4)
    top = [
        view(model, (760, 640), 2.9, points=True),
        view(model, (760, 640), 2.9, yaw_deg=35, regions=True),
    ]
    heads = [view(model, (380, 320), 1.45, identity=rng.normal(0, 1, model.identity_count)) for _ in range(4)]
    heads += [
        view(model, (380, 320), 1.45, identity=rng.normal(0, 1, model.identity_count), yaw_deg=y)
        for y in (-60, -30, 30, 60)
    ]
    faces = []
    for names in EXPRESSIONS:
        expression = np.zeros(model.expression_count)
        expression[[model.expression_names.index(n) for n in names.split()]] = 1
        face = view(model, (380, 320), 1.6, expression=expression)
        cv2.putText(
            face, names.split()[0], (60, 370), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA
        )
        faces.append(face)
    grid = np.vstack([np.hstack(heads[:4]), np.hstack(heads[4:])])
    picture = np.vstack([np.hstack([*top, grid]), np.hstack(faces)])
    cv2.imwrite(path, cv2.resize(picture[..., ::-1], None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    main(*sys.argv[1:])
