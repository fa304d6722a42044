"""The alignment network at run time: crops of an image to alignments, by onnxruntime."""

from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..image import check_image
from .alignment import alignment_from_output
from .crop import INPUT_SIZE, SIDE_MM

ASSET = Path(__file__).parent.parent / "assets" / "regressor.onnx"


class Regressor:
    """The embedded 3DDFA_V2-style network: call it with an image and the crops of its faces."""

    def __init__(self, model=None, path=ASSET, threads=1):
        """model: the `MorphableModel` it was trained for, the embedded one by default; threads: of one run.

        Raises InputError if the network is missing, unreadable, or made for another model or crop.
        """
        import onnxruntime

        self.model = model or load_face_model()
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"the alignment network {self.path} is missing: install steadyface again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would burn the cores that decode the video.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:
            # onnxruntime's errors share no public base class.
            raise InputError(f"{self.path} is not a network that onnxruntime can read: {e}") from e
        self._check()

    def _check(self):
        metadata = self._session.get_modelmeta().custom_metadata_map
        wanted = {"face_model": self.model.name, "crop_side_mm": SIDE_MM}
        for key, value in wanted.items():
            got = metadata.get(key, "nothing")
            same = got == value if isinstance(value, str) else _number(got) == value
            if not same:
                raise InputError(f"{self.path} was made for {key} {got}, this steadyface needs {value}")
        count = 12 + self.model.identity_count + self.model.expression_count
        got = {o.name: o.shape[-1] for o in self._session.get_outputs()}.get("params")
        if got != count:
            raise InputError(
                f"{self.path} gives {got} parameters, the face model {self.model.name} has {count}"
            )

    def __call__(self, image, crops):
        """One `Alignment` for each crop, all crops in one run.

        image: (H, W, 3) uint8 RGB; crops: list of `Crop`. Raises InputError for other images.
        """
        if not crops:
            return []
        image = check_image(image)
        batch = cv2.dnn.blobFromImages([crop.extract(image, INPUT_SIZE) for crop in crops])
        names = ["params", "log_sigma", "confidence"]
        params, log_sigma, confidence = map(np.asarray, self._session.run(names, {"image": batch}))
        count = self.model.identity_count
        return [
            alignment_from_output(p, s, float(np.squeeze(c)), crop, count)
            for p, s, c, crop in zip(params, log_sigma, confidence, crops, strict=True)
        ]


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None
