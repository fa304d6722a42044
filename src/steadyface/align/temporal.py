"""Networks of local motion at run time: the last frames of a video to landmarks, and to alignments."""

import json
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..face_model.morphable import load_face_model
from ..image import check_image
from .face_of_landmarks import FaceOfLandmarks
from .face_square import BELOW, FACE_SIDE_MM, face_square
from .session import check_metadata, open_session

ASSET = Path(__file__).parent.parent / "assets" / "local_motion.onnx"


class LocalMotionNetwork:
    """An exported network of local motion (Belmonte et al. 2019).

    window: how many frames it looks at; sigma_mm: (68,) standard deviation of a coordinate of each landmark,
    mm at the head; usual_mm, doubtful_mm: see `FaceOfLandmarks`; usual_peak: height of the heatmaps on faces.
    """

    def __init__(self, path=ASSET, threads=1):
        """Raises InputError if the file is missing, unreadable, or made for other landmarks or crops."""
        self.path = Path(path)
        self._session = open_session(self.path, threads)
        wanted = {"markup": "ibug68", "square_mm": FACE_SIDE_MM, "square_below": BELOW}
        known = check_metadata(self._session, self.path, wanted)
        try:
            self.window, self.size = int(known["window"]), int(known["input_size"])
            self.sigma_mm = FACE_SIDE_MM * np.array(json.loads(known["landmark_sigma"]), float)
            self.usual_mm, self.doubtful_mm, self.usual_peak = (
                float(known[key]) if key in known else None
                for key in ("usual_mm", "doubtful_mm", "usual_peak")
            )
        except (KeyError, ValueError, TypeError) as e:
            raise InputError(f"{self.path} does not say what it takes and gives: {e}") from e
        if self.sigma_mm.shape != (68,):
            raise InputError(f"{self.path} must tell of 68 landmarks, got {self.sigma_mm.shape}")

    def __call__(self, windows, crops):
        """Landmarks (B, 68, 2) px of the last frames, and how sure the heatmaps are, (B,) in [0, 1].

        windows: B lists of `window` images (H, W, 3) uint8 RGB, oldest first; crops: B `Crop` of heads, by
        which all frames of a window are cropped.
        """
        squares = [face_square(crop) for crop in crops]
        seen = []
        for images, square in zip(windows, squares, strict=True):
            # A stream begins with its first image several times.
            pictures = {id(image): image for image in images}
            pictures = {key: square.extract(image, self.size) for key, image in pictures.items()}
            seen.append([pictures[id(image)] for image in images])
        batch = np.array(seen, np.float32).transpose(0, 1, 4, 2, 3)
        outputs = self._session.run(["landmarks", "peak"], {"images": np.ascontiguousarray(batch)})
        landmarks, peak = map(np.asarray, outputs)
        points = np.stack([s.to_image(p) for s, p in zip(squares, landmarks.astype(float), strict=True)])
        if self.usual_peak is None:
            return points, np.ones(len(points))
        return points, np.clip(2 * peak.mean(-1) / self.usual_peak, 0, 1)

    def face_of_landmarks(self, model):
        """The `FaceOfLandmarks` of a `MorphableModel` that knows how far this network's landmarks err."""
        return FaceOfLandmarks(model, self.sigma_mm, self.usual_mm, self.doubtful_mm)


class LocalMotionAligner:
    """A network of local motion as a stream: call it with each image of a video and the crops of its faces.

    It keeps the last frames itself. Another image object, or the same one with other pixels in it, is the
    next frame; asked again about the same image it stays where it is.
    """

    def __init__(self, model=None, path=ASSET, threads=1):
        """model: `MorphableModel` that is fitted to the landmarks, the embedded one by default; threads: of
        one run. Raises InputError as `LocalMotionNetwork`."""
        self.model = model or load_face_model()
        self.network = LocalMotionNetwork(path, threads)
        self._face = self.network.face_of_landmarks(self.model)
        self.reset()

    def reset(self):
        """Forget all frames: the next image begins another video."""
        self._frames: list[np.ndarray] = []
        self._last, self._print = None, b""

    def __call__(self, image, crops):
        """One `Alignment` for each crop, all crops in one run.

        image: (H, W, 3) uint8 RGB; crops: list of `Crop`. Raises InputError for other images.
        """
        self._take(image, check_image(image))
        if not crops:
            return []
        points, sureness = self.network([self._frames] * len(crops), crops)
        return self._face(points, sureness)

    def _take(self, given, image):
        # Whoever decodes into one array gives the same object with other pixels: a few of them tell.
        pixels = image[::17, ::23].tobytes()
        if given is self._last and pixels == self._print:
            return
        if self._frames and self._frames[-1].shape != image.shape:
            self._frames = []
        self._last, self._print = given, pixels
        window = self.network.window
        # The copy stays as it is if the array is filled anew.
        frame = image.copy() if window > 1 else image
        self._frames = [*self._frames, *[frame] * (1 if self._frames else window)][-window:]
