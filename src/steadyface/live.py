"""The live tracker: frame by frame, from pixels to steady faces with stable ids."""

import math
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from .align.alignment import Alignment
from .align.crop import Crop
from .align.methods import DEFAULT, check_method, make_aligner
from .detect.associate import AssociationSettings, FaceIds, crop_distance
from .errors import InputError
from .face_model.morphable import MorphableModel, load_face_model
from .filter import CausalFilter, FilterSettings, FilterState
from .image import check_image


@dataclass(frozen=True)
class LiveSettings:
    """When a face is believed, and where new ones are looked for.

    confidence: below it a face counts as lost; first_confidence: a new face needs as much. Crop sides that
    are believed, px and times the longer side of the image: smallest_px, largest. sigma: largest believed
    mean landmark uncertainty over the crop's side; first_sigma: of a new face. hidden: times the face's usual
    uncertainty beyond which something covers it, and it counts as lost. largest_step: move of the crop in
    one frame over its side, largest_zoom: ratio of sides. doubt: times the face's usual uncertainty at which
    an answer is doubted; settled: distance in sides (`crop_distance`) between the crop that was looked at
    and the face found in it from which it is doubted too. rescue_every_s: time between the detector's looks
    at doubted faces; look_every_s: between its looks for new faces while others are followed. ids: when two
    crops hold one face, and when a lost face gets its id back.
    """

    confidence: float = 0.5
    first_confidence: float = 0.6
    smallest_px: float = 12.0
    largest: float = 4.0
    sigma: float = 0.12
    first_sigma: float = 0.03
    hidden: float = 2.0
    largest_step: float = 0.6
    largest_zoom: float = 1.6
    doubt: float = 2.0
    settled: float = 0.12
    rescue_every_s: float = 0.15
    look_every_s: float = 0.5
    ids: AssociationSettings = field(default_factory=AssociationSettings)
    filter: FilterSettings = field(default_factory=FilterSettings)


@dataclass(frozen=True)
class _Followed:
    """Where a face was in the last frame, and how vague answers to it usually are."""

    crop: Crop
    usual: float


def _distance(a, b):
    # `crop_distance` of one pair, which every frame asks for.
    x, y = a.center - b.center
    return math.sqrt((x * x + y * y) / (a.side * b.side) + math.log(a.side / b.side) ** 2)


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


