"""Speed of WPDC's weights by definition (3DDFA_V2, eq. 7) against fWPDC's (Algorithm 2), full face model.

``python benchmarks/fwpdc.py``: batch 128, all vertices, CPU. The paper: 41.7 ms against 3.6 ms on a GPU.
"""

import argparse
import time

import numpy as np
import torch

from steadyface.face_model.morphable import load_face_model
from steadyface.learn.losses import fwpdc_weights, wpdc_weights
from steadyface.learn.parameters import join, similarity_from_pose
from steadyface.rotation import matrix_from_axis_angle


def random_pair(model, count, seed=0):
    """Ground-truth parameters and a prediction near them: two (count, P) float32 tensors."""
    rng = np.random.default_rng(seed)
    rotation = matrix_from_axis_angle(rng.normal(0, 0.4, (count, 3)))
    scale = rng.uniform(0.8, 1.2, count) / 220
    target = join(
        similarity_from_pose(rotation, scale, rng.normal(0, 0.05, (count, 2))),
        rng.standard_normal((count, model.identity_count)),
        rng.random((count, model.expression_count)),
    )
    spread = np.concatenate([np.full(12, 3e-4), np.full(target.shape[1] - 12, 0.2)])
    params = target + spread * rng.standard_normal(target.shape)
    return torch.from_numpy(params).float(), torch.from_numpy(target).float()


def median_seconds(function, repeats):
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    model = load_face_model()
    params, target = random_pair(model, a.batch)
    s = model.shape
    mean = torch.tensor(s.mean, dtype=torch.float32)
    basis = torch.tensor(np.concatenate([s.identity_basis, s.expression_basis]), dtype=torch.float32)
    norm = basis.flatten(1).norm(dim=1)

    exact = wpdc_weights(params.double(), target.double(), mean.double(), basis.double())
    fast = fwpdc_weights(params.double(), target.double(), mean.double(), basis.double())
    # Relative to each weight, those of a millionth of the largest or less left out.
    counted = exact > 1e-6
    difference = float(((fast - exact).abs() / exact)[counted].max())
    single = fwpdc_weights(params, target, mean, basis, norm).double()
    single_difference = float(((single - exact).abs() / exact)[counted].max())
    slow_s = median_seconds(lambda: wpdc_weights(params, target, mean, basis), a.repeats)
    fast_s = median_seconds(lambda: fwpdc_weights(params, target, mean, basis, norm), 5 * a.repeats)
    size = f"{model.vertex_count} vertices, {params.shape[1]} parameters"
    print(f"batch {a.batch}, {size}, {a.threads} threads")
    print(f"weights differ by at most {difference:.1e} relative (float64), {single_difference:.1e} (float32)")
    print(f"WPDC {1e3 * slow_s:.0f} ms, fWPDC {1e3 * fast_s:.1f} ms: {slow_s / fast_s:.0f} times faster")


if __name__ == "__main__":
    main()
