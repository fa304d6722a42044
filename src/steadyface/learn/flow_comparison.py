"""FlowFace's comparison of alignment networks (section 4.5, table 4) at an equal number of pictures."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..evaluate.report import Section, Table
from ..face_model.morphable import load_face_model
from ..networks.dense_regressor import TINY_DIRECT, DenseRegressorConfig
from ..networks.uv_chart import uv_chart
from ..networks.uv_flow import TINY, UVFlowConfig
from .ablations.runs import seeds_note, spread
from .flow_batches import FlowBatchConfig
from .flow_train import FlowTrainConfig, new_network, train_flow
from .kept_result import kept_result

#: The networks compared, by name: the flow by iterations, the flow without a guess, and direct regression
#: with the flow's own encoder and with a ResNet.
CONTENDERS = {
    **{f"flow-{k}": replace(TINY, iterations=k) for k in (1, 2, 3, 4)},
    "flow-fixed": replace(TINY, start="fixed", iterations=3),
    "direct": DenseRegressorConfig("mobile-0.5", TINY.image_size),
    "direct-resnet": TINY_DIRECT,
}
#: Table 4 of the paper: mean screen-space motion error, px, of the flow behind MiT-b5 by iterations, and of
#: direct regression by a ResNet-101.
PAPER_SSME = {1: 2.70, 2: 2.61, 3: 2.58, 4: 2.62}
PAPER_DIRECT_SSME = 3.90
#: Section 4.5 of the paper: normalized mean error of the flow and of direct regression.
PAPER_NME, PAPER_DIRECT_NME = 1.30, 1.63
# Columns of a held-out set.
_FIGURES = {"%": "error", "eyes %": "error_eyes", "over sigma": "deviation"}
_PAPER_NOTE = (
    "The paper's column is table 4: screen-space motion error in pixels after the 3D fit, on Multiface, by "
    "networks many times as large (MiT-b5; ResNet-101 for direct regression): orders compare, sizes do not. "
    "`flow-N` start at a guess as a faster tracker makes it, which direct regression is not given; "
    "`flow-fixed` starts at the mean face, like the paper's at a fixed map, and is told no more than direct "
    "regression is."
)


@dataclass(frozen=True)
class Training:
    """What all networks are trained with.

    sets: sample folder to share; heldout: name to sample folder; pictures: that each network is shown,
    counted again when seen again; init_from: weights for the MobileNet of those that have one, None for none;
    the rest as of `FlowTrainConfig`. Raises InputError without a held-out set or with less than a batch.
    """

    sets: dict
    heldout: dict
    pictures: int
    batch: int = 16
    learning_rate: float = 1e-3
    init_from: str | None = None
    face_model: str = "anny"

    def __post_init__(self):
        if not self.heldout:
            raise InputError("a comparison needs at least one held-out sample folder: give --heldout")
        if self.pictures < self.batch:
            raise InputError(f"{self.pictures} pictures are less than a batch of {self.batch}: give more")

    def config(self, network, out, seed, **machine):
        """The `FlowTrainConfig` of a network's run. machine: threads, workers, device."""
        lent = self.init_from if _takes_weights(network) else None
        return FlowTrainConfig(
            out=str(out),
            batches=FlowBatchConfig(
                self.sets, self.batch, network.image_size, face_model=self.face_model, seed=seed
            ),
            network=network,
            learning_rate=self.learning_rate,
            iterations=self.pictures // self.batch,
            heldout=self.heldout,
            init_from=lent,
            seed=seed,
            **machine,
        )


def _takes_weights(network):
    return network.encoder.startswith("mobile")


def trained(network, training, out, seed=0, show=True, **machine):
    """Held-out errors of a network, name to dict: trained now, or read from its folder if it was before.

    network: a configuration; training: `Training`; out: folder of the run. An interrupted run goes on from
    its checkpoint. Raises InputError if the folder holds a run with other settings, KeyboardInterrupt if
    training was interrupted.
    """
    config = training.config(network, out, seed, **machine)
    return kept_result(
        out,
        {"network": asdict(network), "seed": seed, **asdict(training)},
        lambda: train_flow(config, resume=True, show=show),
    )


def parameter_count(network, face_model="anny"):
    """Number of weights of a configuration's network."""
    model = load_face_model(face_model)
    return sum(p.numel() for p in new_network(network, uv_chart(model)).parameters())


def milliseconds(path, size, repeats=20):
    """Median processor time of one picture through an exported network, one thread, after three more.

    path: of the ONNX file; size: side of the picture, pixels.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    count = session.get_outputs()[0].shape[1]
    feed = {"image": generator.uniform(0, 255, (1, 3, size, size)).astype(np.float32)}
    if "guess" in {i.name for i in session.get_inputs()}:
        feed["guess"] = generator.uniform(0, size, (1, count, 2)).astype(np.float32)
    spent = []
    for _ in range(3 + repeats):
        start = time.thread_time()
        session.run(None, feed)
        spent.append(time.thread_time() - start)
    return 1e3 * float(np.median(spent[3:]))


def compare(names, training, seeds, runs, show=True, contenders=None, **machine):
    """Train what is not trained yet, and measure: name of a contender to a dict.

    names: of `CONTENDERS`; seeds: each network is trained with every one of them; runs: folder of the runs.
    Each dict holds results (held-out errors, one dict a seed), parameters and ms. Raises InputError for
    unknown names.
    """
    contenders = contenders or CONTENDERS
    unknown = [n for n in names if n not in contenders]
    if unknown:
        raise InputError(f"unknown network {unknown[0]!r}: know {', '.join(contenders)}")
    results = {name: [] for name in names}
    # All networks with one seed before the next one: what is there already compares.
    for seed in seeds:
        for name in names:
            out = Path(runs) / f"{name}-{training.pictures}-{seed}"
            results[name].append(trained(contenders[name], training, out, seed, show, **machine))
    measured = {}
    for name in names:
        network = contenders[name]
        path = Path(runs) / f"{name}-{training.pictures}-{seeds[0]}" / "flow.onnx"
        measured[name] = {
            "network": network,
            "results": results[name],
            "parameters": parameter_count(network, training.face_model),
            "ms": milliseconds(path, network.image_size),
        }
    return measured


def errors(measured, name, heldout, key="error"):
    """A contender's figure on a held-out set, one of each seed: (S,)."""
    return np.array([r[heldout][key] for r in measured[name]["results"]])


