"""The sequence fit alone: speed against points and length, memory of ten minutes, AdamW on the same energy.

python benchmarks/sequence_fit.py [--frames 1000] [--adamw-frames 200] [--threads 2] [--out docs]

Points are made by the face model: a head that turns, nods and comes near while all its expressions move,
seen by a pinhole camera, each point off by noise of its sigma. AdamW (FlowFace, section 4: learning rate
1e-2, halved after 30 steps without gain, until convergence) starts from the same state as Gauss-Newton.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from steadyface.evaluate.report import Section, Table, Target, save
from steadyface.face_model.morphable import LinearShape, load_face_model
from steadyface.fit.blas_threads import one_blas_thread
from steadyface.fit.gauss_newton import SolverConfig
from steadyface.fit.rig import Rig
from steadyface.fit.sequence import SequenceConfig, fit_sequence
from steadyface.fit.sequence_energy import SequenceEnergy
from steadyface.fit.sequence_solver import minimise
from steadyface.fit.sequence_start import start_from_points
from steadyface.fit.sequence_terms import SequenceState, SequenceWeights, Shared
from steadyface.rotation import matrix_from_axis_angle, matrix_from_euler

SIZE = (1280, 720)
FOCAL = 1400.0
#: Millimetres that one unit of AdamW's translation stands for, so that one learning rate serves all.
UNIT_MM = 100.0
MINUTES = 10
#: Keeps square roots differentiable at zero.
TINY = 1e-24


def made_points(shape, frames, noise=1.0, seed=0):
    """Points (T, 1, L, 2) float32 px of a moving face, and their sigma (T, 1, L)."""
    rng = np.random.default_rng(seed)
    k, e = len(shape.identity_basis), len(shape.expression_basis)
    identity = rng.normal(0, 0.8, k)
    phase, rate, used = rng.uniform(0, 6, e), rng.uniform(0.5, 4, e), rng.random(e) < 0.6
    rig = Rig.single(SIZE, FOCAL)
    points = np.empty((frames, 1, len(shape.mean), 2), np.float32)
    for a in range(0, frames, 500):
        t = np.arange(a, min(a + 500, frames)) / 30
        expression = np.clip(0.9 * np.sin(rate * t[:, None] + phase) - 0.4, 0, 1) * used
        angles = np.stack([0.25 * np.sin(1.3 * t + 1), 0.5 * np.sin(0.9 * t), 0.1 * np.sin(0.7 * t)], -1)
        place = np.stack([40 * np.sin(0.5 * t), 20 * np.cos(0.8 * t), 700 + 80 * np.sin(0.4 * t)], -1)
        s = shape(np.broadcast_to(identity, (len(t), k)), expression)
        world = s @ np.swapaxes(matrix_from_euler(angles), -1, -2) + place[:, None]
        exact = rig.project(world)
        points[a : a + len(t), 0] = exact + rng.normal(0, noise, exact.shape)
    return points, np.full(points.shape[:-1], noise, np.float32)


def face_vertices(model):
    """The `LinearShape` of the face region's vertices, about those a camera sees."""
    index = np.flatnonzero(model.region("face"))
    s = model.shape
    return LinearShape(s.mean[index], s.identity_basis[:, index], s.expression_basis[:, index])


def timed_fit(shape, frames, threads):
    """Seconds of a fit from the points alone to convergence, and the `SequenceFit`."""
    points, sigma = made_points(shape, frames)
    config = SequenceConfig(threads=threads, window=max(frames, 1500))
    start = time.perf_counter()
    fit = fit_sequence(points, sigma, shape, rig=Rig.single(SIZE), config=config)
    return time.perf_counter() - start, fit


def whole_energy(shape, points, sigma, rig, weights=None, kind=SequenceEnergy, threads=1):
    """The energy of a whole sequence with identity and focal length free, and the state to start from."""
    root = 1 / sigma.astype(float)
    start, rig = start_from_points(points.astype(float), root, shape, rig, 24)
    energy = kind(
        points.astype(float),
        root,
        shape,
        center=rig.center,
        log_focal=np.log(rig.focal),
        time_s=np.arange(len(points)) / 30,
        weights=weights or SequenceWeights(),
        prior=None,
        moved=np.zeros(0, int),
        shared=Shared.of(len(start.identity), 1, 0, 0),
        threads=threads,
    )
    state = SequenceState(
        rotation=matrix_from_axis_angle(start.rotation),
        translation=start.translation,
        expression=start.expression,
        identity=start.identity,
        log_focal=np.log(rig.focal),
        camera_rotation=rig.rotation,
        camera_translation=rig.translation,
        offsets=np.zeros((0, 3)),
    )
    return energy, state


class TimedEnergy(SequenceEnergy):
    """Keeps when each cost was known: (seconds, cost)."""

    def cost(self, state):
        value = super().cost(state)
        self.__dict__.setdefault("known", []).append((time.perf_counter(), value))
        return value


