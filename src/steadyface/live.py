"""The live tracker: frame by frame, from pixels to steady faces with stable ids."""

from dataclasses import dataclass, field, replace

import numpy as np

from .align.alignment import Alignment
from .errors import InputError
from .face_model.morphable import MorphableModel, load_face_model
from .filter import CausalFilter, FilterSettings, FilterState
from .image import check_image


@dataclass(frozen=True)
class LiveSettings:
    """When a face is believed, and where new ones are looked for.

    confidence: below it a face counts as lost; first_confidence: a new face needs as much. Crop sides that
    are believed, px and times the longer side of the image: smallest_px, largest. sigma: largest believed
    mean landmark uncertainty over the crop's side. largest_step: move of the crop in one frame over its
    side, largest_zoom: ratio of sides. same_face: distance of two crops over the larger side below which
    they hold one face. look_every_s: time between looks for new faces while others are followed. memory_s:
    a face lost for no longer, and found near the place, keeps its id.
    """

    confidence: float = 0.5
    first_confidence: float = 0.6
    smallest_px: float = 12.0
    largest: float = 4.0
    sigma: float = 0.12
    largest_step: float = 0.6
    largest_zoom: float = 1.6
    same_face: float = 0.4
    look_every_s: float = 0.5
    memory_s: float = 1.0
    filter: FilterSettings = field(default_factory=FilterSettings)


@dataclass(frozen=True)
class LiveFace:
    """A face in one frame.

    face_id: stays with the face; time_s: of the frame; alignment: the filtered `Alignment`; measured: the
    network's own, before the filter; model: the `MorphableModel`.
    """

    face_id: int
    time_s: float
    alignment: Alignment
    measured: Alignment
    model: MorphableModel = field(repr=False)

    @property
    def expression(self):
        """(E,) in [0, 1], in the order of model.expression_names."""
        return self.alignment.expression

    @property
    def confidence(self):
        return self.alignment.confidence

    def landmarks(self, name="ibug68"):
        """(L, 3): x and y in px, depth from the head's origin in px. name: "ibug68" or "mediapipe478"."""
        return self.alignment.project(self.model.landmarks(name))

    def vertices(self):
        """All vertices in the image, (V, 3): x and y in px, depth from the head's origin in px."""
        return self.alignment.project(self.model.shape)


@dataclass(frozen=True)
class _Followed:
    face_id: int
    state: FilterState
    alignment: Alignment
    last_seen_s: float


