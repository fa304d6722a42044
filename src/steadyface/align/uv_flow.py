"""FlowFace's dense alignment at run time: a guessed face to points of the skin with their uncertainty."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..image import check_image
from .crop import SIDE_MM
from .session import check_metadata, open_session

ASSET = Path(__file__).parent.parent / "assets" / "uv_flow.onnx"


@dataclass(frozen=True)
class DenseAlignment:
    """Where a network sees n vertices of one face in an image.

    points: (n, 2) float32 px; sigma: (n,) float32 px, standard deviation of a circular Gaussian around each
    (FlowFace, eq. 1).
    """

    points: np.ndarray
    sigma: np.ndarray


class DenseAligner:
    """The embedded flow network: call it with an image, a guess of the points, and the crop they lie in.

    vertices: (n,) int, the model's vertices that it tells of; shape: the `LinearShape` of them.
    """

    def __init__(self, model=None, *, path=ASSET, threads=1):
        """model: the `MorphableModel` it was trained for, the embedded one by default; threads: of one run.

        Raises InputError if the network is missing, unreadable, or made for another model or crop.
        """
        self.model = model or load_face_model()
        self.path = Path(path)
        self._session = open_session(self.path, threads)
        wanted = {"face_model": self.model.name, "crop_side_mm": SIDE_MM}
        metadata = check_metadata(self._session, self.path, wanted)
        inputs = {i.name: i.shape for i in self._session.get_inputs()}
        try:
            self.vertices = np.array(json.loads(metadata["vertices"]), int)
            self._size = int(inputs["image"][-1])
            known = inputs["guess"][-2] == len(self.vertices) and self.vertices.min() >= 0
        except (KeyError, TypeError, ValueError) as e:
            raise InputError(f"{self.path} is no dense alignment network that starts at a guess") from e
        if not known or self.vertices.max() >= self.model.vertex_count:
            raise InputError(f"{self.path} tells of vertices that the face model {self.model.name} lacks")
        self.shape = self.model.shape.points(self.vertices)

    def __call__(self, image, guess, crop):
        """The `DenseAlignment` of a face.

        image: (H, W, 3) uint8 RGB; guess: (n, 2) px, where the points of `shape` are thought to be; crop:
        the `Crop` of the face (of the pose that the guess comes from). Raises InputError for other arrays.
        """
        image, guess = check_image(image), np.asarray(guess)
        if guess.shape != (len(self.vertices), 2) or not np.isfinite(guess).all():
            raise InputError(f"the guess must be ({len(self.vertices)}, 2) finite pixels, got {guess.shape}")
        n = self._size
        picture = cv2.dnn.blobFromImage(crop.extract(image, n))
        # Pixel j of the picture is the crop's coordinate (j + 1/2) / n - 1/2.
        start = ((crop.from_image(guess) + 0.5) * n - 0.5).astype(np.float32)
        inputs = {"image": picture, "guess": start[None]}
        position, sigma = map(np.asarray, self._session.run(["position", "sigma"], inputs))
        points = crop.to_image((position[0].astype(float) + 0.5) / n - 0.5)
        return DenseAlignment(points.astype(np.float32), sigma[0] * np.float32(crop.side / n))
