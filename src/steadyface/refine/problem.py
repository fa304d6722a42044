"""What both phases of the self-refinement share: observations, configuration, and the energy of both."""

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import InputError
from ..face_model.morphable import LinearShape
from ..fit.gauss_newton import SolverConfig
from ..fit.sequence_energy import SequenceEnergy
from ..fit.sequence_solver import minimise
from ..fit.sequence_terms import SequenceState, SequenceWeights, Shared
from .appearance import Judged, PhotometricWeights, Surface, View, agreeing, tells
from .patch import Patch
from .photometric import PhotometricEnergy, PhotometricFrame

#: Share of the samples that must be in view for a frame to be compared at all.
LEAST_IN_VIEW = 0.02


@dataclass(frozen=True)
class RefineConfig:
    """How the self-refinement works. Raises InputError for values out of range."""

    frames: int = 128
    """Frames that the texture is learned from (the paper's number)."""
    samples: int = 4000
    """Points of the surface at which frames and texture are compared."""
    height: int = 256
    """Pixels that the face may span; larger ones are halved."""
    learning: tuple[int, ...] = (1, 0, 0)
    """Rounds of the texture phase: how often the pictures are halved in each."""
    following: tuple[int, ...] = (1, 0)
    """The same of the frames that follow."""
    iterations: int = 2
    """Gauss-Newton steps of a round; with none the poses stay, and only texture and light are found."""
    stride: int = 32
    """Frames that are settled at a time."""
    ahead: int = 8
    """Frames after those that are refined with them, and once more when their turn comes."""
    own_identity: bool = True
    """Whether identity and focal length are fitted in the texture phase; else they stay as they came."""
    own_texture: bool = True
    """Whether the texture is the video's own; else it is that of an average face."""
    least_support: float = 0.3
    """Share of a frame's visible samples that must agree with the texture for the frame to be refined."""
    weights: SequenceWeights = field(default_factory=SequenceWeights)
    """Of the alignment energy."""
    photometric: PhotometricWeights = field(default_factory=PhotometricWeights)
    """Of the photometric error."""

    def __post_init__(self):
        least = {
            "frames": 1,
            "samples": 1,
            "height": 16,
            "iterations": 0,
            "stride": 1,
            "ahead": 0,
        }
        for name, value in least.items():
            if not getattr(self, name) >= value:
                raise InputError(f"{name} must be >= {value}; got {getattr(self, name)}")
        if not 0 <= self.least_support <= 1:
            raise InputError(f"least_support must be in [0, 1]; got {self.least_support}")
        # OpenCV reads pictures at no more points at once.
        if not self.samples < 2**15 - 1:
            raise InputError(f"samples must be < {2**15 - 1}; got {self.samples}")
        for name in ("learning", "following"):
            value = getattr(self, name)
            if not value or min(value) < 0:
                raise InputError(f"{name} must be one or more numbers >= 0; got {value}")


@dataclass(frozen=True)
class Observation:
    """What is known of a face in a frame before it is refined.

    patch: `Patch`; points: (P, 2) px and sigma: (P,) px of dense alignment, infinite where not seen;
    rotation: (3, 3), translation: (3,) mm, expression: (E,): the pose so far; time_s: of the frame.
    """

    patch: Patch
    points: np.ndarray
    sigma: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray
    time_s: float


@dataclass(frozen=True)
class KnownFace:
    """What all frames share: texture (N,), grey of the samples, 0 if unseen; identity (K,); focal px."""

    texture: np.ndarray
    identity: np.ndarray
    focal: float


@dataclass(frozen=True)
class Problem:
    """One face before one camera, and how it is refined.

    surface: `Surface`; shape: `LinearShape` of the P aligned points; image_size: (width, height) px; center:
    (2,) px, the image of the optical axis; config: `RefineConfig`.
    """

    surface: Surface
    shape: LinearShape
    image_size: tuple[int, int]
    center: np.ndarray
    config: RefineConfig

    def state(self, seen, identity, focal):
        """The `SequenceState` of observations, as they came, for an identity (K,) and a focal length, px."""
        return SequenceState(
            rotation=np.stack([o.rotation for o in seen]),
            translation=np.stack([o.translation for o in seen]),
            expression=np.stack([o.expression for o in seen]),
            identity=np.array(identity, float),
            log_focal=np.log([float(focal)]),
            camera_rotation=np.eye(3)[None],
            camera_translation=np.zeros((1, 3)),
            offsets=np.zeros((0, 3)),
        )

    def alignment(self, seen, *, ordered, shared):
        """The `SequenceEnergy` of observations' dense points; ordered: whether frames follow each other;
        shared: whether identity and focal length are fitted, too."""
        sigma = np.stack([o.sigma for o in seen])[:, None].astype(np.float32)
        known = np.isfinite(sigma)
        points = np.stack([o.points for o in seen])[:, None].astype(np.float32)
        return SequenceEnergy(
            np.where(known[..., None], points, 0),
            np.where(known, 1 / np.where(known, sigma, 1), 0),
            self.shape,
            center=np.asarray(self.center, float)[None],
            log_focal=np.log([float(max(self.image_size))]),
            time_s=np.array([o.time_s for o in seen]) if ordered else None,
            weights=replace(self.config.weights, neutral=0.0),
            prior=None,
            moved=np.zeros(0, int),
            shared=Shared.of(*self._shared() if shared else (0, 0), 0, 0),
        )

    def _shared(self):
        """How many unknowns identity and focal length have."""
        return len(self.shape.identity_basis), int(self.config.weights.focal_log_sigma > 0)

    def views(self, seen, state, halvings):
        """The `View` of every observation at the poses of a state, halved so many times."""
        focal = float(np.exp(state.log_focal[0]))
        return [
            self.surface.view(
                *(o.patch.halved(halvings), state.rotation[i], state.translation[i]),
                *(state.identity, state.expression[i], focal, self.center),
            )
            for i, o in enumerate(seen)
        ]

    def photometric_frame(self, view: View, judged: Judged, texture):
        """The `PhotometricFrame` of a judged view, and the share of its visible samples that agree, 0
        where the texture tells nothing."""
        p = self.config.photometric
        weight = agreeing(judged, self.surface.samples, p)
        visible = float(judged.visible.sum())
        support = 0.0
        if visible > LEAST_IN_VIEW * len(weight) and tells(view, texture, judged, self.surface.basis.prior):
            support = float(weight.sum()) / visible
        unit = p.independent_samples / len(weight) / judged.noise**2
        frame = PhotometricFrame.of(view, texture, weight * unit, self.surface.basis.prior * unit)
        return frame, support

    def together(self, alignment, frames):
        """The `PhotometricEnergy` of an alignment energy and its frames, None where a frame is left out."""
        return PhotometricEnergy(alignment, self.surface.samples.shape, frames)

    def minimise(self, energy, state, held=None):
        """The state after one round. held: (T,) bool, frames that stay."""
        if not self.config.iterations:
            return state
        solver = SolverConfig(
            max_iterations=self.config.iterations,
            cost_tolerance=1e-5,
            step_tolerance=1e-7,
            initial_damping=1e-4,
            active_set_passes=2,
        )
        return minimise(energy, state, solver, held).state
