"""The alignment network at run time: crops of an image to alignments, by onnxruntime."""

from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..image import check_image
from .alignment import alignment_from_output
from .crop import INPUT_SIZE, SIDE_MM
from .session import check_metadata, open_session

ASSET = Path(__file__).parent.parent / "assets" / "regressor.onnx"


class Regressor:
    """A network of 3DMM parameters, the embedded one by default: call it with an image and crops of it."""

    def __init__(self, model=None, path=ASSET, threads=1):
        """model: the `MorphableModel` it was trained for, the embedded one by default; threads: of one run.

        Raises InputError if the network is missing, unreadable, or made for another model or crop.
        """
        self.model = model or load_face_model()
        self.path = Path(path)
        self._session = open_session(self.path, threads)
        #: Side of the network's input, pixels.
        self.size = self._check()

    def _check(self):
        needed = {"face_model": self.model.name, "crop_side_mm": SIDE_MM}
        metadata = check_metadata(self._session, self.path, needed)
        count = 12 + self.model.identity_count + self.model.expression_count
        got = {o.name: o.shape[-1] for o in self._session.get_outputs()}.get("params")
        if got != count:
            raise InputError(
                f"{self.path} gives {got} parameters, the face model {self.model.name} has {count}"
            )
        # Files of before there were networks of other sizes do not tell.
        return int(metadata.get("input_size", INPUT_SIZE))

    def __call__(self, image, crops):
        """One `Alignment` for each crop, all crops in one run.

        image: (H, W, 3) uint8 RGB; crops: list of `Crop`. Raises InputError for other images.
        """
        if not crops:
            return []
        image = check_image(image)
        batch = cv2.dnn.blobFromImages([crop.extract(image, self.size) for crop in crops])
        names = ["params", "log_sigma", "confidence"]
        params, log_sigma, confidence = map(np.asarray, self._session.run(names, {"image": batch}))
        count = self.model.identity_count
        return [
            alignment_from_output(p, s, float(np.squeeze(c)), crop, count)
            for p, s, c, crop in zip(params, log_sigma, confidence, crops, strict=True)
        ]
