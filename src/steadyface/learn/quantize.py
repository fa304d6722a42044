"""Eight-bit integers for the part of a regressor where it pays: smaller, and faster on a CPU.

``python -m steadyface.learn.quantize runs/live/regressor.onnx OUT.onnx --set cache/portraits``

The late blocks hold nearly all of MobileNet's weights, more than fits beside the rest of a frame's work in
a core's cache. They become integers (Jacob et al. 2018: 8 bits, per output channel); the early blocks, where
an error would be seen by all that follows, and the heads stay floating point.
"""

import re
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..errors import InputError
from ..synthesis.picture import PICTURE_MARGIN
from .samples import load_samples

#: The first block that becomes integers: it and those after it hold half of all weights.
FIRST_BLOCK = 8
#: Percent of a map's values within its range of integers. A range as wide as the rarest value makes steps so
#: coarse that landmarks tremble by 0.17 % of the inter-ocular distance where nothing moves.
WITHIN = 99.97


def calibration_pictures(folders, size=120, count=240, seed=0):
    """Standard crops of cached samples, (count, 3, size, size) float32 RGB 0..255."""
    rng = np.random.default_rng(seed)
    pictures = []
    for folder in folders:
        images = load_samples(folder).images
        border = round(images.shape[1] * (1 - 1 / PICTURE_MARGIN) / 2)
        for i in np.sort(rng.choice(len(images), min(count // len(folders), len(images)), replace=False)):
            picture = images[i][border : border + size, border : border + size]
            pictures.append(picture.transpose(2, 0, 1).astype(np.float32))
    return np.stack(pictures)


def quantize(source, target, pictures, first_block=FIRST_BLOCK):
    """Write an exported regressor with its blocks from `first_block` on in integers.

    source, target: paths of ONNX files; pictures: (N, 3, size, size) float32 RGB 0..255, to learn the range
    of every map from. Inputs, outputs and metadata stay as they are. Weights take 7 bits, so that products
    do not overflow on processors without the dot-product instructions. Raises InputError if the file has no
    such blocks.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(pictures)

        def get_next(self):
            picture = next(self.rest, None)
            return None if picture is None else {"image": picture[None]}

    with tempfile.TemporaryDirectory() as folder:
        folded = str(Path(folder) / "folded.onnx")
        # Normalization has to be part of the convolutions before their ranges are taken.
        quant_pre_process(str(source), folded, skip_symbolic_shape=True)
        nodes = onnx.load(folded).graph.node
        late = [n.name for n in nodes if n.op_type in ("Conv", "Relu") and _block(n.name) >= first_block]
        if not late:
            raise InputError(f"{source} has no blocks from {first_block} on to make integers of")
        quantize_static(
            folded,
            str(target),
            Pictures(),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=late,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": WITHIN},
        )
    written, metadata = onnx.load(str(target)), onnx.load(str(source)).metadata_props
    del written.metadata_props[:]
    written.metadata_props.extend(metadata)
    onnx.save(written, str(target))


def _block(name):
    found = re.search(r"/blocks\.(\d+)/", name)
    return int(found[1]) if found else -1


def main(
    source: Annotated[Path, typer.Argument(help="Exported regressor.")],
    target: Annotated[Path, typer.Argument(help="Where to write it.")],
    sets: Annotated[list[str], typer.Option("--set", help="Sample folders to learn ranges from.")],
):
    """Write a regressor with its late blocks in eight-bit integers."""
    quantize(source, target, calibration_pictures(sets))
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, was {source.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
