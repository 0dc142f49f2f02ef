"""Reading of weight files: memory-mapped, and without executing any code in them."""

from __future__ import annotations

import argparse
import codecs
import hashlib
import json
import pickletools
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UnsupportedCheckpoint
from ..motion.files import file_kind
from ..parts import PARTS
from ..paths import special_kind

EXPECTED = "Expected EDTalk.pt, EDTalk_lip_pose.pt, Audio2Lip.pt or a bundle made by `edtalk convert`."

_ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_TORCH_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""Start of the older torch.save format: a pickle (protocol 2) of its magic number."""
_LEGACY_PICKLES = 5
"""Magic number, version, system, content and names of storages, each a pickle."""
_LFS_MAGIC = b"version https://git-lfs.github.com/spec/"
_WEB_PAGE = re.compile(rb"\s*(<!--|<\?xml|<!doctype|<html|<head|<body)", re.IGNORECASE)

MAX_PICKLE_BYTES = 8 << 20
"""Largest pickle in a PyTorch file: it holds the names of tensors, not their values, and reading it takes 60 times as
much memory."""


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Content of a weight file. Values are paged in from the file on use."""

    path: Path
    tensors: dict[str, Tensor] = field(compare=False)
    """Tensors on the CPU, under the names of the file without DataParallel's prefix "module."."""
    metadata: dict[str, str] = field(compare=False)
    """The metadata of a .safetensors file; for a .pt "contents" (its top-level keys) and "args", as JSON."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal; computed on first use."""
        return file_sha256(self.path)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, {len(self.tensors)} tensors)"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a PyTorch file (.pt, .pth; zip or older format) or a .safetensors file, distinguished by content.

    A PyTorch file may contain tensors, plain values and argparse.Namespace; a pickle with anything else is rejected
    before it is executed. The tensors are those under "gen" and "audio2lip" (the latter as `audio_to_lip.*` if both
    exist), those at the top level, or those of the first entry with tensors.

    Raises UnsupportedCheckpoint when the file is missing, damaged, not a weight file or not safe to read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise UnsupportedCheckpoint(f"{path} is a folder. {EXPECTED}")
        if special := special_kind(path):
            raise UnsupportedCheckpoint(f"{path} is {special}. {EXPECTED}")
        with path.open("rb") as file:
            head = file.read(4096)
        size = path.stat().st_size
    except FileNotFoundError:
        raise UnsupportedCheckpoint(f"{path} does not exist. {EXPECTED}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnsupportedCheckpoint(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from error

    if size == 0:
        raise UnsupportedCheckpoint(f"{path} is empty (0 bytes): its download failed. Download it again.")
    if head.startswith(_LFS_MAGIC):
        raise UnsupportedCheckpoint(
            f"{path} is a git-lfs pointer of {size} bytes, not the file itself. Run `git lfs pull` in its repository "
            "or download the file."
        )
    if _WEB_PAGE.match(head):
        raise UnsupportedCheckpoint(
            f"{path} looks like a web page, not a weight file: the download got an error or log-in page. "
            "Download it again, from a direct link."
        )
    if path.suffix.lower() == ".safetensors" or _is_safetensors(head, size):
        tensors, metadata = _read_safetensors(path, head, size)
    else:
        tensors, metadata = _read_torch(path, head)
    if not tensors:
        raise UnsupportedCheckpoint(f"{path} holds no tensors. {EXPECTED}")
    return Checkpoint(path, tensors, metadata)


def safetensors_format(path: Path) -> str | None:
    """The "format" of a .safetensors file's metadata; None where it has none, and for any other file."""
    from safetensors import SafetensorError, safe_open

    if special_kind(path):  # reading it might take for ever
        return None
    try:
        with safe_open(path, framework="pt") as content:
            return (content.metadata() or {}).get("format")
    except (SafetensorError, OSError):
        return None  # the reader of the file reports the error


def _is_safetensors(head: bytes, size: int) -> bool:
    """Whether the file starts with a plausible header length and a JSON header."""
    return head[8:9] == b"{" and 8 + int.from_bytes(head[:8], "little") <= size


def _read_safetensors(path: Path, head: bytes, size: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if head.startswith((_ZIP_MAGIC, _LEGACY_TORCH_MAGIC)):
        raise UnsupportedCheckpoint(f"{path} is a PyTorch file with the wrong suffix: rename it to {path.stem}.pt.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        reason = f"safetensors says: {error}"
        if head[8:9] != b"{":
            reason = "it does not start with a safetensors header"
        raise UnsupportedCheckpoint(
            f"{path} ({size:,} bytes) is damaged or incomplete ({reason}). Download it again."
        ) from error
    return _without_module_prefix(tensors), metadata


def _read_torch(path: Path, head: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    is_zip = head.startswith(_ZIP_MAGIC)
    if is_zip:
        _check_torch_archive(path)
    elif head.startswith(_LEGACY_TORCH_MAGIC):
        _check_legacy_pickles(path)
    else:
        raise UnsupportedCheckpoint(f"{path} is not a weight file: it is {_describe(path, head)}. {EXPECTED}")
    try:
        # The published files contain their training arguments, an argparse.Namespace; nothing else is allowed.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # malformed pickles raise arbitrary exceptions
        rejected_global = re.search(r"GLOBAL (\S+)", str(error))
        if rejected_global:
            raise UnsupportedCheckpoint(
                f"{path} is not safe to read: besides weights, it runs {rejected_global[1]}, which was blocked. "
                "Get the file from its author's page, or as .safetensors."
            ) from None
        raise UnsupportedCheckpoint(
            f"{path} is damaged or incomplete ({type(error).__name__} while reading it). Download it again."
        ) from error
    if not isinstance(content, dict):
        raise UnsupportedCheckpoint(f"{path} holds a {type(content).__name__}, not named tensors. {EXPECTED}")

    metadata = {"contents": ", ".join(key for key in content if isinstance(key, str))}
    if isinstance(content.get("args"), argparse.Namespace):
        plain = {
            name: value
            for name, value in vars(content["args"]).items()
            if isinstance(name, str) and isinstance(value, str | int | float | None)
        }
        metadata["args"] = json.dumps(plain)
    model = _tensors(content.get("gen"))
    parts = {part: _tensors(content.get(part.published_key)) for part in PARTS if part.published_key}
    if model:
        for part, tensors in parts.items():
            model |= part.bundled(tensors)
    else:
        candidates = (*parts.values(), _tensors(content), *(_tensors(value) for value in content.values()))
        model = next((tensors for tensors in candidates if tensors), {})
    _check_values_present(model, path)
    return model, metadata


def _check_torch_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # zipfile raises many types of errors for corrupted files
        raise UnsupportedCheckpoint(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or damaged: the table of contents at its end cannot "
            "be read. Download it again."
        ) from error
    names = [member.filename for member in members]
    if any(name.endswith("/constants.pkl") for name in names):
        raise UnsupportedCheckpoint(f"{path} is a TorchScript program, not a file of weights. {EXPECTED}")
    if not any(name.endswith("/data.pkl") for name in names):
        first_names = ", ".join(names[:3]) or "nothing"
        raise UnsupportedCheckpoint(
            f"{path} is a zip archive without PyTorch weights; it holds {first_names}. {EXPECTED}"
        )
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise UnsupportedCheckpoint(
                f"{path} was not written by torch.save: {member.filename} is compressed, {member.compress_size:,} "
                f"bytes that claim to become {member.file_size:,}. {EXPECTED}"
            )
        if member.filename.endswith(".pkl"):
            _check_pickle_size(path, member.file_size)


def _check_legacy_pickles(path: Path) -> None:
    """Read through the pickles at the start of a file in the older format, without building what they describe."""
    with path.open("rb") as file:
        try:
            for _ in range(_LEGACY_PICKLES):
                for _, _, position in pickletools.genops(file):
                    _check_pickle_size(path, position or 0)
        except UnsupportedCheckpoint:
            raise
        except Exception as error:  # malformed pickles raise arbitrary exceptions
            raise UnsupportedCheckpoint(
                f"{path} is damaged or incomplete ({type(error).__name__} while reading it). Download it again."
            ) from error


def _check_pickle_size(path: Path, size: int) -> None:
    if size > MAX_PICKLE_BYTES:
        raise UnsupportedCheckpoint(
            f"{path} describes its tensors in {size:,} bytes, and {MAX_PICKLE_BYTES:,} are enough for any model. "
            f"{EXPECTED}"
        )


def _check_values_present(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise UnsupportedCheckpoint for a tensor with more numbers than its storage holds: strides repeat a few."""
    for name, value in tensors.items():
        if value.layout != torch.strided or value.is_quantized:
            continue
        claimed, present = value.numel() * value.element_size(), value.untyped_storage().nbytes()
        if claimed > present:
            raise UnsupportedCheckpoint(
                f"{path} holds {present:,} bytes of {name} and claims {claimed:,}, which repeat them. {EXPECTED}"
            )


def _describe(path: Path, head: bytes) -> str:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # incremental: the head may end within a character
    except UnicodeDecodeError:
        kind = file_kind(path)
        return f"{kind}, which could run any code and was not opened" if "pickle" in kind else kind
    return f"text that starts with {' '.join(text.split())[:40]!r}"


def _tensors(content: object) -> dict[str, Tensor]:
    """The named tensors directly in a dictionary; empty for anything else."""
    if not isinstance(content, Mapping):
        return {}
    named = {
        name: value.detach()
        for name, value in content.items()
        # A meta tensor has a shape but no values.
        if isinstance(name, str) and isinstance(value, Tensor) and not value.is_meta
    }
    return _without_module_prefix(named)


def _without_module_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "module."
    if all(name.startswith(prefix) for name in tensors):
        return {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors
