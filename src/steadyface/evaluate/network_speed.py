"""How large and how fast every network of the five methods is, beside the papers' figures; needs no data."""

import time
from contextlib import nullcontext

import numpy as np

from ..align.methods import ALIGNMENT_METHODS, ASSETS, DEFAULT
from ..align.session import open_session
from ..errors import InputError
from .report import Section, Table
from .speed import OneCore

COLUMNS = (
    *("method", "network", "million parameters", "paper", "million multiply-adds", "paper"),
    *("ms, torch", "times live", "ms, onnxruntime", "ms, GPU", "paper, CPU", "paper, GPU"),
)
#: Networks by speed on a CPU, the fastest first, by table 7 of local motion.
LOCAL_MOTION_ORDER = ("2D", "2DRNN", "3D", "3DRNN", "2DFCRNN", "3DFCRNN")


def onnx_ms(path, shapes, enough_s=0.5, least=3):
    """Median milliseconds of processor time of one run of a network's file on one thread.

    shapes: of its inputs, in their order. Raises InputError if the file is missing or unreadable.
    """
    session = open_session(path, threads=1)
    rng = np.random.default_rng(0)
    inputs = {
        i.name: 255 * rng.random(shape, np.float32)
        for i, shape in zip(session.get_inputs(), shapes, strict=True)
    }
    session.run(None, inputs)
    spent = []
    while len(spent) < least or (sum(spent) < enough_s and len(spent) < 1000):
        start = time.thread_time()
        session.run(None, inputs)
        spent.append(time.thread_time() - start)
    return 1e3 * float(np.median(spent))


def measure_networks(networks=None, assets=ASSETS, progress=None):
    """The `Section` "networks": parameters, multiply-adds and time a frame of every network.

    networks: list of `networks.catalogue.Network` instead of the whole catalogue, timed in this process;
    assets: folder of shipped files; progress: called with the networks done and their number. Raises
    InputError if torch is missing.
    """
    try:
        from ..networks.catalogue import catalogue
        from ..networks.timing import time_network
    except ModuleNotFoundError as e:
        raise InputError(f"timing networks needs {e.name}: install steadyface with its extra 'train'") from e
    given, networks = networks, catalogue() if networks is None else networks
    live = ALIGNMENT_METHODS[DEFAULT].asset
    reference = next(i for i, network in enumerate(networks) if network.asset == live)
    rows = []
    # Functions that build networks do not travel to another process: it has the catalogue itself.
    with OneCore() if given is None else nullcontext(_here) as run:
        for i, network in enumerate(networks):
            own, gpu, ratio = run(time_network, i, reference, given)
            path = assets / network.asset if network.asset else None
            shipped = run(onnx_ms, path, network.shapes) if path and path.is_file() else None
            rows.append(_row(network, own, gpu, ratio, shipped))
            if progress:
                progress(i + 1, len(networks))
    return networks_section(rows)


def _here(function, *args):
    return function(*args)


def _row(network, cpu_ms, gpu_ms, ratio, shipped_ms):
    size, paper = network.row(), network.paper
    return (
        *(network.method, network.name, size["parameters"] / 1e6, _millions(paper.parameters)),
        *(size["multiply_adds"] / 1e6, _millions(paper.multiply_adds)),
        *(cpu_ms, ratio, shipped_ms, gpu_ms, paper.cpu_ms, paper.gpu_ms),
    )


def _millions(count):
    return None if count is None else count / 1e6


def networks_section(rows):
    """The `Section` "networks" of rows, each as `COLUMNS` says."""
    return Section(
        name="networks",
        title="Size and speed of every network",
        command="steadyface benchmark networks",
        tables=(
            Table(
                "One frame: a batch of one, random weights with torch, the shipped file with onnxruntime; "
                "median milliseconds of processor time on one thread.",
                COLUMNS,
                tuple(rows),
            ),
        ),
        notes=(
            "`times live` is the network's time over that of the shipped live network, both with torch and "
            "in turns, for milliseconds depend on the machine. The papers' times are of other machines: "
            "3DDFA_V2 on four cores of an i5-8259U and a GTX 1080, local motion on a Xeon E5 at 3.5 GHz and "
            "a GTX 1080 Ti, FlowFace on a Quadro RTX 5000. M_t and M_id of SR-VFA run once for a video, on "
            "its selected frames together. FlowFace's networks have the 5,023 vertices of its face model; "
            "BiSeNet-v2's parameters hold the boosters that are used in training alone.",
            *_order_note(rows),
        ),
    )


def _order_note(rows):
    """Whether the local motion networks are as fast in turn as table 7 has them: list of a text, or none."""
    ms = {row[1]: row[COLUMNS.index("ms, torch")] for row in rows if row[0] == "local motion"}
    if set(ms) != set(LOCAL_MOTION_ORDER):
        return []
    found = sorted(ms, key=lambda name: ms[name])
    if tuple(found) == LOCAL_MOTION_ORDER:
        return ["The six local motion networks are as fast in turn as table 7 has them."]
    return [
        f"By speed the six local motion networks are {', '.join(found)}; table 7 has them in the order "
        f"{', '.join(LOCAL_MOTION_ORDER)}."
    ]
