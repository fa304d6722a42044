"""The displacement discriminators of landmark displacement learning (Lee et al. 2023, section 3.2)."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from ..errors import InputError
from .parameters import CROP_SIDE_MM, SIMILARITY_COUNT

#: The discriminators: of identity (section 3.2.1), expression (3.2.2) and motion in time (3.2.3).
NAMES = ("identity", "expression", "temporal")
#: Loss terms in mm of the crop over eq. 1, the norm of all 136 coordinates in crop sides: an error of one
#: millimetre at each of the 68 landmarks is 1 / MM_PER_UNIT there. Lambda = 0.1 is meant in those units.
MM_PER_UNIT = CROP_SIDE_MM / 68**0.5
#: Displacements are a few hundredths of a crop; so scaled they fit the first layer as it is initialised.
GAIN = 30.0


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Which discriminators take part, of `NAMES`, and how.

    weight: the lambdas of eq. 15 and 19; learning_rate: of their own Adam; dropout: of the three inner
    layers. Raises InputError for unknown names.
    """

    on: tuple[str, ...] = NAMES
    weight: float = 0.1
    learning_rate: float = 2e-4
    dropout: float = 0.3

    def __post_init__(self):
        unknown = [name for name in self.on if name not in NAMES]
        if unknown:
            raise InputError(f"unknown discriminator {unknown[0]!r}: choose from {', '.join(NAMES)}")


class Displacements(NamedTuple):
    """Displacements of landmarks in crop sides, x (N, 136): the true ones and the predicted ones."""

    real: torch.Tensor
    fake: torch.Tensor


class Discriminator(nn.Sequential):
    """136-256-128-64-1 with ReLU and dropout (table 1). forward: x (N, 136) -> logits (N,), high for real.

    Sigmoid is part of the loss, where it is stable. The table also has a dropout after the last layer, which
    would turn a third of the judgements into a constant: it is left out.
    """

    def __init__(self, dropout=0.3):
        layers, sizes = [], (136, 256, 128, 64)
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, input):
        return super().forward(GAIN * input)[:, 0]


def shape_displacements(points, params, landmarks, on=NAMES):
    """Displacements by identity and by expression, name to `Displacements` (eq. 2-5 and 7-10).

    points: `FacePoints`; params: (N, P) predicted, crop units; landmarks: (N, 68, 2) true, crop units. The
    paper's [0, 1] is the crop: its side is 1, and its corner's place cancels in a difference.
    """
    k = SIMILARITY_COUNT + points.identity_count
    seen = points.ibug68(params)[..., :2] / CROP_SIDE_MM
    found = {}
    for name, part in (("identity", slice(SIMILARITY_COUNT, k)), ("expression", slice(k, None))):
        if name in on:
            without = params.clone()
            without[:, part] = 0
            base = points.ibug68(without)[..., :2] / CROP_SIDE_MM
            # The real example is the labelled one: nothing is to be gained by moving what it is taken from.
            found[name] = Displacements((landmarks - base.detach()).flatten(1), (seen - base).flatten(1))
    return found


def temporal_displacements(predicted, landmarks):
    """Displacements in time, `Displacements` (eq. 12 and 13).

    predicted, landmarks: pairs (previous, current) of (N, 68, 2), both frames' points in common coordinates,
    those of the previous frame's crop: in a crop that follows the head its motion would not be seen.
    """
    real, fake = ((current - previous).flatten(1) for previous, current in (landmarks, predicted))
    return Displacements(real, fake)


def clip_displacements(points, config, params, truth, is_face, rows, length):
    """All displacements of a batch, some rows of which are clips of adjacent frames in common coordinates.

    points: `FacePoints`; config: `DiscriminatorConfig`; params, truth: (N, P), predicted and true; is_face:
    (N,); rows, length: the first rows are clips of so many frames. Returns name to `Displacements`.
    """
    face = is_face > 0
    with torch.no_grad():
        landmarks = points.ibug68(truth)[..., :2] / CROP_SIDE_MM
    found = {}
    if bool(face.any()):
        found = shape_displacements(points, params[face], landmarks[face], config.on)
    if "temporal" in config.on and rows:
        predicted = points.ibug68(params[:rows])[..., :2] / CROP_SIDE_MM

        def pairs(points68):
            clips = points68.unflatten(0, (-1, length))
            return clips[:, :-1].flatten(0, 1), clips[:, 1:].flatten(0, 1)

        found["temporal"] = temporal_displacements(pairs(predicted), pairs(landmarks[:rows]))
    return found


class Discriminators(nn.Module):
    """The discriminators in use and their optimizer.

    config: `DiscriminatorConfig`. Every call takes displacements, name to `Displacements`, and leaves out
    discriminators that it has none for.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.networks = nn.ModuleDict({n: Discriminator(config.dropout) for n in NAMES if n in config.on})
        self.optimizer = (
            torch.optim.Adam(self.parameters(), lr=config.learning_rate, betas=(0.5, 0.999))
            if config.on
            else None
        )

    def state(self):
        """What a checkpoint holds."""
        optimizer = self.optimizer.state_dict() if self.optimizer else {}
        return {"weights": self.state_dict(), "optimizer": optimizer}

    def restore(self, state):
        """Go on from what `state` gave."""
        self.load_state_dict(state["weights"])
        if self.optimizer:
            self.optimizer.load_state_dict(state["optimizer"])

    def set_rate(self, factor):
        """Scale the learning rate, as the network's own is scaled in the course of training."""
        if self.optimizer:
            self.optimizer.param_groups[0]["lr"] = factor * self.config.learning_rate

    def loss(self, displacements):
        """L_D of eq. 15, the alignment network held fixed: lambda-weighted sum over the discriminators.

        The paper prints both terms of eq. 6, 11 and 14 as log D; what it describes beside figure 2, real as 1
        and fake as 0, is the usual cross-entropy, -log D(real) - log(1 - D(fake)), and that is minimised.
        """
        total, terms = torch.zeros(()), {}
        for name, network in self.networks.items():
            if name in displacements:
                real, fake = (network(x.detach()) for x in displacements[name])
                loss = _as_real(real) + functional.binary_cross_entropy_with_logits(
                    fake, torch.zeros_like(fake)
                )
                total = total + self.config.weight * loss
                terms[f"d_{name}"] = loss.detach()
        return total, terms

    def step(self, displacements):
        """One optimizer step of the discriminators. Returns their losses, name to value."""
        if self.optimizer is None or not any(n in displacements for n in self.networks):
            return {}
        self.optimizer.zero_grad(set_to_none=True)
        loss, terms = self.loss(displacements)
        loss.backward()
        self.optimizer.step()
        return terms

    def generator_loss(self, displacements):
        """The adversarial terms of eq. 19, the discriminators held fixed: loss and parts, name to value.

        Eq. 16-18 are printed as log D(fake); to be taken for real it is -log D(fake) that is minimised.
        """
        total, terms = torch.zeros(()), {}
        for name, network in self.networks.items():
            if name in displacements:
                fixed = {k: p.detach() for k, p in network.named_parameters()}
                loss = _as_real(functional_call(network, fixed, (displacements[name].fake,)))
                total = total + self.config.weight * loss
                terms[f"g_{name}"] = loss.detach()
        return total, terms


def _as_real(logits):
    return functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
