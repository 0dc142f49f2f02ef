"""Fetch the published files from Hugging Face: resumable, cancellable, and checked against what came before."""

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
"""In a folder of downloaded files: file name -> sha256, size and source of the file first used there."""

ANSWER_TIMEOUT = 12.0
"""Seconds within which a host must answer, its name look-up and all its addresses included."""

MAX_RESUMPTIONS = 20
"""How often a transfer that breaks off, but gets on each time, is taken up again."""

Result = TypeVar("Result")


def download(
    name: str,
    folder: str | Path | None = None,
    *,
    progress: Progress | None = None,
    repository: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Fetch a published file, such as "EDTalk.pt", unless it is there already. Returns its path in `folder`.

    `folder`: None is `models_folder()`. `progress` is called with the bytes done and in all, first with what an earlier
    attempt left. It cancels by raising; the part that was fetched stays and is resumed next time. `repository`
    ("owner/name") and `endpoint` (a URL) replace the published repositories, which $EDTALK_HUB_REPO does too, and the
    Hugging Face host, which $HF_ENDPOINT does too.

    The SHA-256 of the file is checked against the one that the host announces, and recorded; a later download that
    brings another file is refused until that record is removed.

    Raises DownloadError, naming the file, every source tried and the folder to put it in by hand; ArgumentError for a
    name that was not published or a repository that is not of the form owner/name.
    """
    if name not in FILES:
        raise ArgumentError(f"{name!r} is not a published file; those are {', '.join(FILES)}.")
    folder = Path(folder) if folder is not None else models_folder()
    target = folder / name
    sources = [(repo, path + name) for repo in repositories(repository) for path in FOLDERS]
    recorded = read_record(folder).get(name)
    if target.exists():
        if recorded and file_sha256(target) != recorded["sha256"]:
            raise DownloadError(
                f"{target} is not the file that was first used here (from {recorded['source']}). Delete it to fetch it "
                f"again, or delete its entry in {folder / RECORD} to keep it."
            )
        return target

    partials = folder / ".partial"
    try:
        partials.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{name} cannot be put into {folder} ({error.strerror}); choose a folder with EDTALK_HOME."
        ) from error
    with _only_download(partials / f"{name}.lock", name):
        tried = []
        for repo, path in sources:
            try:
                partial, found = _fetch(repo, path, partials, recorded, endpoint, progress)
            except _SourceError as failure:
                tried.append(f"{repo}/{path}: {failure}")
                if failure.unreachable:  # All sources are on the same host.
                    break
                continue
            partial.replace(target)
            _write_record(folder, name, found)
            return target
    untried = [f"{repo}/{path}" for repo, path in sources[len(tried) :]]
    if untried:
        tried.append(f"not tried, being on the same host: {', '.join(untried)}")
    raise DownloadError(
        f"{name} could not be downloaded. Put it into {folder} by hand, or name another source with EDTALK_HUB_REPO "
        f"or HF_ENDPOINT. Tried at {_host(endpoint)}: {'; '.join(tried)}."
    )


def check_hash(checkpoint: Checkpoint) -> None:
    """Warn when a published file is not the one first used in its folder; in the models folder, record the first one.

    Files by other names and in folders without a record are left alone.
    """
    folder, name = checkpoint.path.parent, checkpoint.path.name
    if name not in FILES:
        return
    recorded = read_record(folder).get(name)
    if recorded is None:
        if folder.resolve() == models_folder().resolve():
            size = checkpoint.path.stat().st_size
            _write_record(folder, name, {"sha256": checkpoint.sha256, "size": size, "source": "put there by hand"})
    elif recorded["sha256"] != checkpoint.sha256:
        logger.warning(
            "%s is not the file that was first used here (from %s). If that is not intended, delete it and download "
            "it again; if it is, delete its entry in %s.",
            checkpoint.path,
            recorded["source"],
            folder / RECORD,
        )


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """What was first used in a folder: file name -> {"sha256", "size", "source"}. Empty without a readable record."""
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


def _write_record(folder: Path, name: str, found: dict[str, Any]) -> None:
    record = read_record(folder) | {name: found}
    try:
        with atomic_write(folder / RECORD) as partial:
            partial.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    except OSError as error:  # a read-only models folder is no reason not to use what is in it
        logger.warning("The SHA-256 of %s could not be recorded in %s (%s).", name, folder, error.strerror)


class _SourceError(Exception):
    """A source that did not give the file; the message is the reason."""

    def __init__(self, reason: str, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


@dataclass(frozen=True)
class _Offer:
    """What a source says about the file before it is fetched."""

    url: str
    etag: str
    size: int
    source: str

    @property
    def sha256(self) -> str | None:
        """Large files have their SHA-256 as ETag; others a git hash, which says nothing about the bytes alone."""
        return self.etag if re.fullmatch(r"[0-9a-f]{64}", self.etag) else None


def _fetch(
    repo: str,
    path: str,
    partials: Path,
    recorded: dict[str, Any] | None,
    endpoint: str | None,
    progress: Progress | None,
) -> tuple[Path, dict[str, Any]]:
    """Fetch the file from one source, resuming: its path among the partial files, and what to record about it."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    offer = _ask(repo, path, endpoint)
    other = "holds another file than the one first used here; to accept it, delete its entry in " + RECORD
    if recorded and offer.sha256 not in (None, recorded["sha256"]):
        raise _SourceError(other)
    name = path.rpartition("/")[2]
    # The ETag is part of the name, so that only a part of the very same file is resumed.
    partial = partials / f"{name}.{re.sub('[^0-9A-Za-z]', '', offer.etag)[:16]}"
    for stale in partials.glob(f"{name}.*"):
        if stale != partial and stale.suffix != ".lock":
            stale.unlink()
    missing = offer.size - (partial.stat().st_size if partial.exists() else 0)
    free = shutil.disk_usage(partials).free
    if free < missing:
        raise DownloadError(
            f"{name} needs {missing / 1e6:,.0f} MB and {partials.parent} has {free / 1e6:,.0f} MB free; "
            "make room or choose another folder with EDTALK_HOME."
        )
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    for _ in range(MAX_RESUMPTIONS):
        with _Partial(partial, offer.size, progress) as file:
            done = file.tell()
            if done > offer.size:  # from a server that sent everything when asked for the rest
                file.seek(0)
                done = file.truncate()
            file.report()
            if done == offer.size:
                break
            try:
                with _no_progress_bars():
                    http_get(offer.url, file, resume_size=done, headers=headers, expected_size=offer.size)
            except Exception as error:
                if file.stopped is not None:  # The caller cancelled, or the disk failed: not this source's fault.
                    raise file.stopped from None
                if file.tell() == done:
                    raise _failed(error) from error
                logger.info("%s: the connection broke (%s); resuming", name, type(error).__name__)
    else:
        raise _SourceError(f"the connection broke {MAX_RESUMPTIONS} times; try again to resume")
    size, sha256 = partial.stat().st_size, file_sha256(partial)
    if size != offer.size or sha256 != (offer.sha256 or sha256):
        partial.unlink()
        raise _SourceError(f"what arrived ({size:,} bytes) is not what was announced ({offer.size:,} bytes)")
    if recorded and sha256 != recorded["sha256"]:
        partial.unlink()
        raise _SourceError(other)
    return partial, {"sha256": sha256, "size": size, "source": offer.source}


def _ask(repo: str, path: str, endpoint: str | None) -> _Offer:
    """Ask a repository for the file's size, hash and commit."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        url = hf_hub_url(repo, path, endpoint=endpoint)
        found = _in_time(lambda: get_hf_file_metadata(url, timeout=ANSWER_TIMEOUT))
        if not found.commit_hash or not found.etag or found.size is None:
            raise _SourceError("the answer is not that of a Hugging Face host (a proxy or log-in page, perhaps)")
        # Pinned to the commit that answered, so that size and hash still hold when the file is fetched.
        pinned = hf_hub_url(repo, path, revision=found.commit_hash, endpoint=endpoint)
    except _SourceError:
        raise
    except Exception as error:  # Network libraries raise what they like, and change it between versions.
        raise _failed(error) from error
    return _Offer(pinned, found.etag, found.size, f"{repo}/{path} at {found.commit_hash}")


def _in_time(call: Callable[[], Result]) -> Result:
    """The result of `call`, given up after ANSWER_TIMEOUT: a network library's limit holds for each address anew."""
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(ANSWER_TIMEOUT)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {ANSWER_TIMEOUT:g} s")
    return results[0]


def _failed(error: Exception) -> _SourceError:
    """An error of huggingface_hub or the network below it, as the reason why a source failed."""
    from huggingface_hub import utils

    if isinstance(error, utils.OfflineModeIsEnabled):
        return _SourceError("downloads are switched off (HF_HUB_OFFLINE)", unreachable=True)
    if isinstance(error, utils.GatedRepoError):
        return _SourceError("access must be asked for on its page, then `hf auth login`")
    if isinstance(error, utils.EntryNotFoundError):
        return _SourceError("no such file")
    if isinstance(error, utils.RepositoryNotFoundError):
        return _SourceError("no such repository, or a private one")
    if isinstance(error, utils.HfHubHTTPError):
        status = getattr(error.response, "status_code", None)
        return _SourceError(f"the host answered with status {status}")
    if isinstance(error, utils.HFValidationError):
        return _SourceError("not a valid repository name")
    first_line = str(error).strip().partition("\n")[0]
    return _SourceError(f"{type(error).__name__} {first_line[:200]}".rstrip(" ."), unreachable=True)


class _Partial(io.BufferedWriter):
    """A file that is appended to and reports every chunk. Keeps what made a write fail, which is not the network."""

    def __init__(self, path: Path, total: int, progress: Progress | None) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self.path, self.total, self.progress = path, total, progress
        self.stopped: BaseException | None = None

    def report(self) -> None:
        if self.progress is not None:
            self.progress(min(self.tell(), self.total), self.total)

    def write(self, chunk: Any) -> int:
        try:
            written = super().write(chunk)
            self.flush()
        except OSError as error:
            self.stopped = DownloadError(f"{self.path} could not be written: {error.strerror}.")
            raise
        try:
            self.report()
        except BaseException as error:
            self.stopped = error
            raise
        return written


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Our caller draws the progress; huggingface_hub would draw its own on top."""
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
def _only_download(lock: Path, name: str) -> Iterator[None]:
    """Hold the lock file: two processes that append to one partial file would spoil it."""
    from filelock import FileLock, Timeout

    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise DownloadError(f"Another process is downloading {name} into {lock.parent.parent}; wait for it.") from None
    try:
        yield
    finally:
        held.release()


def _host(endpoint: str | None) -> str:
    from huggingface_hub import constants

    return endpoint or constants.ENDPOINT