class TorchEnergy:
    """The same energy in torch, for one camera, of increments on a state: the reference of Gauss-Newton.

    parameters: rotation increments (T, 3) rad, translation (T, 3) of `UNIT_MM`, expression (T, E), identity
    (K,), log focal (1,), all relative to the state. Single precision, AdamW's usual one, takes two thirds of
    the time of double.
    """

    def __init__(self, energy, state, dtype=torch.float64):
        def tensor(x):
            return torch.tensor(np.asarray(x), dtype=dtype)

        self.weights, self.share, self.limits = energy.weights, energy.share, (energy.low, energy.high)
        self.points, self.root = tensor(np.swapaxes(energy.points[:, 0], -1, -2)), tensor(energy.root[:, 0])
        self.center, self.guess = tensor(energy.center[0]), tensor(energy.focal_guess)
        self.mean = tensor(energy.mean)
        self.identity_rows = tensor(energy.identity_basis).flatten(1)
        self.expression_rows = tensor(energy.expression_basis).flatten(1)
        self.l2, self.l1 = tensor(energy.l2), tensor(energy.l1)
        self.coefficients = None if energy.coefficients is None else tensor(energy.coefficients)
        self.start = [
            tensor(x)
            for x in (state.rotation, state.translation, state.expression, state.identity, state.log_focal)
        ]
        t, e, k = len(state.translation), energy.e, energy.k
        shapes = ((t, 3), (t, 3), (t, e), (k,), (1,))
        self.parameters = [torch.zeros(s, dtype=dtype, requires_grad=True) for s in shapes]
        self.dtype = dtype

    def loss(self, distance, threshold, robust):
        if robust == "none":
            return distance**2 / 2
        if robust == "huber":
            inside = torch.clamp(distance, max=threshold)
            return inside * (distance - inside / 2)
        return distance**2 / 2 / (1 + (distance / threshold) ** 2)

    def cost(self):
        """The energy as a tensor."""
        w = self.weights
        turn, move, change, identity, focal = self.parameters
        rotation = torch.linalg.matrix_exp(_skew(turn)) @ self.start[0]
        translation = self.start[1] + UNIT_MM * move
        expression, identity = self.start[2] + change, self.start[3] + identity
        focal = self.start[4] + focal
        flat = identity @ self.identity_rows + expression @ self.expression_rows
        s = self.mean + flat.reshape(len(turn), -1, 3)
        x = s @ rotation.transpose(1, 2) + translation[:, None]
        error = torch.exp(focal) * x[..., :2] / x[..., 2:] + self.center - self.points
        distance = torch.sqrt((error**2).sum(-1) + TINY) * self.root
        total = self.share * self.loss(distance, w.robust_threshold, w.robust).sum()
        total = total + (self.l2 * (expression + self.l1 / self.l2) ** 2).sum() / 2
        total = total + (w.identity * identity).pow(2).sum() / 2
        if w.focal_log_sigma > 0:
            total = total + ((focal - self.guess) / w.focal_log_sigma).pow(2).sum() / 2
        if self.coefficients is None:
            return total
        c = self.coefficients[:, :, None]
        steps = _log(rotation[1:] @ rotation[:-1].transpose(1, 2))
        terms = [
            (c[:, 2] * steps[1:] - c[:, 0] * steps[:-1]) / w.rotation_acceleration,
            _second(translation, c) / w.translation_acceleration,
            (_second(expression, c) / w.expression_acceleration)[..., None],
        ]
        robust = "none" if np.isinf(w.acceleration_threshold) else "huber"
        for term in terms:
            size = torch.sqrt((term**2).sum(-1) + TINY)
            total = total + self.loss(size, w.acceleration_threshold, robust).sum()
        return total

    def minimise(self, limit_s, steps=None, rate=1e-2, patience=30):
        """AdamW with the paper's schedule: list of (seconds, cost) from the start to convergence.

        Converged when the rate has been halved below 1e-5. Expressions are put back in their bounds after
        each step. steps: at the most, None for no limit.
        """
        optimiser = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=patience)
        low, high = (torch.tensor(x, dtype=self.dtype) - self.start[2] for x in self.limits)
        start, known = time.perf_counter(), []
        while optimiser.param_groups[0]["lr"] > 1e-5 and time.perf_counter() - start < limit_s:
            if len(known) == steps:
                break
            optimiser.zero_grad()
            cost = self.cost()
            cost.backward()
            known.append((time.perf_counter() - start, cost.item()))
            optimiser.step()
            schedule.step(known[-1][1])
            with torch.no_grad():
                self.parameters[2].clamp_(low, high)
        return known


def _skew(v):
    zero = torch.zeros_like(v[:, 0])
    x, y, z = v.unbind(-1)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)


