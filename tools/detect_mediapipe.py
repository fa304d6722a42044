"""Detect MediaPipe's 478 landmarks on images; runs in an environment with mediapipe==0.10.21.

python detect_mediapipe.py IMAGES.npy OUT.npy

Images are (N, H, W, 3) uint8 RGB; points come out as (N, 478, 2) pixels, NaN where there is no face.
"""

import sys

import mediapipe as mp
import numpy as np


def main(source, target):
    images = np.load(source, mmap_mode="r")
    height, width = images.shape[1:3]
    out = np.full((len(images), 478, 2), np.nan, np.float32)
    with mp.solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True, max_num_faces=1
    ) as mesh:
        for i, image in enumerate(images):
            result = mesh.process(np.ascontiguousarray(image)).multi_face_landmarks
            if result:
                # MediaPipe's unit square ends at the outer edges of the border pixels.
                out[i] = [(p.x * width - 0.5, p.y * height - 0.5) for p in result[0].landmark]
    np.save(target, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
