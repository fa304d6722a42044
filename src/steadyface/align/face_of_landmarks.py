"""The face that 68 landmarks belong to: what a network of points alone leaves open."""

import numpy as np

from ..fit.gauss_newton import SolverConfig
from ..fit.image import FitConfig, fit_image
from .alignment import Alignment

#: Least standard deviation of a point that the fit assumes, mm: neighbouring points err together.
LEAST_SIGMA_MM = 2.0


class FaceOfLandmarks:
    """Fits the face model to iBUG-68 points under weak perspective: call it with the points of several faces.

    model: `MorphableModel`; sigma_mm: (68,) standard deviation of a coordinate of each point, mm on the head;
    usual_mm: residual of the fit to a usual face; doubtful_mm: residual at which it is as likely that there
    is no face, None if the residual does not tell.
    """

    def __init__(self, model, sigma_mm, usual_mm=None, doubtful_mm=None):
        self.sigma_mm = np.asarray(sigma_mm, float)
        self.usual_mm, self.doubtful_mm = usual_mm, doubtful_mm
        self._shape = model.landmarks("ibug68")
        middle = float(np.median(self.sigma_mm))
        self._weights = (middle / self.sigma_mm) ** 2
        # It starts anew in every frame: a few steps reach what the points tell.
        solver = SolverConfig(max_iterations=4, cost_tolerance=1e-3)
        self._config = FitConfig(point_sigma_mm=max(middle, LEAST_SIGMA_MM), solver=solver)

    def fit(self, points):
        """The `ImageFit` of points (B, 68, 2) px, and its residuals (B,) mm."""
        fit = fit_image(points, self._shape, weights=self._weights, config=self._config)
        return fit, fit.residual / fit.scale

    def __call__(self, points, sureness=None):
        """One `Alignment` for each face.

        points: (B, 68, 2) px; sureness: (B,) in [0, 1] that confidences are multiplied by. Points that lie
        farther from the fit than usual count as so much less certain.
        """
        points = np.asarray(points, float)
        if len(points) == 0:
            return []
        fit, residual = self.fit(points)
        more = np.ones(len(points)) if self.usual_mm is None else np.maximum(residual / self.usual_mm, 1)
        confidence = self.confidence(residual)
        if sureness is not None:
            confidence = confidence * sureness
        return [
            Alignment(
                fit.rotation[i],
                float(fit.scale[i]),
                fit.camera.center[i],
                fit.identity[i],
                fit.expression[i],
                self.sigma_mm * float(fit.scale[i] * more[i]),
                float(confidence[i]),
            )
            for i in range(len(points))
        ]

    def confidence(self, residual):
        """How likely points are a face's, (B,): 1/2 where the residual is the doubtful one. residual: mm."""
        if self.doubtful_mm is None:
            return np.ones(len(residual))
        return 1 / (1 + (np.asarray(residual) / self.doubtful_mm) ** 8)
