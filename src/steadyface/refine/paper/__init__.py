"""Self-refinement as SR-VFA does it, in torch (the extra `train`)."""

from .objective import ObjectiveWeights, evaluate_objective
from .optimize import PaperConfig
from .refine import PaperResult, refine_paper

__all__ = ["ObjectiveWeights", "PaperConfig", "PaperResult", "evaluate_objective", "refine_paper"]
