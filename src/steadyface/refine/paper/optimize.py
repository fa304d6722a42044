"""Self-refinement as SR-VFA does it: networks and frames are optimised until renders look like the video.

The texture phase (section 2.1) trains M_t, M_id and M_ir with the expressions and poses of some frames; the
inference phase (section 2.2) keeps texture and identity and refines the others, batch by batch.
"""

import math
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from ...errors import InputError
from ...networks.self_refinement import (
    IdentityTransformer,
    IrradianceNetwork,
    SelfRefinementConfig,
    TextureNetwork,
)
from .objective import DECIMETRE, ObjectiveWeights, frame_objective
from .renderer import HeadGeometry, Surface, render, rotation_matrix


@dataclass(frozen=True)
class PaperConfig:
    """How the paper's mode works; the defaults are the paper's where it says. Raises InputError for others.

    frames: selected for the texture phase, all in one batch; batch: frames refined together in the inference
    phase; epochs, inference_epochs: steps of Adam in either; learning_rate, last_learning_rate: of its first
    and last step, along half a cosine; chunk: frames rendered at a time, which bounds the memory and changes
    nothing else; crop: side of the square in which a face is compared, px; irradiance_size: texels of the
    irradiance's map, few because light is smooth and a fine map would paint what the texture should; weights:
    of the objective; identity: whether M_id corrects the track's identity, which nothing holds back;
    networks: their sizes, texture_size included; seed: of the networks' weights.
    """

    frames: int = 128
    batch: int = 128
    epochs: int = 1000
    inference_epochs: int = 1000
    learning_rate: float = 1e-4
    last_learning_rate: float = 1e-6
    chunk: int = 8
    crop: int = 256
    irradiance_size: int = 64
    weights: ObjectiveWeights = field(default_factory=ObjectiveWeights)
    identity: bool = True
    networks: SelfRefinementConfig = field(default_factory=SelfRefinementConfig)
    seed: int = 0

    def __post_init__(self):
        for name in ("frames", "batch", "epochs", "inference_epochs", "chunk"):
            if not getattr(self, name) >= 1:
                raise InputError(f"{name} must be >= 1; got {getattr(self, name)}")
        if not self.crop >= 32:
            raise InputError(f"crop must be >= 32 px; got {self.crop}")
        if not 0 < self.last_learning_rate <= self.learning_rate:
            raise InputError(
                "learning rates must be > 0 and not rise; got "
                f"{self.learning_rate} to {self.last_learning_rate}"
            )
        n = self.networks
        if n.texture_size % 2**n.texture_levels:
            raise InputError(
                f"texture_size must be a multiple of 2^texture_levels = {2**n.texture_levels}; "
                f"got {n.texture_size}"
            )
        if self.irradiance_size < 1 or n.texture_size % self.irradiance_size:
            raise InputError(
                f"irradiance_size must divide texture_size = {n.texture_size}; got {self.irradiance_size}"
            )
        if self.irradiance_size % 2**n.irradiance_levels:
            raise InputError(
                f"irradiance_size must be a multiple of 2^irradiance_levels = {2**n.irradiance_levels}; "
                f"got {self.irradiance_size}"
            )

    def rate(self, epoch, epochs):
        """Learning rate of an epoch of so many."""
        part = epoch / max(epochs - 1, 1)
        span = self.learning_rate - self.last_learning_rate
        return self.last_learning_rate + span * (1 + math.cos(math.pi * part)) / 2


@dataclass(frozen=True)
class FaceBatch:
    """n frames ready for optimisation, tensors on one device.

    rows: n of the track; image: (n, 3, H, W) uint8; inside: (n, H, W) bool; focal: (n,), center: (n, 2) px of
    the crops; rotation: (n, 3, 3), translation: (n, 3) mm, expression: (n, E), all coarse; bounds: (E, 2) of
    the expressions; sampled: (n, 3, s, s) in [0, 1] and visibility: (n, 1, s, s), the input of M_ir.
    """

    rows: list[int]
    image: torch.Tensor
    inside: torch.Tensor
    focal: torch.Tensor
    center: torch.Tensor
    rotation: torch.Tensor
    translation: torch.Tensor
    expression: torch.Tensor
    bounds: torch.Tensor
    sampled: torch.Tensor
    visibility: torch.Tensor

    def __len__(self):
        return len(self.rows)

    def part(self, frames):
        """The batch of a slice of its frames."""
        tensors = {k: v[frames] for k, v in vars(self).items() if k != "bounds"}
        return FaceBatch(bounds=self.bounds, **tensors)


