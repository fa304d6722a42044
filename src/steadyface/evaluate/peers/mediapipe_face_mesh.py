"""MediaPipe Face Mesh 0.10.21 in tracking mode, as its users run it; needs mediapipe==0.10.21.

python mediapipe_face_mesh.py VIDEO OUT.npz [--threads N]

478 points, irises included. Pixel coordinates are brought to steadyface's, where integers are pixel centres.
Depth is MediaPipe's: scaled as x is, by the image's width, from the middle of the head, and of no
true unit, so the surface of the first 468 points is not metric.
"""

import mediapipe
import numpy as np
from adapter import arguments, follow, spread, write
from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION
from mesh_edges import triangles_of_edges

MESH = 468


def main():
    args = arguments(__doc__)
    with mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=False, refine_landmarks=True, max_num_faces=1
    ) as mesh:

        def process(image):
            faces = mesh.process(image).multi_face_landmarks
            if not faces:
                return None
            height, width = image.shape[:2]
            points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark])
            # MediaPipe's unit square ends at the outer edges of the border pixels.
            return points * [width, height, width] - [0.5, 0.5, 0]

        found, answers, seconds, memory_mb = follow(args.video, process)
    points = spread(found, answers, (478, 3))
    write(
        args.out,
        method=f"MediaPipe Face Mesh {mediapipe.__version__}",
        found=found,
        points_mediapipe478=points,
        vertices=points[:, :MESH],
        vertex_pixels=points[:, :MESH, :2],
        triangles=triangles_of_edges(FACEMESH_TESSELATION),
        metric=False,
        seconds=seconds,
        memory_mb=memory_mb,
    )


if __name__ == "__main__":
    main()
