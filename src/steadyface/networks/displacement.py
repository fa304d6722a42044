"""The alignment network of landmark displacement learning (Lee et al. 2023, fig. 3)."""

import torch
from torch import nn

from .mobilenet import Regression
from .resnet import ResNet18

#: f (1), R as a quaternion (4) and t (3) of eq. 3: the paper counts 8 camera parameters and does not name
#: them; of the usual forms of a rotation only the quaternion gives that sum.
CAMERA_COUNT = 8
#: ResNet-18 pools to 512 features, but the paper splits 1,025 = 990 + 35: a linear layer lies between.
FEATURE_COUNT = 1025
#: Inner nodes of the camera's branch.
CAMERA_NODES = 16


def feature_split(coefficient_count):
    """How many features the shape's branch gets and how many the camera's, in proportion to the outputs.

    coefficient_count: K + E. Returns two counts: 990 and 35 for the paper's 199 + 29 coefficients.
    """
    shape = round(FEATURE_COUNT * coefficient_count / (coefficient_count + CAMERA_COUNT))
    return shape, FEATURE_COUNT - shape


def rotation_from_quaternion(quaternion):
    """Rotation matrices (N, 3, 3) of quaternions (N, 4), w first, of any length above zero."""
    w, x, y, z = (quaternion / quaternion.norm(dim=1, keepdim=True).clamp_min(1e-6)).unbind(1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def similarity_from_camera(camera):
    """T = [f R, t] (N, 12), row-major, of (N, 8) cameras: log f, quaternion, t.

    f in crop units per mm, t in crop units; t_z is nothing that the orthographic P of eq. 3 could show, and 0
    in the labels.
    """
    scaled = camera[:, 0].exp()[:, None, None] * rotation_from_quaternion(camera[:, 1:5])
    return torch.cat([scaled, camera[:, 5:, None]], 2).flatten(1)


class DisplacementRegressor(nn.Module):
    """A crop's face: ResNet-18, features split in proportion, and two fully connected layers for each part.

    params_statistics, camera_statistics: `ParameterStatistics` of (N, 12 + K + E) parameters and of the (N,
    8) cameras in them (learn/displacement_data.py: `cameras_of`); the outputs are z-scored by them, so that
    the last layers, which start at zero, start at the mean face. size: side of the input, pixels: the paper's
    256, or less for training on a CPU. width: multiplier of the ResNet's channels, 1 in the paper. forward:
    (N, 3, size, size) float RGB 0..255 -> `Regression` without landmarks. T in its params is an exact
    similarity. Two linear layers for the landmarks' sigma and the confidence, which the tracker needs, are
    not the paper's.
    """

    def __init__(self, params_statistics, camera_statistics, size=256, width=1.0):
        super().__init__()
        self.size = size
        self.backbone = ResNet18(width)
        # Pooled features are all positive: unless their weighted sums are centred, half of the units behind
        # the ReLU never speak, and the few that the camera has cannot tell a scale.
        self.features = nn.Sequential(
            nn.Linear(self.backbone.feature_count, FEATURE_COUNT, bias=False), nn.BatchNorm1d(FEATURE_COUNT)
        )
        count = len(params_statistics.mean) - 12
        self.split = feature_split(count)
        # The paper has ReLU in all layers but the last.
        shape, camera = nn.Linear(count, count), nn.Linear(CAMERA_NODES, CAMERA_COUNT)
        self.shape_head = nn.Sequential(nn.Linear(self.split[0], count), nn.ReLU(), shape)
        self.camera_head = nn.Sequential(nn.Linear(self.split[1], CAMERA_NODES), nn.ReLU(), camera)
        self.log_sigma_head = nn.Linear(FEATURE_COUNT, 68)
        self.confidence_head = nn.Linear(FEATURE_COUNT, 1)
        for head in (shape, camera, self.log_sigma_head, self.confidence_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        # exp(-2.5) = 0.08 of the crop's side, 18 mm: about the error of the mean face.
        nn.init.constant_(self.log_sigma_head.bias, -2.5)
        mean, std = (torch.tensor(a) for a in (params_statistics.mean, params_statistics.std))
        # Only the z-scores of `Regression` come from these; the exported network has no use for them.
        self.params_mean = nn.Buffer(mean, persistent=False)
        self.params_std = nn.Buffer(std, persistent=False)
        seen = camera_statistics
        self.output_mean = nn.Buffer(torch.cat([torch.tensor(seen.mean), mean[12:]]))
        self.output_std = nn.Buffer(torch.cat([torch.tensor(seen.std), std[12:]]))

    def extra_heads(self):
        """The layers that the paper does not have, nor count."""
        return self.log_sigma_head, self.confidence_head

    def forward(self, image):
        features = torch.relu(self.features(self.backbone((image - 127.5) / 64)))
        shape, camera = features.split(self.split, 1)
        outputs = torch.cat([self.camera_head(camera), self.shape_head(shape)], 1)
        outputs = outputs * self.output_std + self.output_mean
        similarity = similarity_from_camera(outputs[:, :CAMERA_COUNT])
        params = torch.cat([similarity, outputs[:, CAMERA_COUNT:]], 1)
        return Regression(
            z=(params - self.params_mean) / self.params_std,
            params=params,
            landmarks=None,
            log_sigma=self.log_sigma_head(features),
            confidence_logit=self.confidence_head(features)[:, 0],
        )
