"""Download of the published files from Hugging Face: resumable, cancellable, verified by SHA-256."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..atomic import atomic_write
from ..errors import ArgumentError, DownloadError
from ..progress import Progress
from .catalogue import FILES, FOLDERS, models_folder, repositories
from .reading import Checkpoint, file_sha256

logger = logging.getLogger("edtalk")

RECORD = "edtalk_files.json"
"""Record in a folder of downloaded files: file name -> sha256, size and source of the file first used there."""

RESPONSE_TIMEOUT = 12.0
"""Seconds until a host must respond, including DNS look-up and connection attempts to all its addresses."""

MAX_ATTEMPTS = 20
"""Maximum number of attempts at a transfer that is interrupted, but makes progress each time."""

Result = TypeVar("Result")


def download(
    name: str,
    folder: str | Path | None = None,
    *,
    progress: Progress | None = None,
    repository: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Download a published file, such as "EDTalk.pt", unless it exists. Returns its path in `folder`.

    `folder`: None is `models_folder()`. `progress` is called with the downloaded and total bytes, starting from those
    of an earlier attempt. It cancels by raising; the partial file remains and is resumed next time. `repository`
    ("owner/name", also $EDTALK_HUB_REPO) replaces the published repositories, `endpoint` (a URL, also $HF_ENDPOINT) the
    Hugging Face host.

    The SHA-256 of the file is checked against the one announced by the host, and recorded; a later download of a
    different file is refused until the record is removed.

    Raises DownloadError, with the file, all sources tried and the folder for a manual download; ArgumentError for a
    file that was not published, or a repository that is not of the form owner/name.
    """
    if name not in FILES:
        raise ArgumentError(f"{name!r} is not a published file; available are {', '.join(FILES)}.")
    folder = Path(folder) if folder is not None else models_folder()
    target = folder / name
    sources = [(repo, path + name) for repo in repositories(repository) for path in FOLDERS]
    recorded = read_record(folder).get(name)
    if target.exists():
        if recorded and file_sha256(target) != recorded["sha256"]:
            raise DownloadError(
                f"{target} is not the file that was first used here (from {recorded['source']}). Delete it to download "
                f"it again, or delete its entry in {folder / RECORD} to keep it."
            )
        return target

    partials = folder / ".partial"
    try:
        partials.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{name} cannot be written to {folder} ({error.strerror}); choose another folder with EDTALK_HOME."
        ) from error
    with _download_lock(partials / f"{name}.lock", name):
        attempts = []
        for repo, path in sources:
            try:
                partial, entry = _fetch(repo, path, partials, recorded, endpoint, progress)
            except _SourceError as failure:
                attempts.append(f"{repo}/{path}: {failure}")
                if failure.unreachable:  # all sources are on the same host
                    break
                continue
            partial.replace(target)
            _write_record(folder, name, entry)
            return target
    untried = [f"{repo}/{path}" for repo, path in sources[len(attempts) :]]
    if untried:
        attempts.append(f"not tried, being on the same host: {', '.join(untried)}")
    raise DownloadError(
        f"{name} could not be downloaded. Put it into {folder} by hand, or set another source with EDTALK_HUB_REPO "
        f"or HF_ENDPOINT. Tried at {_host(endpoint)}: {'; '.join(attempts)}."
    )


def check_hash(checkpoint: Checkpoint) -> None:
    """Warn when a published file differs from the one first used in its folder; in the models folder, record new ones.

    Files with other names, and in folders without a record, are ignored.
    """
    folder, name = checkpoint.path.parent, checkpoint.path.name
    if name not in FILES:
        return
    recorded = read_record(folder).get(name)
    if recorded is None:
        if folder.resolve() == models_folder().resolve():
            size = checkpoint.path.stat().st_size
            _write_record(folder, name, {"sha256": checkpoint.sha256, "size": size, "source": "copied by hand"})
    elif recorded["sha256"] != checkpoint.sha256:
        logger.warning(
            "%s is not the file that was first used here (from %s). If that is not intended, delete it and download "
            "it again; if it is, delete its entry in %s.",
            checkpoint.path,
            recorded["source"],
            folder / RECORD,
        )


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the record of a folder: file name -> {"sha256", "size", "source"}. Empty without a readable record."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        return {
            str(name): {"source": "an unknown source", **entry} for name, entry in record.items() if entry["sha256"]
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        logger.warning("%s cannot be read (%s) and is ignored.", folder / RECORD, error)
        return {}


def _write_record(folder: Path, name: str, entry: dict[str, Any]) -> None:
    record = read_record(folder) | {name: entry}
    try:
        with atomic_write(folder / RECORD) as partial:
            partial.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    except OSError as error:  # the files of a read-only models folder can still be used
        logger.warning("The SHA-256 of %s could not be recorded in %s (%s).", name, folder, error.strerror)


