"""An exported network of 3DMM parameters as an aligner for `follow`."""

import cv2
import numpy as np

from ...align.alignment import alignment_from_output
from ...align.crop import INPUT_SIZE, SIDE_MM
from ...align.session import check_metadata, open_session
from ...face_model.morphable import load_face_model


class ParameterAligner:
    """Any network with the outputs of `align.regressor`, of any input size, run on crops of several images.

    path: ONNX; model: the `MorphableModel` that it was trained for, the embedded one by default; threads: of
    one run. Called with `frames` and `crops` as `follow` does, it looks at the last image of each. Raises
    InputError as `Regressor`.
    """

    def __init__(self, path, model=None, threads=1):
        self.model = model or load_face_model()
        self._session = open_session(path, threads)
        known = check_metadata(self._session, path, {"face_model": self.model.name, "crop_side_mm": SIDE_MM})
        self.size = int(known.get("input_size", INPUT_SIZE))
        self._landmarks = self.model.landmarks("ibug68")

    def __call__(self, frames, crops):
        pictures = [crop.extract(f[-1], self.size) for f, crop in zip(frames, crops, strict=True)]
        batch = cv2.dnn.blobFromImages(pictures)
        names = ["params", "log_sigma", "confidence"]
        params, log_sigma, confidence = map(np.asarray, self._session.run(names, {"image": batch}))
        count = self.model.identity_count
        alignments = [
            alignment_from_output(p, s, float(np.squeeze(c)), crop, count)
            for p, s, c, crop in zip(params, log_sigma, confidence, crops, strict=True)
        ]
        return np.stack([a.project(self._landmarks)[:, :2] for a in alignments]), [a.crop for a in alignments]