@dataclass(frozen=True)
class Changes:
    """What is optimised of n frames: expression (n, E); rotation (n, 3) radians, turned after the coarse one;
    translation (n, 3) decimetres."""

    expression: torch.Tensor
    rotation: torch.Tensor
    translation: torch.Tensor

    @classmethod
    def none(cls, batch):
        n, e = batch.expression.shape
        return cls(*(batch.expression.new_zeros(n, k, requires_grad=True) for k in (e, 3, 3)))

    def part(self, frames):
        return Changes(*(v[frames] for v in vars(self).values()))

    @torch.no_grad()
    def keep_bounds(self, batch):
        """Bring expressions that left their bounds back to them, in place."""
        low, high = batch.bounds.unbind(-1)
        self.expression.clamp_(low - batch.expression, high - batch.expression)


@dataclass(frozen=True)
class Refinery:
    """What all frames of a video share: the head's geometry and surface in torch, and the configuration."""

    head: HeadGeometry
    surface: Surface
    config: PaperConfig

    def chunks(self, batch):
        return [slice(k, k + self.config.chunk) for k in range(0, len(batch), self.config.chunk)]

    def objective(self, batch, changes, texture, identity, light):
        """The paper's objective of every frame of a batch: (n,), with gradients.

        texture: (3, S, S); identity: (K,); light: M_ir, or None for an irradiance of 1.
        """
        rotation = rotation_matrix(changes.rotation) @ batch.rotation
        translation = batch.translation + DECIMETRE * changes.translation
        expression = batch.expression + changes.expression
        vertices = self.head.vertices(identity, expression, rotation, translation)
        irradiance = texture.new_ones(1, 1, 1, 1) if light is None else light(batch.sampled, batch.visibility)
        size = batch.image.shape[-2:]
        drawn = render(
            self.surface, vertices, batch.focal, batch.center, texture[None], irradiance, size=size
        )
        return frame_objective(
            drawn.image,
            batch.image.to(drawn.image.dtype) / 255,
            drawn.mask & batch.inside,
            drawn.irradiance,
            changes.expression,
            changes.rotation,
            DECIMETRE * changes.translation,
            self.config.weights,
        )

    def values(self, batch, changes, texture, identity, light):
        """`objective` without gradients, in chunks: (n,) float64 numpy."""
        with torch.no_grad():
            parts = [
                self.objective(batch.part(c), changes.part(c), texture, identity, light)
                for c in self.chunks(batch)
            ]
        return torch.cat(parts).double().cpu().numpy()

    def accumulate(self, batch, changes, texture, identity, light):
        """Add the gradients of the batch's mean objective to all that it depends on, chunk by chunk.

        The gradients are those of the whole batch at once; only one chunk's renders are held at a time.
        """
        # The networks behind texture and identity are walked back through once, with the chunks' sum.
        colors, shape = (x.detach().requires_grad_(x.requires_grad) for x in (texture, identity))
        for c in self.chunks(batch):
            value = self.objective(batch.part(c), changes.part(c), colors, shape, light)
            (value.sum() / len(batch)).backward()
        behind = [(x, y.grad) for x, y in ((texture, colors), (identity, shape)) if x.requires_grad]
        if behind:
            torch.autograd.backward([x for x, _ in behind], [grad for _, grad in behind])

    def descend(self, batch, changes, networks, shared, light, epochs, progress):
        """Adam on the changes and the networks' weights, in place.

        shared: function that gives texture and identity; progress: called with the epochs done, or None.
        """
        free = [*vars(changes).values(), *networks.parameters()]
        optimizer = torch.optim.Adam(free, self.config.learning_rate)
        for epoch in range(epochs):
            optimizer.param_groups[0]["lr"] = self.config.rate(epoch, epochs)
            optimizer.zero_grad()
            texture, identity = shared()
            self.accumulate(batch, changes, texture, identity, light)
            optimizer.step()
            changes.keep_bounds(batch)
            if progress:
                progress(epoch + 1)


