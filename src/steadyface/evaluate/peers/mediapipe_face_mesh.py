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
        triangles=surface(FACEMESH_TESSELATION),
        metric=False,
        seconds=seconds,
        memory_mb=memory_mb,
    )


def surface(directed):
    """Triangles (F, 3) of a mesh of which the directed edges are known, in the direction of its border's.

    directed: pairs of vertices: an edge of two triangles in both directions, one on the border in its
    triangle's. MediaPipe names no triangles, only these.
    """
    directed = {(int(a), int(b)) for a, b in directed}
    joined = {}
    for a, b in directed:
        joined.setdefault(a, set()).add(b)
        joined.setdefault(b, set()).add(a)
    cycles = {frozenset((a, b, c)) for a, b in directed for c in joined[a] & joined[b]}
    # The three neighbours of a vertex inside the mesh may be joined too: a cycle, but no triangle of it.
    cycles -= {frozenset(near) for near in joined.values() if len(near) == 3}
    of_edge = {}
    for cycle in cycles:
        for corner in cycle:
            of_edge.setdefault(cycle - {corner}, set()).add(cycle)
    # From the border inwards, each triangle tells its neighbours how they turn.
    triangles = {}
    waiting = [(a, b) for a, b in sorted(directed) if (b, a) not in directed]
    while waiting:
        a, b = waiting.pop()
        for cycle in of_edge[frozenset((a, b))] - triangles.keys():
            (c,) = cycle - {a, b}
            triangles[cycle] = min((a, b, c), (b, c, a), (c, a, b))
            waiting += [(c, b), (a, c)]
    return np.array(sorted(triangles.values()))


if __name__ == "__main__":
    main()