def _log(rotation):
    """Rotation vectors of small turns (N, 3, 3)."""
    axis = torch.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        -1,
    )
    sine = torch.sqrt((axis**2).sum(-1, keepdim=True) + TINY) / 2
    cosine = (rotation.diagonal(dim1=1, dim2=2).sum(-1, keepdim=True) - 1) / 2
    return axis / (2 * sine) * torch.atan2(sine, cosine)


def _second(x, c):
    return c[:, 0] * x[:-2] + c[:, 1] * x[1:-1] + c[:, 2] * x[2:]


def versus_adamw(shape, frames, limit_s, threads=1):
    """Both from one state, on as many threads: (AdamW's (seconds, cost) list, Gauss-Newton's)."""
    points, sigma = made_points(shape, frames)
    energy, state = whole_energy(shape, points, sigma, Rig.single(SIZE), kind=TimedEnergy, threads=threads)
    config = SolverConfig(max_iterations=40, cost_tolerance=1e-6, initial_damping=1e-6, active_set_passes=3)
    start = time.perf_counter()
    with one_blas_thread():
        minimise(energy, state, config)
    newton = [(t - start, cost) for t, cost in energy.__dict__["known"]]
    return TorchEnergy(energy, state, torch.float32).minimise(limit_s), newton


def seconds_to(known, cost):
    """First time at which a cost was reached, NaN if never."""
    return next((t for t, value in known if value <= cost), np.nan)


def long_video():
    """Fit ten minutes in this process; prints frames, seconds, and peak memory in MB before and after."""
    shape = load_face_model().landmarks("mediapipe478")
    points, sigma = made_points(shape, MINUTES * 60 * 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    fit_sequence(points, sigma, shape, rig=Rig.single(SIZE))
    seconds = time.perf_counter() - start
    print(len(points), seconds, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def section(speeds, lengths, adamw, newton, memory, args):
    """The `Section` "sequence_fit" of what was measured."""
    final = min(cost for _, cost in adamw)
    gain = adamw[-1][0] / seconds_to(newton, final)
    by_points = {row[0]: row for row in speeds}
    frames, seconds, before, peak = memory
    return Section(
        name="sequence_fit",
        title="Sequence fit",
        command="python benchmarks/sequence_fit.py",
        targets=(
            Target(f"fit, 478 points, {args.frames} frames", by_points[478][2], ">=", 200, "frames/s"),
            Target("fit, all vertices of the face region", speeds[-1][2], ">=", 60, "frames/s"),
            Target("Gauss-Newton to AdamW's final energy, sooner", gain, ">=", 50, "x"),
            Target(f"memory, {MINUTES} minutes of video", peak / 1024, "<=", 2.0, "GB"),
            Target(
                "time a frame, longest over shortest sequence", lengths[-1][2] / lengths[0][2], "<=", 1.5, "x"
            ),
        ),
        tables=(
            Table(
                "From points alone to convergence.", ("points", "seconds", "frames/s", "steps"), tuple(speeds)
            ),
            Table("478 points: time against length.", ("frames", "seconds", "ms a frame"), tuple(lengths)),
            Table(
                f"One energy, {args.adamw_frames} frames, 478 points, from one state.",
                ("minimiser", "steps", "seconds", "energy"),
                (
                    ("AdamW, the paper's schedule, single precision", len(adamw), adamw[-1][0], final),
                    ("Gauss-Newton, to the same energy", None, seconds_to(newton, final), final),
                    ("Gauss-Newton, to convergence", len(newton) - 1, newton[-1][0], newton[-1][1]),
                ),
            ),
        ),
        notes=(
            f"{frames:.0f} frames in windows: {seconds:.0f} s, {peak:.0f} MB at the most, of which the "
            f"process held {before:.0f} MB before the fit.",
        ),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--adamw-frames", type=int, default=200)
    parser.add_argument("--adamw-limit", type=float, default=600, help="seconds at the most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--long", action="store_true", help="only fit ten minutes, and print what it took")
    args = parser.parse_args()
    if args.long:
        return long_video()
    torch.set_num_threads(args.threads)
    model = load_face_model()
    shapes = [model.landmarks("ibug68"), model.landmarks("mediapipe478"), face_vertices(model)]
    speeds = []
    for shape in shapes:
        seconds, fit = timed_fit(shape, args.frames, args.threads)
        speeds.append((len(shape.mean), seconds, args.frames / seconds, fit.iterations))
    lengths = []
    for frames in (250, 500, 1000, 2000, 4000):
        seconds, _ = timed_fit(shapes[1], frames, args.threads)
        lengths.append((frames, seconds, 1e3 * seconds / frames))
    adamw, newton = versus_adamw(shapes[1], args.adamw_frames, args.adamw_limit, args.threads)
    long = subprocess.run(
        [sys.executable, __file__, "--long"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    memory = [float(x) for x in long.split()]
    print(save(section(speeds, lengths, adamw, newton, memory, args), args.out))
    return None


if __name__ == "__main__":
    main()