class LiveTracker:
    """Follows faces through a stream of frames: call it with every frame, in order.

    The detector runs only while no face is followed, and now and then while fewer than max_faces are;
    otherwise each face is cropped by its own filtered result of the frame before.
    """

    def __init__(
        self,
        *,
        model=None,
        detector=None,
        regressor=None,
        max_faces=4,
        threads=1,
        method=DEFAULT,
        settings=LiveSettings(),
    ):
        """model: `MorphableModel`; detector: image to list of detections, each with its `crop` and score;
        regressor: (image, crops) to list of `Alignment`, with a `reset` if it remembers frames: the embedded
        ones by default. max_faces: most faces followed at once; threads: of the embedded alignment network;
        method: a key of `ALIGNMENT_METHODS`, which embedded network aligns.

        Raises InputError if max_faces is less than one, for an unknown method and a missing network.
        """
        if max_faces < 1:
            raise InputError(f"max_faces must be at least 1, got {max_faces}")
        check_method(method)
        self.model = model or load_face_model()
        if detector is None:
            from .detect.detector import Detector

            detector = Detector()
        if regressor is None:
            regressor = make_aligner(method, self.model, threads=threads)
        self.max_faces = max_faces
        self.settings = settings
        self._detector = detector
        self._regressor = regressor
        # Frames from before a face was lost, or of another video, say nothing of the next.
        self._forget = getattr(regressor, "reset", lambda: None)
        self._filter = CausalFilter(self.model, settings.filter)
        self._ids = FaceIds(settings.ids)
        self._followed: dict[int, _Followed] = {}
        self._states: dict[int, FilterState] = {}
        self._next_look_s = self._next_rescue_s = -np.inf

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._followed, self._states = {}, {}

    def __call__(self, frame, time_s):
        """The faces of one frame, oldest first: list of `LiveFace`, empty if there is none.

        frame: (H, W, 3) uint8 RGB; time_s: seconds, on any clock, from frame to frame increasing. Raises
        InputError for other images, or if the time is not finite.
        """
        frame = check_image(frame)
        if not np.isfinite(time_s):
            raise InputError(f"the time of a frame must be a finite number of seconds, got {time_s}")
        if not self._followed:
            self._forget()
        detect = cache(lambda: self._detector(frame))
        found = self._follow(frame, time_s, detect)
        lost = len(found) < len(self._followed)
        # Two results on one face: the older id stays.
        for face_id in self._ids.followed(time_s, {i: a.crop for i, a in found.items()}):
            del found[face_id]
        if self._should_look(len(found), lost, time_s):
            found |= self._look(frame, list(found.values()), time_s, detect)
        faces = [self._filtered(face_id, found[face_id], time_s) for face_id in sorted(found)]
        self._followed = {face.face_id: self._now_followed(face) for face in faces}
        oldest = time_s - self.settings.ids.max_gap_s
        self._states = {i: state for i, state in self._states.items() if state.time_s >= oldest}
        return faces

    def _follow(self, frame, time_s, detect):
        """Alignment of each followed face that is still there, by id."""
        if not self._followed:
            return {}
        first = self._regressor(frame, [f.crop for f in self._followed.values()])
        pairs = zip(self._followed.items(), first, strict=True)
        settled = {i: self._settled(frame, before, answer, time_s, detect) for (i, before), answer in pairs}
        return {face_id: alignment for face_id, alignment in settled.items() if alignment is not None}

    def _settled(self, frame, before, first, time_s, detect):
        """The best alignment of a followed face, or None if it is lost; first: the answer to its old crop.

        A doubted answer is asked again where it points, or in a larger square if it points nowhere; if that
        is doubted too, where the detector finds the face. A face of which only far vaguer answers than usual
        come is hidden, and lost.
        """
        if not self._is_doubted(frame, before, before.crop, first):
            return first
        hopeful = self._is_possible(frame, first) and first.confidence > 0.2
        crops = [before.crop, first.crop if hopeful else replace(before.crop, side=1.3 * before.crop.side)]
        answers = [first, *self._regressor(frame, crops[1:])]
        if self._is_doubted(frame, before, crops[1], answers[1]):
            crops += self._detected(before, time_s, detect)
            answers += self._regressor(frame, crops[2:]) if len(crops) > 2 else []
        sure = [a for c, a in zip(crops, answers, strict=True) if not self._is_doubted(frame, before, c, a)]
        shown = self.settings.hidden * before.usual
        likely = [a for a in answers if self._is_continued(frame, before.crop, a) and a.vagueness <= shown]
        return sure[-1] if sure else min(likely, key=lambda a: a.vagueness, default=None)

    def _detected(self, before, time_s, detect):
        """The detector's crop of a followed face in a list; empty if there is none, or it is too soon."""
        if self._next_rescue_s - self.settings.rescue_every_s <= time_s < self._next_rescue_s:
            return []
        self._next_rescue_s = time_s + self.settings.rescue_every_s
        crops = [d.crop for d in detect()]
        if not crops:
            return []
        distance = crop_distance([before.crop], crops)[0]
        return [crops[int(distance.argmin())]] if distance.min() < 1 else []

    def _is_doubted(self, frame, before, crop, answer):
        """Whether an answer to a crop may be wrong: vague for this face, or far from where the crop is."""
        s = self.settings
        return (
            not self._is_continued(frame, before.crop, answer)
            or answer.vagueness > s.doubt * before.usual
            or _distance(crop, answer.crop) > s.settled
        )

    def _is_continued(self, frame, crop, alignment):
        s = self.settings
        if not (self._is_possible(frame, alignment) and alignment.confidence >= s.confidence):
            return False
        new = alignment.crop
        step = np.linalg.norm(new.center - crop.center) / max(crop.side, new.side)
        return step <= s.largest_step and 1 / s.largest_zoom <= new.side / crop.side <= s.largest_zoom

    def _is_possible(self, frame, alignment):
        s = self.settings
        a = alignment
        # A sum is finite only if all that went into it is.
        total = a.rotation.sum() + a.translation.sum() + a.expression.sum() + a.scale + a.confidence
        if not (math.isfinite(total) and a.scale > 0):
            return False
        x, y = a.crop.center
        margin = 0.25 * a.crop.side
        height, width = frame.shape[:2]
        return bool(
            s.smallest_px <= a.crop.side <= s.largest * max(height, width)
            and -margin < x < width + margin
            and -margin < y < height + margin
            and a.vagueness <= s.sigma
        )

    def _should_look(self, count, lost, time_s):
        if count >= self.max_faces:
            return False
        waiting = self._next_look_s - self.settings.look_every_s <= time_s < self._next_look_s
        if count and not lost and waiting:
            return False
        self._next_look_s = time_s + self.settings.look_every_s
        return True

    def _look(self, frame, followed, time_s, detect):
        """Alignments by id of faces that are not followed yet.

        followed: alignments of those that are.
        """
        room = self.max_faces - len(followed)
        detections = self._distinct(sorted(detect(), key=lambda d: -d.score), followed)
        # A few more than there is room for: some will turn out not to be faces. The detector's square is
        # rough; the network's own, of the first run, is the one it was trained to see.
        first = self._aligned(frame, detections[: 2 * room], 0.0)
        second = self._aligned(frame, first, self.settings.first_confidence)
        second = [a for a in second if a.vagueness <= self.settings.first_sigma]
        new = self._ids.new_faces(time_s, self._distinct(second, followed)[:room])
        return {face_id: alignment for face_id, alignment, _ in new}

    def _aligned(self, frame, faces, confidence):
        """The possible alignments of faces, of which each has a `crop`, with at least some confidence."""
        if not faces:
            return []
        alignments = self._regressor(frame, [face.crop for face in faces])
        return [a for a in alignments if self._is_possible(frame, a) and a.confidence >= confidence]

    def _distinct(self, faces, taken):
        """Those of the faces that show neither a face of `taken` nor an earlier one of their own."""
        kept = []
        for face in faces:
            others = [other.crop for other in (*taken, *kept)]
            if not (crop_distance([face.crop], others) < self.settings.ids.same_face).any():
                kept.append(face)
        return kept

    def _filtered(self, face_id, alignment, time_s):
        self._states[face_id], filtered = self._filter.step(self._states.get(face_id), alignment, time_s)
        return LiveFace(face_id, float(time_s), filtered, alignment, self.model)

    def _now_followed(self, face):
        vagueness = face.measured.vagueness
        before = self._followed.get(face.face_id)
        if before is None:
            return _Followed(face.alignment.crop, vagueness)
        # What is called usual changes slowly, and a doubted frame hardly changes it.
        step = min(vagueness, self.settings.doubt * before.usual) - before.usual
        return _Followed(face.alignment.crop, before.usual + 0.1 * step)
