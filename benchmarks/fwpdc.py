"""Speed of WPDC's weights by definition (3DDFA_V2, eq. 7) against fWPDC's (Algorithm 2), full face model.

python benchmarks/fwpdc.py [--batch 128] [--out docs]

All vertices, one thread, CPU. The paper, on a GPU: 41.7 ms against 3.6 ms.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from steadyface.evaluate.report import Section, Table, Target, save
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
    """Median time of a function over so many calls after a first one."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def largest_difference(weights, exact):
    """Largest relative difference of weights (N, P); those of a millionth of the largest or less left out."""
    return float(((weights.double() - exact).abs() / exact)[exact > 1e-6].max())


def measure(model, batch, repeats):
    """Differences in double and single precision, and seconds of either way: a dict."""
    params, target = random_pair(model, batch)
    s = model.shape
    mean = torch.tensor(s.mean, dtype=torch.float32)
    basis = torch.tensor(np.concatenate([s.identity_basis, s.expression_basis]), dtype=torch.float32)
    norm = basis.flatten(1).norm(dim=1)
    double = params.double(), target.double(), mean.double(), basis.double()
    exact = wpdc_weights(*double)
    single = params, target, mean, basis
    return {
        "double": largest_difference(fwpdc_weights(*double), exact),
        "single": largest_difference(fwpdc_weights(*single, norm), exact),
        "wpdc_s": median_seconds(lambda: wpdc_weights(*single), repeats),
        "fwpdc_s": median_seconds(lambda: fwpdc_weights(*single, norm), 5 * repeats),
    }


def section(measured, batch, size):
    """The `Section` "fwpdc" of what `measure` returns. size: of the model, in words."""
    return Section(
        name="fwpdc",
        title=f"Weights of fWPDC against WPDC, batch {batch}",
        command="python benchmarks/fwpdc.py",
        targets=(
            Target("fWPDC's weights off WPDC's, 10^-5 relative", 1e5 * measured["single"], "<=", 1.0),
            Target("fWPDC's speed over WPDC's", measured["wpdc_s"] / measured["fwpdc_s"], ">=", 10.0, "x"),
        ),
        tables=(
            Table(
                f"Median of one thread; {size}.",
                ("weights", "ms"),
                (
                    ("WPDC, by definition", 1e3 * measured["wpdc_s"]),
                    ("fWPDC, one reconstruction", 1e3 * measured["fwpdc_s"]),
                ),
            ),
        ),
        notes=(
            f"Largest relative difference: {measured['double']:.1e} in double precision, "
            f"{measured['single']:.1e} of single against double.",
        ),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_face_model()
    parameters = 12 + model.identity_count + model.expression_count
    size = f"{model.vertex_count} vertices, {parameters} parameters"
    print(save(section(measure(model, args.batch, args.repeats), args.batch, size), args.out))


if __name__ == "__main__":
    main()
