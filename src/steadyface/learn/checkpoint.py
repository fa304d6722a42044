"""The state of a training run on disk, and the running average of its weights."""

import torch

from ..errors import InputError
from ..output import replacing


class Average:
    """Exponential moving average of a module's weights and of its running statistics.

    decay: of the long run; early on (1 + n) / (10 + n) is used, so that the start is forgotten soon.
    `module` is the averaged copy, for validation and export.
    """

    def __init__(self, module, averaged, decay=0.998):
        self.decay, self.count = decay, 0
        self.source, self.module = module, averaged
        averaged.load_state_dict(module.state_dict())
        averaged.eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, steps=1):
        """Take in the source's weights after `steps` optimizer steps."""
        self.count += steps
        decay = min(self.decay, (1 + self.count) / (10 + self.count)) ** steps
        for mine, theirs in zip(
            self.module.state_dict().values(), self.source.state_dict().values(), strict=True
        ):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)
            else:
                mine.copy_(theirs)


def save_checkpoint(path, **state):
    """Write a checkpoint; an interruption leaves the previous one whole. Raises OutputError if it fails."""
    with replacing(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path):
    """Read a checkpoint: a dict of plain values and tensors. Raises InputError if it is not one."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"no checkpoint at {path}") from None
    except Exception as e:
        raise InputError(f"{path} is not a checkpoint of this program: {e}") from e
