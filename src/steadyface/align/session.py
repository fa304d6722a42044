"""Opening a network: onnxruntime, few threads, and errors of our own."""

from pathlib import Path

from ..errors import InputError


def open_session(path, threads=1):
    """The onnxruntime session of a network file on `threads` threads.

    Raises InputError if the file is missing or unreadable.
    """
    import onnxruntime

    path = Path(path)
    if not path.is_file():
        raise InputError(f"the alignment network {path} is missing: install steadyface again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would burn the cores that decode the video.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:
        # onnxruntime's errors share no public base class.
        raise InputError(f"{path} is not a network that onnxruntime can read: {e}") from e


def check_metadata(session, path, wanted):
    """The network's metadata, name to text. Raises InputError unless it says what is wanted.

    wanted: name to the text or number that this steadyface needs.
    """
    metadata = session.get_modelmeta().custom_metadata_map
    for key, value in wanted.items():
        got = metadata.get(key, "nothing")
        if not (got == value if isinstance(value, str) else _number(got) == value):
            raise InputError(f"{path} was made for {key} {got}, this steadyface needs {value}")
    return metadata


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None
