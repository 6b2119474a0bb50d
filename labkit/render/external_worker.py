"""The process in which an off-the-shelf renderer lives: ``python -m labkit.render.external_worker NAME``.

It reads frames from stdin and answers each on stdout. A frame is the length of its header (4 bytes, big-endian), the
header (JSON, with the length of each array), and the arrays as ``.npy``.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from labkit.errors import DomainError, LabError
from labkit.render.external_hard import HardDriver
from labkit.render.external_mitsuba import MitsubaDriver
from labkit.render.external_pyrender import PyrenderDriver
from labkit.render.external_pyvista import PyvistaDriver
from labkit.render.external_view import Driver, View

DRIVERS: dict[str, type[Driver]] = {
    "pyvista": PyvistaDriver,
    "pyrender": PyrenderDriver,
    "mitsuba": MitsubaDriver,
    "hard": HardDriver,
}
ARRAYS = ("vertices", "faces", "directions", "colors", "ambient")  # of a View; the rest goes into the header
LENGTH = struct.Struct(">I")
LONGEST = 1 << 31  # bytes of one part of a frame; the largest picture has 1 GiB


def send(stream: BinaryIO, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write one frame.

    Args:
        stream: where to.
        header: names to what JSON can hold.
        arrays: names to arrays of numbers.
    """
    parts = {}
    for name, array in arrays.items():
        np.save(buffer := io.BytesIO(), array, allow_pickle=False)
        parts[name] = buffer.getvalue()
    text = json.dumps({"header": dict(header), "arrays": {name: len(part) for name, part in parts.items()}}).encode()
    stream.write(b"".join([LENGTH.pack(len(text)), text, *parts.values()]))
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read one frame: its header and its arrays.

    Raises:
        EOFError: the other side is gone, or went in the middle of the frame.
        DomainError: what came is no frame.
    """
    try:
        frame = json.loads(_exactly(stream, LENGTH.unpack(_exactly(stream, LENGTH.size))[0]))
        parts = {name: _exactly(stream, length) for name, length in frame["arrays"].items()}
        return frame["header"], {name: np.load(io.BytesIO(part), allow_pickle=False) for name, part in parts.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DomainError("frame", error, "a header and arrays as labkit.render.external_worker sends them") from error


def _exactly(stream: BinaryIO, count: int) -> bytes:
    """Read so many bytes."""
    if not 0 <= count <= LONGEST:
        raise ValueError(f"a part of {count} bytes")
    data = stream.read(count)
    if len(data) < count:
        raise EOFError(f"{len(data)} of {count} bytes")
    return data


def serve(driver: Driver, requests: BinaryIO, answers: BinaryIO) -> None:
    """Draw what the frames describe until they end."""
    while True:
        try:
            header, arrays = receive(requests)
        except EOFError:
            return
        fields = {**header, **arrays, "depths": tuple(header["depths"]), "size": tuple(header["size"])}
        send(answers, {}, {"picture": driver.draw(View(**fields))})


def main(name: str) -> int:
    """Make the renderer and serve it; the exit code. A renderer that cannot be made is the first frame's error."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # Drivers print to the standard streams, also from C: from here on that goes to the log.
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        driver = DRIVERS[name]()
    except LabError as error:
        send(answers, {"error": [error.argument, error.got, error.expected]}, {})
        return 1
    send(answers, {"ready": name}, {})
    serve(driver, requests, answers)
    driver.close()
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))  # at once: the libraries' own endings take seconds, and some crash
