"""The face detector at run time: finds where no face is followed yet."""

from dataclasses import dataclass
from importlib.resources import as_file, files

import cv2
import numpy as np

from ..align.crop import Crop
from ..errors import InputError

#: Long side of the picture the network sees, pixels; faces from a crop side of about 20 px in it are found.
INPUT_SIDE = 256
_MULTIPLE = 32
_PADDING = 127
#: Two detections nearer than this share of the larger side are one face; where one is less than half as
#: large as the other, it is more likely an ear or a shadow than a second face, and the second share holds.
_SAME_FACE, _PART_OF_FACE = 0.5, 0.65


@dataclass(frozen=True)
class Detection:
    """A found face, as the crop the alignment network wants.

    center: (2,) px; size: px, side of the crop; score: 0..1; roll: radians, clockwise in the image.
    """

    center: np.ndarray
    size: float
    score: float
    roll: float

    @property
    def crop(self):
        """The square of the face."""
        return Crop(self.center, self.size, self.roll)


class Detector:
    """Finds all faces of an image, best first.

    model_path: an ONNX file as `steadyface.learn.train_detector` writes it, the shipped one by default;
    threshold: lowest score returned; input_side: long side of the network's picture, a multiple of 32 (512
    finds faces half as small, at four times the cost, but misses those larger than half the frame).
    Calling takes (H, W, 3) uint8 RGB of any size and returns a list of `Detection` in its pixels; raises
    InputError for anything else. The network is opened at the first call, on one thread.
    """

    def __init__(self, model_path=None, threshold=0.45, input_side=INPUT_SIDE):
        if not 0 <= threshold <= 1:
            raise InputError(f"the detector's threshold must lie in 0..1, got {threshold}")
        if input_side < _MULTIPLE or input_side % _MULTIPLE:
            raise InputError(f"the detector's input side must be a multiple of {_MULTIPLE}, got {input_side}")
        self.model_path = model_path
        self.threshold = float(threshold)
        self.input_side = int(input_side)
        self._session = None

    def __call__(self, image):
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise InputError(
                f"the detector takes an RGB image (H, W, 3) uint8, got {image.shape} {image.dtype}; "
                "convert grey or alpha images first"
            )
        if self._session is None:
            self._session = _open(self.model_path)
        picture, ratio = letterbox(image, self.input_side)
        tensor = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        heat, geometry = map(np.asarray, self._session.run(None, {"image": tensor}))
        found = decode(heat[0, 0], geometry[0], self.threshold)
        scale = max(image.shape[:2]) / self.input_side
        return [Detection((d.center + 0.5) / ratio - 0.5, d.size * scale, d.score, d.roll) for d in found]


def letterbox(image, side):
    """Resizes an image to a long side and pads it on the right and below to multiples of 32.

    image: (H, W, 3) uint8. Returns the picture (h, w, 3) uint8 and ratio (2,): picture x + 1/2 =
    ratio (image x + 1/2).
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_width, new_height = (max(1, round(v * scale)) for v in (width, height))
    small = np.ascontiguousarray(image)
    # Area averaging is ten times as fast by exactly two as by 7.5.
    while min(small.shape[:2]) >= 2 and max(small.shape[:2]) >= 4 * side:
        small = cv2.resize(small, (small.shape[1] // 2, small.shape[0] // 2), interpolation=cv2.INTER_AREA)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(small, (new_width, new_height), interpolation=method)
    padded = [-(-v // _MULTIPLE) * _MULTIPLE for v in (new_height, new_width)]
    picture = np.full((*padded, 3), _PADDING, np.uint8)
    picture[:new_height, :new_width] = small
    return picture, np.array([new_width / width, new_height / height])


def decode(heat, geometry, threshold):
    """Detections of one picture from the network's output, best first.

    heat: (h, w) scores with all but local maxima at zero; geometry: (5, h, w) centre x, y and side in
    picture px, cos and sin of the roll. A detection is dropped when a better one lies nearer than half
    the larger of their sides (0.65 of it where their sides differ by more than a factor of two).
    """
    rows, columns = np.nonzero(heat >= max(threshold, 1e-6))
    order = np.argsort(-heat[rows, columns], kind="stable")[:100]
    kept = []
    for row, column in zip(rows[order], columns[order], strict=True):
        x, y, side, c, s = (float(v) for v in geometry[:, row, column])
        center = np.array([x, y])
        if not any(_same_face(center, side, k) for k in kept):
            kept.append(Detection(center, side, float(heat[row, column]), float(np.arctan2(s, c))))
    return kept


def _same_face(center, side, other):
    small, large = sorted((side, other.size))
    share = _PART_OF_FACE if small < 0.5 * large else _SAME_FACE
    return np.hypot(*(center - other.center)) < share * large


def _open(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    if path is not None:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    with as_file(files("steadyface") / "assets" / "detector.onnx") as shipped:
        return onnxruntime.InferenceSession(str(shipped), options, providers=providers)