def verdict(by_iterations, heldout):
    """Whether errors are ordered by iterations as the paper's are: a sentence or two.

    by_iterations: number of iterations to errors (S,) of the same seeds; heldout: the set's name.
    """
    mean = {k: float(np.mean(e)) for k, e in by_iterations.items()}
    ours, paper = sorted(mean, key=mean.__getitem__), sorted(mean, key=PAPER_SSME.__getitem__)
    several = [k for k in mean if k > 1]
    better = [k for k in several if mean[k] < mean[1]]
    said = "every" if len(better) == len(several) else "no" if not better else "not every"
    text = (
        f"On {heldout} {said} network of more than one iteration errs less than that of one"
        f" (in the paper every one does); from best to worst ours are {_list(ours)} iterations, "
        f"{'as in the paper' if ours == paper else f'the paper has {_list(paper)}'}."
    )
    if ours[0] == 1:
        return text
    gain = np.asarray(by_iterations[1]) - np.asarray(by_iterations[ours[0]])
    spread = f" ± {gain.std(ddof=1):.3f}" if len(gain) > 1 else ""
    return f"{text} The best gains {gain.mean():.3f}{spread} % on one iteration ({seeds_note(gain)})."


def _list(numbers):
    return ", ".join(map(str, numbers))


def against_direct(measured, heldout):
    """Error of direct regression over that of the flow, a sentence for each pair that was measured."""
    lines = []
    for direct in ("direct", "direct-resnet"):
        for flow in ("flow-2", "flow-fixed"):
            if direct in measured and flow in measured:
                ratio = errors(measured, direct, heldout).mean() / errors(measured, flow, heldout).mean()
                lines.append(f"{direct} errs {ratio:.2f} times as much as {flow}")
    if not lines:
        return ""
    paper = PAPER_DIRECT_NME / PAPER_NME
    return f"On {heldout} {'; '.join(lines)} (in the paper, section 4.5, {paper:.2f} times)."


def section(measured, training, seeds, command):
    """The `Section` "flow" of what `compare` returned. training: `Training`; seeds: those it was given."""
    sets = list(training.heldout)
    first = next(iter(measured.values()))["results"][0]
    figures = {f"{s}, {what}": (s, key) for s in sets for what, key in _FIGURES.items() if key in first[s]}
    rows = []
    guided = [n for n, m in measured.items() if _is_told(m["network"])]
    if guided:
        guess = (spread(errors(measured, guided[0], s, "error_0")) for s in sets)
        known = dict(zip((f"{s}, %" for s in sets), guess, strict=True))
        rows.append(("the guess", None, None, None, None, *(known.get(f) for f in figures), None))
    for name, m in measured.items():
        network = m["network"]
        cells = [spread(errors(measured, name, *at)) for at in figures.values()]
        size = m["parameters"] / 1e6, m["ms"]
        told = "yes" if _is_told(network) else "no"
        rows.append((name, getattr(network, "iterations", None), told, *size, *cells, _paper(network)))
    notes = [_budget_note(measured, training, seeds), _PAPER_NOTE]
    by_iterations = {measured[n]["network"].iterations: n for n in guided}
    for s in sets:
        if 1 in by_iterations and len(by_iterations) > 1:
            notes.append(verdict({k: errors(measured, n, s) for k, n in by_iterations.items()}, s))
        notes.append(against_direct(measured, s))
    columns = (
        "network",
        "iterations",
        "guess",
        "million weights",
        "ms a picture",
        *figures,
        "paper: SSME px",
    )
    return Section(
        name="flow",
        title="Dense alignment networks at an equal budget",
        command=command,
        tables=(Table(f"{training.pictures:,} training pictures each.", columns, tuple(rows)),),
        notes=tuple(n for n in notes if n),
    )


def _is_told(network):
    return isinstance(network, UVFlowConfig) and network.start == "guess"


def _paper(network):
    if isinstance(network, DenseRegressorConfig):
        return PAPER_DIRECT_SSME
    return PAPER_SSME.get(network.iterations) if _is_told(network) else None


def _budget_note(measured, training, seeds):
    return (
        f"Each network was shown {training.pictures:,} pictures, the same ones in the same order, in batches "
        f"of {training.batch}{_start_note(training, measured)}; {seeds_note(seeds)}. Error: mean distance "
        "of the face's vertices, percent of the outer eye corners' distance in space; over sigma: root mean "
        "square of error over predicted sigma, 1 where the network knows how wrong it is; ms: processor time "
        "of one picture with onnxruntime on one thread."
    )


def _start_note(training, measured):
    if training.init_from is None:
        return ", all from random weights"
    rest = [n for n, m in measured.items() if not _takes_weights(m["network"])]
    others = f", {' and '.join(rest)} from random weights" if rest else ""
    return f", the MobileNets from {Path(training.init_from).name}{others}"
