import ast
import subprocess
import sys
from pathlib import Path

import pytest

import steadyface as sf


def test_functions_win_over_the_modules_of_their_name():
    import steadyface.align
    import steadyface.pipeline
    import steadyface.track

    assert sf.track is steadyface.pipeline.track
    assert sf.align is steadyface.pipeline.align
    assert callable(sf.overlay)


def test_every_public_name_exists():
    for name in sf.__all__:
        assert getattr(sf, name) is not None
    assert set(sf.__all__) <= set(dir(sf))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sf.nonsense


def loaded_after(statement):
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_importing_the_package_imports_nothing_heavy():
    assert not {"numpy", "cv2", "av", "onnxruntime", "torch"} & loaded_after("import steadyface")


def test_the_commands_do_not_import_what_only_training_needs():
    names = loaded_after("import steadyface.cli, steadyface.pipeline, steadyface.live, steadyface.demo")
    assert not {"torch", "numba", "scipy", "anny", "matplotlib", "onnx"} & names


SOURCE = Path(sf.__file__).parent
RUNTIME = {"numpy", "cv2", "onnxruntime", "av", "typer", "rich"}
#: Of the extras: what a function may import when it is called, with an error that names the extra.
OPTIONAL = {"scipy", "h5py", "matplotlib"}
TRAINING = {"learn", "networks"}
#: Folders of what needs torch: beside training, the paper's own way of refining.
WITH_TORCH = tuple(f"{name}/" for name in (*sorted(TRAINING), "refine/paper"))
TOP = {"pipeline", "cli", "demo", "fit_command"}
#: What the scripts of other tools import in environments of their own, and each other: they run as files.
PEERS = {"mediapipe", "dlib", "adapter", "mesh_edges"}


def imports(path, *, when_called):
    """Names that a file imports: third-party packages, and modules of steadyface by their first part.

    when_called: what its functions import when they are called, or what the file imports at once.
    """
    package = path.relative_to(SOURCE).parent.parts
    outside, inside = set(), set()
    for node in _nodes(ast.parse(path.read_text()), when_called):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            outside.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            inside.add(next((part for part in base if part), ""))
            if not node.module and len(package) < node.level:
                inside |= {alias.name for alias in node.names}
    return outside - set(sys.stdlib_module_names) - {"steadyface", "__future__"}, inside


def _nodes(tree, in_functions):
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    inner = {id(n) for f in functions for n in ast.walk(f)}
    return [n for n in ast.walk(tree) if (id(n) in inner) == in_functions]


RUNTIME_FILES = sorted(
    p for p in SOURCE.rglob("*.py") if not p.relative_to(SOURCE).as_posix().startswith(WITH_TORCH)
)


@pytest.mark.parametrize("path", RUNTIME_FILES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_arrows_point_one_way(path):
    """What runs for users needs no training code; stages know nothing of the pipeline above them."""
    outside, inside = imports(path, when_called=False)
    outside_later, inside_later = imports(path, when_called=True)
    allowed = RUNTIME | PEERS if path.parent.name == "peers" else RUNTIME
    assert outside <= allowed
    assert outside_later <= allowed | OPTIONAL
    assert not inside & TRAINING
    # Commands that train, or time training, import it when they are called, and not before: see above.
    assert not inside_later & TRAINING or path.name in {
        *("cli.py", "command.py", "training_speed.py", "filming_speed.py", "network_speed.py")
    }
    stage = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if stage not in {*TOP, "__init__", "evaluate"}:
        assert not (inside | inside_later) & TOP