class LiveTracker:
    """Follows faces through a stream of frames: call it with every frame, in order.

    The detector runs only while no face is followed, and now and then while fewer than max_faces are;
    otherwise each face is cropped by its own filtered result of the frame before.
    """

    def __init__(
        self, *, model=None, detector=None, regressor=None, max_faces=4, threads=1, settings=LiveSettings()
    ):
        """model: `MorphableModel`; detector: image to list of detections, each with its `crop` and score;
        regressor: (image, crops) to list of `Alignment`: the embedded ones by default. max_faces: most
        faces followed at once; threads: of the embedded
        alignment network.

        Raises InputError if max_faces is less than one.
        """
        if max_faces < 1:
            raise InputError(f"max_faces must be at least 1, got {max_faces}")
        self.model = model or load_face_model()
        if detector is None:
            from .detect.detector import Detector

            detector = Detector()
        if regressor is None:
            from .align.regressor import Regressor

            regressor = Regressor(self.model, threads=threads)
        self.max_faces = max_faces
        self.settings = settings
        self._detector = detector
        self._regressor = regressor
        self._filter = CausalFilter(self.model, settings.filter)
        self.reset()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reset()

    def reset(self):
        """Forget all faces: the next frame starts a new scene. Ids are not used again."""
        self._followed: list[_Followed] = []
        self._lost: list[_Followed] = []
        self._next_id = getattr(self, "_next_id", 0)
        self._next_look_s = -np.inf

    def __call__(self, frame, time_s):
        """The faces of one frame, oldest first: list of `LiveFace`, empty if there is none.

        frame: (H, W, 3) uint8 RGB; time_s: seconds, on any clock, from frame to frame increasing. Raises
        InputError for other images, or if the time is not finite.
        """
        frame = check_image(frame)
        if not np.isfinite(time_s):
            raise InputError(f"the time of a frame must be a finite number of seconds, got {time_s}")
        found = self._follow(frame)
        lost_now = len(found) < len(self._followed)
        self._lost += [f for f in self._followed if f.face_id not in {g.face_id for g, _ in found}]
        self._lost = [f for f in self._lost if time_s - f.last_seen_s <= self.settings.memory_s]
        if self._should_look(len(found), lost_now, time_s):
            found += self._look(frame, found)
        found = self._without_doubles(found)
        return self._filtered(found, time_s)

    def _follow(self, frame):
        """(face before, alignment now) of each followed face that is still there."""
        if not self._followed:
            return []
        alignments = self._regressor(frame, [f.alignment.crop for f in self._followed])
        found = []
        for before, now in zip(self._followed, alignments, strict=True):
            if not self._is_continued(frame, before, now):
                now = self._second_try(frame, before, now)
            if now is not None:
                found.append((before, now))
        return found

    def _second_try(self, frame, before, now):
        # A quick move leaves the face off centre: look again where the first answer points, and if that
        # points nowhere, in a larger square.
        crop = before.alignment.crop
        if self._is_possible(frame, now) and now.confidence > 0.2:
            again = now.crop
        else:
            again = replace(crop, side=1.3 * crop.side)
        (now,) = self._regressor(frame, [again])
        return now if self._is_continued(frame, before, now) else None

    def _is_continued(self, frame, before, now):
        s = self.settings
        if not (self._is_possible(frame, now) and now.confidence >= s.confidence):
            return False
        old, new = before.alignment.crop, now.crop
        step = np.linalg.norm(new.center - old.center) / max(old.side, new.side)
        return step <= s.largest_step and 1 / s.largest_zoom <= new.side / old.side <= s.largest_zoom

    def _is_possible(self, frame, alignment):
        s = self.settings
        numbers = (*alignment.rotation, alignment.scale, *alignment.translation, alignment.confidence)
        if not (
            np.isfinite(numbers).all() and np.isfinite(alignment.expression).all() and alignment.scale > 0
        ):
            return False
        crop = alignment.crop
        size = np.array(frame.shape[1::-1])
        return bool(
            s.smallest_px <= crop.side <= s.largest * max(size)
            and (crop.center > -0.25 * crop.side).all()
            and (crop.center < size + 0.25 * crop.side).all()
            and np.mean(alignment.landmark_sigma) <= s.sigma * crop.side
        )

    def _should_look(self, count, lost_now, time_s):
        if count >= self.max_faces:
            return False
        if (
            count
            and not lost_now
            and self._next_look_s - self.settings.look_every_s <= time_s < self._next_look_s
        ):
            return False
        self._next_look_s = time_s + self.settings.look_every_s
        return True

    def _look(self, frame, found):
        """(lost face or None, alignment) of faces that are not followed yet, surest first."""
        taken = [now.crop for _, now in found]
        crops = []
        for detection in sorted(self._detector(frame), key=lambda d: -d.score):
            crop = detection.crop
            if not any(self._same_face(crop, other) for other in taken + crops):
                crops.append(crop)
        if not crops:
            return []
        # A few more than are wanted: some will turn out not to be faces.
        alignments = self._regressor(frame, crops[: 2 * (self.max_faces - len(found))])
        seen = [a for a in alignments if self._is_possible(frame, a)]
        # The detector's square is rough; the network's own is the one it was trained to see.
        new = [
            a
            for a in self._regressor(frame, [a.crop for a in seen])
            if self._is_possible(frame, a) and a.confidence >= self.settings.first_confidence
        ]
        return [(self._remembered(a), a) for a in new][: self.max_faces - len(found)]

    def _remembered(self, alignment):
        crop = alignment.crop
        near = [f for f in self._lost if self._is_near(f.alignment.crop, crop)]
        if not near:
            return None
        best = min(near, key=lambda f: np.linalg.norm(f.alignment.crop.center - crop.center))
        self._lost.remove(best)
        return best

    def _is_near(self, a, b):
        return np.linalg.norm(a.center - b.center) < max(a.side, b.side) and 0.5 < a.side / b.side < 2

    def _same_face(self, a, b):
        return np.linalg.norm(a.center - b.center) < self.settings.same_face * max(a.side, b.side)

    def _without_doubles(self, found):
        # Two results on one face: the older id stays.
        kept = []
        for before, now in sorted(found, key=lambda f: np.inf if f[0] is None else f[0].face_id):
            if not any(self._same_face(now.crop, other.crop) for _, other in kept):
                kept.append((before, now))
        return kept

    def _filtered(self, found, time_s):
        self._followed, faces = [], []
        for before, now in found:
            if before is None:
                face_id, state = self._next_id, None
                self._next_id += 1
            else:
                face_id, state = before.face_id, before.state
            state, filtered = self._filter.step(state, now, time_s)
            self._followed.append(_Followed(face_id, state, filtered, float(time_s)))
            faces.append(LiveFace(face_id, float(time_s), filtered, now, self.model))
        return faces
