"""Ablation studies, the papers' and ours: each trains variants at an equal budget and scores them alike."""

from importlib import import_module

from ...errors import InputError

#: Name of a study to the module that holds it as ABLATION.
STUDIES = {
    "3ddfa_v2": "three_ddfa_v2",
    "displacement": "displacement",
    "local_motion": "local_motion",
    "live": "live",
}


def find_ablation(name):
    """The `Ablation` of a name. Raises InputError for an unknown one."""
    if name not in STUDIES:
        raise InputError(f"unknown study {name!r}: know {', '.join(STUDIES)}")
    return import_module(f".{STUDIES[name]}", __name__).ABLATION