class _SourceError(Exception):
    """A failed download from one source; the message is the reason."""

    def __init__(self, reason: str, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


@dataclass(frozen=True)
class _RemoteFile:
    """Metadata of a file at a source."""

    url: str
    etag: str
    size: int
    source: str

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the file if known: the ETag of large files; that of others is a git hash."""
        return self.etag if re.fullmatch(r"[0-9a-f]{64}", self.etag) else None


def _fetch(
    repo: str,
    path: str,
    partials: Path,
    recorded: dict[str, Any] | None,
    endpoint: str | None,
    progress: Progress | None,
) -> tuple[Path, dict[str, Any]]:
    """Download a file from one source, resuming: its path among the partial files, and its entry for the record."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    remote = _fetch_metadata(repo, path, endpoint)
    mismatch = "has another file than the one first used here; to accept it, delete its entry in " + RECORD
    if recorded and remote.sha256 not in (None, recorded["sha256"]):
        raise _SourceError(mismatch)
    name = path.rpartition("/")[2]
    # The ETag is part of the name, so that only a partial download of the same version is resumed.
    partial = partials / f"{name}.{re.sub('[^0-9A-Za-z]', '', remote.etag)[:16]}"
    for stale in partials.glob(f"{name}.*"):
        if stale != partial and stale.suffix != ".lock":
            stale.unlink()
    missing = remote.size - (partial.stat().st_size if partial.exists() else 0)
    free = shutil.disk_usage(partials).free
    if free < missing:
        raise DownloadError(
            f"{name} needs {missing / 1e6:,.0f} MB and {partials.parent} has {free / 1e6:,.0f} MB free; "
            "make room or choose another folder with EDTALK_HOME."
        )
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    for _ in range(MAX_ATTEMPTS):
        with _Partial(partial, remote.size, progress) as file:
            done = file.tell()
            if done > remote.size:  # the server ignored the range and sent the entire file
                file.seek(0)
                done = file.truncate()
            file.report()
            if done == remote.size:
                break
            try:
                with _no_progress_bars():
                    http_get(remote.url, file, resume_size=done, headers=headers, expected_size=remote.size)
            except Exception as error:
                if file.local_error is not None:  # cancellation or a disk error: not a failure of the source
                    raise file.local_error from None
                if file.tell() == done:
                    raise _source_error(error) from error
                logger.info("%s: the connection broke (%s); resuming", name, type(error).__name__)
    else:
        raise _SourceError(f"the connection broke {MAX_ATTEMPTS} times; try again to resume")
    size, sha256 = partial.stat().st_size, file_sha256(partial)
    if size != remote.size or sha256 != (remote.sha256 or sha256):
        partial.unlink()
        raise _SourceError(f"the download ({size:,} bytes) is not the announced file ({remote.size:,} bytes)")
    if recorded and sha256 != recorded["sha256"]:
        partial.unlink()
        raise _SourceError(mismatch)
    return partial, {"sha256": sha256, "size": size, "source": remote.source}


def _fetch_metadata(repo: str, path: str, endpoint: str | None) -> _RemoteFile:
    """Fetch size, hash and commit of a file in a repository."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        url = hf_hub_url(repo, path, endpoint=endpoint)
        metadata = _with_timeout(lambda: get_hf_file_metadata(url, timeout=RESPONSE_TIMEOUT))
        if not metadata.commit_hash or not metadata.etag or metadata.size is None:
            raise _SourceError("the response is not that of a Hugging Face host (a proxy or log-in page, perhaps)")
        # Pinned to the commit, so that size and hash are those of the file that is downloaded.
        pinned = hf_hub_url(repo, path, revision=metadata.commit_hash, endpoint=endpoint)
    except _SourceError:
        raise
    except Exception as error:  # the exception types of network libraries vary between versions
        raise _source_error(error) from error
    return _RemoteFile(pinned, metadata.etag, metadata.size, f"{repo}/{path} at {metadata.commit_hash}")


def _with_timeout(call: Callable[[], Result]) -> Result:
    """Result of `call`; TimeoutError after RESPONSE_TIMEOUT. (Timeouts of network libraries apply to each address.)"""
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(RESPONSE_TIMEOUT)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no response within {RESPONSE_TIMEOUT:g} s")
    return results[0]


def _source_error(error: Exception) -> _SourceError:
    """Translate an error of huggingface_hub or the network to the reason why a source failed."""
    from huggingface_hub import utils

    if isinstance(error, utils.OfflineModeIsEnabled):
        return _SourceError("downloads are switched off (HF_HUB_OFFLINE)", unreachable=True)
    if isinstance(error, utils.GatedRepoError):
        return _SourceError("access must be requested on its page, then `hf auth login`")
    if isinstance(error, utils.EntryNotFoundError):
        return _SourceError("no such file")
    if isinstance(error, utils.RepositoryNotFoundError):
        return _SourceError("no such repository, or a private one")
    if isinstance(error, utils.HfHubHTTPError):
        status = getattr(error.response, "status_code", None)
        return _SourceError(f"the host responded with status {status}")
    if isinstance(error, utils.HFValidationError):
        return _SourceError("not a valid repository name")
    first_line = str(error).strip().partition("\n")[0]
    return _SourceError(f"{type(error).__name__} {first_line[:200]}".rstrip(" ."), unreachable=True)


class _Partial(io.BufferedWriter):
    """Partial file, open for appending, that reports every chunk. `local_error` is not a failure of the source."""

    def __init__(self, path: Path, total: int, progress: Progress | None) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self.path, self.total, self.progress = path, total, progress
        self.local_error: BaseException | None = None

    def report(self) -> None:
        if self.progress is not None:
            self.progress(min(self.tell(), self.total), self.total)

    def write(self, chunk: Any) -> int:
        try:
            written = super().write(chunk)
            self.flush()
        except OSError as error:
            self.local_error = DownloadError(f"{self.path} could not be written: {error.strerror}.")
            raise
        try:
            self.report()
        except BaseException as error:
            self.local_error = error
            raise
        return written


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Disable the progress bars of huggingface_hub: the caller shows the progress."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _download_lock(lock: Path, name: str) -> Iterator[None]:
    """Hold the lock file: two processes that append to one partial file would corrupt it."""
    from filelock import FileLock, Timeout

    file_lock = FileLock(lock, timeout=0)
    try:
        file_lock.acquire()
    except Timeout:
        raise DownloadError(f"Another process is downloading {name} into {lock.parent.parent}; wait for it.") from None
    try:
        yield
    finally:
        file_lock.release()


def _host(endpoint: str | None) -> str:
    from huggingface_hub import constants

    return endpoint or constants.ENDPOINT
