"""The studio quality: a person's own texture, learned from the video, tells where every patch of skin is."""

from dataclasses import dataclass, field, replace

import numpy as np

from .errors import InputError
from .fit.sequence_start import SequenceStart
from .refine.average import average_video_texture
from .refine.bake import TEXTURE_SIZE, Picture, bake_texture, take_picture
from .refine.follow import FaceFollower
from .refine.patch import cut
from .refine.problem import Observation, Problem, RefineConfig
from .refine.select import select_frames
from .refine.texture_phase import learn_face
from .rotation import axis_angle_from_matrix, matrix_from_axis_angle
from .standard import WEIGHTS
from .track import Track

#: Standard deviation, px, beyond which a place is simply not known; half precision holds it.
MOST_SIGMA = 10000.0


@dataclass(frozen=True)
class StudioSettings:
    """How the studio quality works. Raises InputError for values out of range.

    points: of the aligned vertices, so many are kept and fitted; told: of these, the first so many have
    their uncertainty in the track; refine: of the self-refinement.
    """

    points: int = 550
    told: int = 150
    refine: RefineConfig = field(default_factory=lambda: RefineConfig(weights=WEIGHTS))

    def __post_init__(self):
        for name in ("points", "told"):
            if not getattr(self, name) >= 1:
                raise InputError(f"{name} must be >= 1; got {getattr(self, name)}")


class _Seen:
    """How frames of a track are looked at: dense points, and the grey picture around the face."""

    def __init__(self, track, dense, surface, settings):
        self.track, self.dense, self.surface, self.settings = track, dense, surface, settings
        start = SequenceStart.from_track(track)
        self.rotation = matrix_from_axis_angle(start.rotation)
        self.translation, self.expression = start.translation, start.expression

    def image_points(self, row):
        """The samples in the image: (N, 2) px."""
        return self.track.image_points(self.surface.samples.shape, row)[:, :2]

    def observe(self, image, row, nearer=1.0):
        """The `Observation` of a frame; nearer: factor of the distance, that of the focal length."""
        if self.track.interpolated is not None and self.track.interpolated[row]:
            # The face was lost there: what alignment says of it is a guess.
            points = np.zeros(self.dense.shape.mean[:, :2].shape, np.float32)
            sigma = np.full(len(points), np.inf, np.float16)
        else:
            points, sigma = self.dense.of_track(image, self.track, row, self.track, row)
        return Observation(
            cut(image, self.image_points(row), self.settings.refine.height),
            points,
            sigma,
            self.rotation[row],
            self.translation[row] * [1, 1, nearer],
            self.expression[row],
            float(self.track.time_s[row]),
        )


class TextureStudy:
    """The texture phase of one face: every image of `rows` goes to `show`, then `learn`.

    rows: set of the track's rows that the texture is learned from.
    """

    def __init__(self, track, dense, surface, settings):
        """track: `Track` of any quality; dense: `DensePoints`; surface: `Surface` of the same face model;
        settings: `StudioSettings`."""
        self.track = track
        self.rows = set(select_frames(track, settings.refine.frames).tolist())
        self._seen = _Seen(track, dense, surface, settings)
        self._observations: list[Observation] = []
        self._pictures: list[Picture] = []

    def show(self, image, row):
        """See a frame: image (H, W, 3) uint8; row: one of `rows`, rising."""
        self._observations.append(self._seen.observe(image, row))
        self._pictures.append(take_picture(image, self._seen.image_points(row)))

    @property
    def seen(self):
        """Whether anything of the face was in view in what was shown."""
        return any(np.isfinite(o.sigma).any() for o in self._observations)

    def learn(self):
        """Learn texture, identity and focal length from what was shown: the `StudioFollower` of the face."""
        track, seen = self.track, self._seen
        focal = float(track.focal or max(track.image_size))
        problem = Problem(
            seen.surface, seen.dense.shape, track.image_size, track.center, seen.settings.refine
        )
        # A track without a focal length was never fitted to dense points.
        rough = track.focal is None
        learned = learn_face(problem, self._observations, track.identity, focal, align_first=rough)
        if seen.settings.refine.own_texture:
            shown = _track_of(track, sorted(self.rows), learned)
            texture = bake_texture(self._pictures, shown, learned.light)
        else:
            texture = average_video_texture(track.model, TEXTURE_SIZE)
        return StudioFollower(seen, FaceFollower(problem, learned.known), learned.known, texture)


class StudioFollower:
    """All frames of one face against its texture: every image of the track goes to `push`, in order, then
    `finish`."""

    def __init__(self, seen, follower, known, texture):
        self.track = seen.track
        self._seen, self._follower, self._known, self._texture = seen, follower, known, texture
        self._nearer = known.focal / float(self.track.focal or max(self.track.image_size))
        self._parts: list[dict[str, np.ndarray]] = []

    def push(self, image, row):
        """Refine the next frame: image (H, W, 3) uint8."""
        self._keep(self._follower.push(self._seen.observe(image, row, self._nearer)))

    def finish(self):
        """The refined `Track`."""
        self._keep(self._follower.finish())
        found = {name: np.concatenate([p[name] for p in self._parts]) for name in self._parts[0]}
        return replace(
            self.track,
            **found,
            identity=np.asarray(self._known.identity, np.float32),
            focal=self._known.focal,
            dense_vertices=self._seen.dense.vertices[: self._seen.settings.told],
            texture=self._texture.color,
            texture_confidence=np.where(self._texture.completed, 0, self._texture.confidence).astype(
                np.float16
            ),
        )

    def _keep(self, settled):
        if settled is None:
            return
        # After the vertices come other points, which a track does not name.
        fit, told = settled.fit, slice(min(self._seen.settings.told, len(self._seen.dense.vertices)))
        dense_sigma = np.minimum(fit.point_sigma(self._seen.dense.shape.points(told)), MOST_SIGMA)
        self._parts.append(
            {
                "rotation": fit.rotation,
                "translation": fit.translation,
                "scale": self._known.focal / fit.translation[:, 2],
                "expression": fit.expression,
                "sigma": fit.point_sigma(self.track.model.landmarks("ibug68")),
                "dense_sigma": dense_sigma.astype(np.float16),
                "dense_confidence": fit.inlier[:, 0, told].astype(np.float16),
                "refined": settled.refined,
                "irradiance": settled.light,
            }
        )


def _track_of(track, rows, learned):
    """The `Track` of some rows as the texture phase left them, as far as pictures need it."""
    state, known = learned.state, learned.known
    return Track(
        frame_index=track.frame_index[rows],
        time_s=track.time_s[rows],
        rotation=axis_angle_from_matrix(state.rotation),
        translation=state.translation,
        scale=known.focal / state.translation[:, 2],
        center=track.center,
        identity=np.asarray(known.identity, np.float32),
        expression=state.expression,
        sigma=track.sigma[rows],
        confidence=track.confidence[rows],
        image_size=track.image_size,
        fps=track.fps,
        model=track.model,
        focal=known.focal,
    )