@dataclass(frozen=True)
class VideoFace:
    """What the texture phase found: texture (3, S, S), identity (K,), M_ir as light; and where it began:
    first_texture, first_identity."""

    texture: torch.Tensor
    identity: torch.Tensor
    light: IrradianceNetwork
    first_texture: torch.Tensor
    first_identity: torch.Tensor


@dataclass(frozen=True)
class RefinedFrames:
    """What was found of n frames: changes, nothing where they did not help; irradiance (n, C, s, s);
    objective before and after (n,), and improved (n,) bool, as in `PaperResult`."""

    changes: Changes
    irradiance: torch.Tensor
    before: np.ndarray
    after: np.ndarray
    improved: np.ndarray


def texture_phase(refinery, batch, textures, visibility, identity, progress=None):
    """Train M_t, M_id and M_ir with the changes of all frames of a batch (SR-VFA, section 2.1).

    textures: (n, 3, S, S) in [0, 1] sampled from the frames, visibility: (n, 1, S, S); identity: (K,) of the
    coarse track. A track has one identity: every frame tells M_id the same, and it learns a correction.
    progress: called with the epochs done. Returns `VideoFace`, as it began if the batch's mean objective did
    not fall, and `RefinedFrames`.
    """
    config, device = refinery.config, textures.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        texture_network = TextureNetwork(config.networks).to(device)
        identity_network = IdentityTransformer(len(identity), config.networks).to(device)
        light = IrradianceNetwork(config.networks).to(device)
    first_light = deepcopy(light)
    identities = identity.expand(len(batch), -1)

    def shared():
        corrected = identity_network(identities) if config.identity else identity
        return texture_network(textures, visibility), corrected

    with torch.no_grad():
        first_texture = shared()[0]
    began = VideoFace(first_texture, identity, first_light, first_texture, identity)
    changes = Changes.none(batch)
    before = refinery.values(batch, changes, first_texture, identity, None)
    networks = nn.ModuleList([texture_network, light, *[identity_network] * config.identity])
    refinery.descend(batch, changes, networks, shared, light, config.epochs, progress)
    with torch.no_grad():
        texture, refined = shared()
    face = VideoFace(texture, refined, light, first_texture, identity)
    found = _judged(refinery, batch, changes, before, face)
    if found.after.mean() < before.mean():
        return face, found
    return began, _judged(refinery, batch, Changes.none(batch), before, began)


def inference_phase(refinery, batch, face, progress=None):
    """Refine expression, pose and irradiance of a batch, texture and identity as they are (section 2.2).

    The irradiance is refined as it was found: M_ir is trained on, in a copy for each batch, so that no batch
    depends on those before it. face: `VideoFace`. Returns `RefinedFrames`.
    """
    face = replace(face, light=deepcopy(face.light))
    changes = Changes.none(batch)
    before = refinery.values(batch, changes, face.first_texture, face.first_identity, None)
    networks = nn.ModuleList([face.light])
    epochs = refinery.config.inference_epochs
    refinery.descend(
        batch, changes, networks, lambda: (face.texture, face.identity), face.light, epochs, progress
    )
    return _judged(refinery, batch, changes, before, face)


def _judged(refinery, batch, changes, before, face):
    """`RefinedFrames`: a frame keeps its changes if they and all else made its objective fall, and they did
    by themselves."""
    result = face.texture, face.identity, face.light
    moved = refinery.values(batch, changes, *result)
    unmoved = refinery.values(batch, Changes.none(batch), *result)
    improved = (moved < before) & (moved < unmoved)
    keep = torch.as_tensor(improved, device=face.texture.device)[:, None]
    with torch.no_grad():
        changes = Changes(*(torch.where(keep, c, 0) for c in vars(changes).values()))
        irradiance = torch.cat(
            [face.light(batch.sampled[c], batch.visibility[c]) for c in refinery.chunks(batch)]
        )
    return RefinedFrames(changes, irradiance, before, np.where(improved, moved, unmoved), improved)
