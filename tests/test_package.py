import subprocess
import sys

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
