"""The format of one checkpoint: files of safetensors and JSON that vouch for each other. None of them can run code."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from labkit.errors import BackendError, DomainError, DTypeError, FileError, LabError
from labkit.files import inside, read_bytes
from labkit.train.config import from_json, to_json

VERSION = 1
MAX_TOTAL = 8 << 30  # bytes of all files of a checkpoint, which are read into memory
MAX_MANIFEST = 16 << 20  # bytes
MANIFEST, FACTS, SUFFIX = "manifest.json", "facts.json", ".safetensors"
TYPES = frozenset(
    {"float64", "float32", "float16", "bfloat16", "complex64", "int64", "int32", "int16", "int8", "uint8", "bool"}
)


@dataclass(frozen=True)
class State:
    """What a checkpoint holds.

    Attributes:
        tensors: by group and name; each group is a file, so its name is made of letters, digits, ".", "_" and "-".
        facts: whatever JSON can say.
    """

    tensors: Mapping[str, Mapping[str, Tensor]]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of a file: its size in bytes and its sha256 in hexadecimal digits."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class TensorEntry:
    """What the manifest says of a tensor: its type, such as "float32", and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says: version of the format, steps done, the other files by name, tensors by group."""

    version: int
    number: int
    files: dict[str, FileEntry]
    tensors: dict[str, dict[str, TensorEntry]]


def written(number: int, state: State) -> dict[str, bytes]:
    """The files of a checkpoint by name, the manifest last.

    Raises:
        DomainError: NaN or infinity, naming the tensor; a group that cannot be a file; too many bytes.
        DTypeError: not a dense tensor of one of TYPES, or facts that JSON cannot say.
        BackendError: safetensors is missing.
    """
    safetensors = _safetensors()
    contents, entries = {}, {}
    for group, tensors in state.tensors.items():
        if not re.fullmatch(r"\w[\w.-]{0,99}", group, re.ASCII):
            raise DomainError("group", repr(group), 'at most 100 letters, digits, ".", "_" or "-"')
        for name, tensor in tensors.items():
            if fault := _fault(tensor):
                raise (DomainError if "NaN" in fault else DTypeError)(f"{group} {name}", *fault.split(" instead of "))
        # a tensor of its own for each name, since safetensors refuses those that share memory
        ready = {k: t.detach().cpu().clone(memory_format=torch.contiguous_format) for k, t in tensors.items()}
        entries[group] = {name: _entry(tensor) for name, tensor in ready.items()}
        contents[f"{group}{SUFFIX}"] = safetensors.torch.save(ready)
    try:
        contents[FACTS] = json.dumps(state.facts, indent=1, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DTypeError("facts", error, "what JSON can say, with finite numbers") from error
    if len({name.lower() for name in contents}) < len(contents):
        raise DomainError("groups", ", ".join(state.tensors), "names that differ in more than case")
    files = {name: FileEntry(len(data), hashlib.sha256(data).hexdigest()) for name, data in contents.items()}
    contents[MANIFEST] = json.dumps(to_json(Manifest(VERSION, number, files, entries)), indent=1).encode()
    if len(contents[MANIFEST]) > MAX_MANIFEST or sum(map(len, contents.values())) > MAX_TOTAL:
        raise DomainError("state", "too much", f"at most {MAX_TOTAL} bytes in all and {MAX_MANIFEST} for the names")
    return contents


def read(folder: Path, name: str) -> State:
    """The state in ``folder / name``, if all of it is as it was written under that name, and nothing else is there.

    Raises:
        FileError: naming the file at fault.
        BackendError: safetensors is missing.
    """
    safetensors = _safetensors()
    home = inside(folder, name)
    manifest = _manifest(home, int(name))
    wanted = {*(f"{group}{SUFFIX}" for group in manifest.tensors), FACTS}
    listed, there = {*manifest.files}, {path.name for path in home.iterdir()} - {MANIFEST}
    for odd in sorted((wanted ^ listed) | (there ^ listed)):
        raise FileError(str(home / odd), "a file" if odd in there else "no file", "the files that the manifest lists")
    data = {name: _bytes(home, name, entry) for name, entry in manifest.files.items()}
    tensors = {}
    for group, entries in manifest.tensors.items():
        path, content = home / f"{group}{SUFFIX}", data.pop(f"{group}{SUFFIX}")
        try:
            tensors[group] = safetensors.torch.load(content)
        except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            archive = content.startswith((b"\x80", b"PK"))
            got = "a pickle or an archive, which is never opened" if archive else repr(error)
            raise FileError(str(path), got, "safetensors") from error
        if {key: _entry(tensor) for key, tensor in tensors[group].items()} != entries:
            raise FileError(str(path), "other names, types or shapes", "those that the manifest lists")
        for key, tensor in tensors[group].items():
            if fault := _fault(tensor):
                raise FileError(f"{path}: {key}", *fault.split(" instead of "))
    facts = _json(home / FACTS, data[FACTS])
    if not isinstance(facts, dict):
        raise FileError(str(home / FACTS), type(facts).__name__, "an object of JSON")
    return State(tensors, facts)


def _manifest(home: Path, number: int) -> Manifest:
    path = inside(home, MANIFEST)
    _size(path)
    data = _json(path, read_bytes(path, MAX_MANIFEST))
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise FileError(str(path), f"version {version!r}", f"version {VERSION}, which this labkit reads")
    try:
        manifest = from_json(Manifest, data)
    except LabError as error:
        raise FileError(str(path), error, "a manifest as it was written") from error
    if manifest.number != number:
        raise FileError(str(path), f"the manifest of checkpoint {manifest.number}", f"that of {number}")
    sizes = [entry.bytes for entry in manifest.files.values()]
    if sum(sizes) > MAX_TOTAL or min(sizes, default=0) < 0:
        raise FileError(str(path), f"a promise of {sum(sizes)} bytes", f"at most {MAX_TOTAL} in all files together")
    return manifest


def _bytes(home: Path, name: str, entry: FileEntry) -> bytes:
    path = inside(home, name)
    if (size := _size(path)) != entry.bytes:
        raise FileError(str(path), f"{size} bytes", f"{entry.bytes}, as the manifest says")
    data = read_bytes(path, entry.bytes)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise FileError(str(path), "another sha256 than the manifest's", "a file that nobody changed or damaged")
    return data


def _size(path: Path) -> int:
    """The bytes of a file, if it is one: to open a pipe would be to wait forever."""
    try:
        status = path.stat()
    except OSError as error:
        raise FileError(str(path), error.strerror, "a file") from error
    if not stat.S_ISREG(status.st_mode):
        raise FileError(str(path), "something else", "a file")
    return status.st_size


def _fault(tensor: Tensor) -> str:
    """What keeps a tensor out of a checkpoint, "GOT instead of EXPECTED", or nothing."""
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or _entry(tensor).dtype not in TYPES:
        got = f"{tensor.layout} {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
        return f"{got} instead of a dense tensor of {', '.join(sorted(TYPES))}"
    return "" if bool(tensor.isfinite().all()) else "NaN or infinity instead of finite numbers only"


def _entry(tensor: Tensor) -> TensorEntry:
    return TensorEntry(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))


def _json(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileError(str(path), error, "JSON") from error


def _safetensors() -> ModuleType:
    try:
        import safetensors.torch
    except ImportError as error:
        raise BackendError("safetensors", "no such package", 'it installed: pip install "labkit[train]"') from error
    return safetensors
