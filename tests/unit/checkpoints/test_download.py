"""Downloads with the real client, from a local server that implements the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from edtalk_core.checkpoints import load_model
from edtalk_core.checkpoints.catalogue import FILES, LICENSE, MODELS, models_folder, published_files, repositories
from edtalk_core.checkpoints.download import RECORD, RESPONSE_TIMEOUT, download, read_record
from edtalk_core.errors import ArgumentError, Cancelled, DownloadError
from edtalk_core.model import EDTalk
from edtalk_core.networks.audio_to_lip import AudioToLip
from edtalk_core.networks.sizes import ModelSizes

COMMIT = "0123456789abcdef0123456789abcdef01234567"
AUTHOR, README = "tanshuai0219/EDTalk", "tanhshuai0219/EDTalk"


class Hub(ThreadingHTTPServer):
    """Repositories with large files, as the hub serves them: a redirect to a store, which serves ranges."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.cut_after: int | None = None
        self.ranges_work = True
        self.garble = False
        self.status: int | None = None
        self.requests: list[str] = []
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address) -> None:
        # Clients disconnect when a download is cancelled.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args) -> None:
        pass

    def answer(self, status: int, **headers: str | int) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": 0, **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_HEAD(self) -> None:
        match = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([\w.]+)/(.+)", self.path)
        assert match, self.path
        repo, revision, name = match.groups()
        self.server.requests.append(f"{self.command} {repo}/{name}@{revision}")
        if self.server.status:
            return self.answer(self.server.status)
        if repo in self.server.gated:
            return self.answer(403, X_Error_Code="GatedRepo")
        if repo not in self.server.repositories:
            return self.answer(401, X_Error_Code="RepoNotFound")
        data = self.server.repositories[repo].get(name)
        if data is None:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        sha256 = hashlib.sha256(data).hexdigest()
        return self.answer(
            302,
            Location=f"http://localhost:{self.server.server_port}/store/{repo}/{name}",  # another host, as the real one
            X_Repo_Commit=COMMIT,
            X_Linked_Etag=f'"{sha256}"',
            X_Linked_Size=len(data),
            ETag='"pointer"',
        )

    def do_GET(self) -> None:
        if not self.path.startswith("/store/"):
            return self.do_HEAD()
        owner, repo, name = self.path.removeprefix("/store/").split("/", 2)
        data = self.server.repositories[f"{owner}/{repo}"][name]
        range_header = self.headers.get("Range")
        self.server.ranges.append(range_header)
        start, status, headers = 0, 200, {}
        if range_header and self.server.ranges_work:
            start = int(re.fullmatch(r"bytes=(\d+)-", range_header)[1])
            status, headers = 206, {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        body = data[start:]
        if self.server.garble:
            body = bytes(len(body))
        self.answer(status, Content_Length=len(body), ETag='"store"', **headers)
        if self.server.cut_after is not None and len(body) > self.server.cut_after:
            self.wfile.write(body[: self.server.cut_after])
            self.server.cut_after = None
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        self.wfile.write(body)
        return None


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def large() -> bytes:
    """Larger than two of the client's chunks of 10 MB, so that there is something to resume."""
    return os.urandom(1 << 20) * 25


class Progress:
    """Records the calls; cancels after `stop` bytes."""

    def __init__(self, stop: float = float("inf")) -> None:
        self.calls: list[tuple[int, int | None]] = []
        self.stop = stop

    def __call__(self, done: int, total: int | None) -> None:
        self.calls.append((done, total))
        if done >= self.stop:
            raise Cancelled("enough")


def partials(folder: Path) -> list[Path]:
    return [path for path in (folder / ".partial").iterdir() if path.suffix != ".lock"]


def test_file_arrives_with_progress_and_a_record(hub: Hub, tmp_path: Path, large: bytes) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": large}
    progress = Progress()
    path = download("EDTalk.pt", tmp_path / "here", endpoint=hub.url, progress=progress)

    assert path == tmp_path / "here" / "EDTalk.pt"
    assert path.read_bytes() == large
    done = [d for d, _ in progress.calls]
    assert done[0] == 0
    assert done[-1] == len(large)
    assert done == sorted(done)
    assert len(done) >= 4
    assert {total for _, total in progress.calls} == {len(large)}
    assert not partials(path.parent)
    record = json.loads((path.parent / RECORD).read_text())["EDTalk.pt"]
    assert record["sha256"] == hashlib.sha256(large).hexdigest()
    assert record["size"] == len(large)
    assert record["source"] == f"{AUTHOR}/ckpts/EDTalk.pt at {COMMIT}"
    # The bytes are fetched from the very commit whose size and hash were announced.
    assert hub.requests == [f"HEAD {AUTHOR}/ckpts/EDTalk.pt@main", f"GET {AUTHOR}/ckpts/EDTalk.pt@{COMMIT}"]


def test_file_on_disk_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": b"weights"}
    first = download("EDTalk.pt", endpoint=hub.url)
    hub.requests.clear()
    assert download("EDTalk.pt", endpoint=hub.url) == first == models_folder() / "EDTalk.pt"
    assert hub.requests == []


def test_cancelled_download_is_resumed(hub: Hub, tmp_path: Path, large: bytes) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": large}
    with pytest.raises(Cancelled, match="enough"):
        download("EDTalk.pt", endpoint=hub.url, progress=Progress(stop=1))
    (partial,) = partials(models_folder())
    partial_size = partial.stat().st_size
    assert 0 < partial_size < len(large)
    assert not (models_folder() / "EDTalk.pt").exists()

    progress = Progress()
    path = download("EDTalk.pt", endpoint=hub.url, progress=progress)
    assert path.read_bytes() == large
    assert hub.ranges == [None, f"bytes={partial_size}-"]
    assert progress.calls[0] == (partial_size, len(large))
    assert not partials(models_folder())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConnectionError, ValueError])
def test_exceptions_of_the_progress_callback_propagate(hub: Hub, error: type[BaseException], large: bytes) -> None:
    hub.repositories[AUTHOR] = hub.repositories[README] = {"ckpts/EDTalk.pt": large}

    def progress(done: int, total: int | None) -> None:
        if done:
            raise error("stop")

    with pytest.raises(error, match="stop"):
        download("EDTalk.pt", endpoint=hub.url, progress=progress)
    assert len(hub.ranges) == 1


def test_partial_file_of_another_version_is_not_resumed(hub: Hub, large: bytes) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": large}
    with pytest.raises(Cancelled):
        download("EDTalk.pt", endpoint=hub.url, progress=Progress(stop=1))
    changed = large[::-1]
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": changed}
    assert download("EDTalk.pt", endpoint=hub.url).read_bytes() == changed
    assert hub.ranges == [None, None]
    assert not partials(models_folder())


def test_complete_partial_file_is_used_without_a_request(hub: Hub, large: bytes) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": large}
    with pytest.raises(Cancelled):
        download("EDTalk.pt", endpoint=hub.url, progress=Progress(stop=len(large)))
    assert download("EDTalk.pt", endpoint=hub.url).read_bytes() == large
    assert hub.ranges == [None]


def test_broken_connection_is_resumed(hub: Hub, large: bytes) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": large}
    hub.cut_after = 15 << 20
    assert download("EDTalk.pt", endpoint=hub.url).read_bytes() == large
    assert len(hub.ranges) == 2
    assert hub.ranges[1].startswith("bytes=")


def test_server_without_ranges_still_gives_the_file(hub: Hub, large: bytes) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": large}
    with pytest.raises(Cancelled):
        download("EDTalk.pt", endpoint=hub.url, progress=Progress(stop=1))
    hub.ranges_work = False
    assert download("EDTalk.pt", endpoint=hub.url).read_bytes() == large


def test_garbled_download_is_discarded(hub: Hub) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": os.urandom(1000)}
    hub.garble = True
    with pytest.raises(DownloadError, match="not the announced file"):
        download("EDTalk.pt", endpoint=hub.url)
    assert not (models_folder() / "EDTalk.pt").exists()
    assert not partials(models_folder())


@pytest.mark.parametrize(
    ("repository", "path"),
    [(AUTHOR, "ckpts/Audio2Lip.pt"), (AUTHOR, "Audio2Lip.pt"), (README, "ckpts/Audio2Lip.pt")],
    ids=["author's ckpts folder", "author's root", "the README's spelling"],
)
def test_every_published_place_is_tried(hub: Hub, repository: str, path: str) -> None:
    hub.repositories[repository] = {path: b"weights"}
    assert download("Audio2Lip.pt", endpoint=hub.url).read_bytes() == b"weights"
    assert read_record(models_folder())["Audio2Lip.pt"]["source"].startswith(f"{repository}/{path} at")


def test_repository_from_argument_before_environment(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories |= {"one/mirror": {"EDTalk.pt": b"1"}, "other/mirror": {"EDTalk.pt": b"2"}}
    monkeypatch.setenv("EDTALK_HUB_REPO", "one/mirror")
    assert download("EDTalk.pt", "a", endpoint=hub.url).read_bytes() == b"1"
    assert download("EDTalk.pt", "b", endpoint=hub.url, repository="other/mirror").read_bytes() == b"2"
    assert repositories() == ("one/mirror",)


def test_failure_names_file_folder_and_every_source_with_its_reason(hub: Hub, tmp_path: Path) -> None:
    hub.repositories[README] = {}
    with pytest.raises(DownloadError) as caught:
        download("EDTalk.pt", tmp_path / "here", endpoint=hub.url)
    message = str(caught.value)
    assert message.startswith("EDTalk.pt could not be downloaded")
    for part in (str(tmp_path / "here"), hub.url, "EDTALK_HUB_REPO", "HF_ENDPOINT"):
        assert part in message
    assert f"{AUTHOR}/ckpts/EDTalk.pt: no such repository" in message
    assert f"{AUTHOR}/EDTalk.pt: no such repository" in message
    assert f"{README}/ckpts/EDTalk.pt: no such file" in message
    assert f"{README}/EDTalk.pt: no such file" in message
    assert "\n" not in message


@pytest.mark.parametrize(("status", "word"), [(403, "403"), (404, "404"), (500, "500"), (503, "503")])
def test_http_status_is_the_reason(hub: Hub, status: int, word: str) -> None:
    hub.status = status
    with pytest.raises(DownloadError, match=word):
        download("EDTalk.pt", endpoint=hub.url)


def test_gated_repository_is_explained(hub: Hub) -> None:
    hub.gated = {AUTHOR, README}
    with pytest.raises(DownloadError, match="access must be requested"):
        download("EDTalk.pt", endpoint=hub.url)


def test_host_that_is_not_a_hub_is_explained(hub: Hub) -> None:
    hub.status = 200
    with pytest.raises(DownloadError, match="not that of a Hugging Face host"):
        download("EDTalk.pt", endpoint=hub.url)


def test_unreachable_host_is_tried_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(DownloadError) as caught:
            download("EDTalk.pt", endpoint=endpoint)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert f"{AUTHOR}/ckpts/EDTalk.pt: Connect" in message
    assert f"not tried, being on the same host: {AUTHOR}/EDTalk.pt, {README}/ckpts/EDTalk.pt" in message
    assert str(models_folder()) in message


def test_silent_host_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RESPONSE_TIMEOUT <= 15
    monkeypatch.setattr(sys.modules["edtalk_core.checkpoints.download"], "RESPONSE_TIMEOUT", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(DownloadError, match=r"no response within 0\.3 s|imeout"):
            download("EDTalk.pt", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - start < 5


def test_download_brings_another_file_than_first_used(hub: Hub) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": b"first"}
    path = download("EDTalk.pt", endpoint=hub.url)
    path.unlink()
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": b"second"}
    with pytest.raises(DownloadError, match=f"another file than the one first used.*{RECORD}"):
        download("EDTalk.pt", endpoint=hub.url)
    assert hub.ranges == [None]
    (models_folder() / RECORD).unlink()
    assert download("EDTalk.pt", endpoint=hub.url).read_bytes() == b"second"


def test_other_source_with_the_file_first_used_is_preferred(hub: Hub) -> None:
    hub.repositories = {AUTHOR: {"ckpts/EDTalk.pt": b"first"}, README: {"ckpts/EDTalk.pt": b"first"}}
    path = download("EDTalk.pt", endpoint=hub.url)
    path.unlink()
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": b"second"}
    assert download("EDTalk.pt", endpoint=hub.url).read_bytes() == b"first"


def test_file_on_disk_that_changed_is_reported(hub: Hub) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": b"first"}
    path = download("EDTalk.pt", endpoint=hub.url)
    path.write_bytes(b"spoilt")
    with pytest.raises(DownloadError, match="not the file that was first used"):
        download("EDTalk.pt", endpoint=hub.url)


def test_two_downloads_of_one_file_at_once_are_refused(hub: Hub, large: bytes) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": large}
    refused = []

    def progress(done: int, total: int | None) -> None:
        if not refused:
            with pytest.raises(DownloadError, match="Another process"):
                download("EDTalk.pt", endpoint=hub.url)
            refused.append(True)

    assert download("EDTalk.pt", endpoint=hub.url, progress=progress).read_bytes() == large
    assert refused


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"name": "EDTalk2.pt"}, "not a published file"),
        ({"name": "edtalk"}, "not a published file"),
        ({"name": "EDTalk.pt", "repository": "nobody"}, "owner/name"),
        ({"name": "EDTalk.pt", "repository": "https://huggingface.co/a/b"}, "owner/name"),
    ],
    ids=["unknown file", "a model's name", "repository without owner", "repository as URL"],
)
def test_bad_arguments(arguments: dict[str, str], word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        download(**arguments)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="EDTALK_HOME"):
        download("EDTalk.pt", tmp_path / "file" / "models", endpoint="http://127.0.0.1:9")


def test_disk_without_room(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[AUTHOR] = {"ckpts/EDTalk.pt": b"weights"}
    usage = type("Usage", (), {"free": 3})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="make room"):
        download("EDTalk.pt", endpoint=hub.url)


@pytest.mark.parametrize("text", ["not json", "[]", '{"EDTalk.pt": 3}', '{"EDTalk.pt": {}}'])
def test_unreadable_record_is_ignored_with_a_warning(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / RECORD).write_text(text)
    assert read_record(tmp_path) == {}
    assert "cannot be read" in caplog.text


# ---------------------------------------------------------------- names and folders


def test_catalogue_lists_the_published_files(manifest: dict[str, dict]) -> None:
    assert set(FILES) == set(manifest)
    assert {name for files in MODELS.values() for name in files} == set(manifest)
    assert "not cleared for commercial use" in LICENSE


def test_published_files_by_model_or_file_name() -> None:
    assert published_files("edtalk") == ("EDTalk.pt", "Audio2Lip.pt")
    assert published_files("Audio2Lip.pt") == ("Audio2Lip.pt",)
    with pytest.raises(ArgumentError, match="edtalk_lip_pose"):
        published_files("edtalk3")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"HOME": "/home/me"}, "/home/me/.cache/edtalk"),
        ("linux", {"XDG_CACHE_HOME": "/fast"}, "/fast/edtalk"),
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Caches/edtalk"),
        ("win32", {"LOCALAPPDATA": "/AppData/Local"}, "/AppData/Local/edtalk"),
        ("linux", {"EDTALK_HOME": "/models", "XDG_CACHE_HOME": "/fast"}, "/models"),
    ],
    ids=["linux", "XDG", "mac", "windows", "EDTALK_HOME"],
)
def test_models_folder(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("EDTALK_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert models_folder().as_posix() == expected


# ---------------------------------------------------------------- load_model and the hub


def torch_file_content(tmp_path: Path, **tensors: dict[str, torch.Tensor]) -> bytes:
    path = tmp_path / "content.pt"
    torch.save(tensors, path)
    return path.read_bytes()


@pytest.fixture
def small_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub whose EDTalk is tiny, configured like a mirror."""
    sizes = ModelSizes(resolution=16, style=40, channels={4: 4, 8: 4, 16: 4}, expression_hidden=4)
    hub.repositories["mine/mirror"] = {
        "ckpts/EDTalk.pt": torch_file_content(tmp_path, gen=EDTalk(sizes).state_dict()),
        "ckpts/Audio2Lip.pt": torch_file_content(tmp_path, audio2lip=AudioToLip(20, (2,) * 13).state_dict()),
    }
    monkeypatch.setenv("EDTALK_HUB_REPO", "mine/mirror")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    for module in ("constants", "file_download"):
        if hasattr(sys.modules[f"huggingface_hub.{module}"], "HUGGINGFACE_CO_URL_TEMPLATE"):
            monkeypatch.setattr(f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE", template)
    return hub


def test_load_model_downloads_missing_files_once(small_hub: Hub) -> None:
    progress = Progress()
    model = load_model("edtalk", progress=progress)
    assert model.sizes.resolution == 16
    assert model.audio_to_lip is not None
    assert progress.calls
    assert {path.name for path in models_folder().glob("*.pt")} == {"EDTalk.pt", "Audio2Lip.pt"}
    small_hub.requests.clear()
    load_model("edtalk")
    assert small_hub.requests == []


def test_load_model_records_a_file_copied_by_hand(small_hub: Hub) -> None:
    models_folder().mkdir()
    data = small_hub.repositories["mine/mirror"]["ckpts/EDTalk.pt"]
    (models_folder() / "EDTalk.pt").write_bytes(data)
    load_model("EDTalk.pt")
    assert small_hub.requests == []
    record = read_record(models_folder())["EDTalk.pt"]
    assert record["sha256"] == hashlib.sha256(data).hexdigest()
    assert "by hand" in record["source"]


def test_load_model_warns_when_a_file_changed(small_hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_model("EDTalk.pt")
    sizes = ModelSizes(resolution=16, style=40, channels={4: 4, 8: 4, 16: 4}, expression_hidden=4)
    torch.save({"gen": EDTalk(sizes).state_dict()}, models_folder() / "EDTalk.pt")
    with caplog.at_level(logging.WARNING, logger="edtalk"):
        load_model("EDTalk.pt")
    assert "not the file that was first used" in caplog.text
    assert RECORD in caplog.text


def test_load_model_prefers_the_working_directory(small_hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "EDTalk.pt").write_bytes(small_hub.repositories["mine/mirror"]["ckpts/EDTalk.pt"])
    load_model("EDTalk.pt")
    assert small_hub.requests == []
    assert not (tmp_path / RECORD).exists()
    assert not models_folder().exists()


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a fresh process: huggingface_hub reads its environment when it is imported."""
    variables = os.environ | environment
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=60)


def test_mirror_by_environment_and_no_network_at_import(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["mine/mirror"] = {"Audio2Lip.pt": b"weights"}
    code = (
        "import sys, edtalk_core.checkpoints, edtalk_core.checkpoints.download as _\n"
        "assert 'huggingface_hub' not in sys.modules\n"
        "from edtalk_core.checkpoints.download import download\n"
        "print(download('Audio2Lip.pt'))"
    )
    home = tmp_path / "home"
    done = run(code, HF_ENDPOINT=hub.url, EDTALK_HUB_REPO="mine/mirror", EDTALK_HOME=str(home))
    assert done.stderr == ""
    assert done.stdout.strip() == str(home / "Audio2Lip.pt")
    assert (home / "Audio2Lip.pt").read_bytes() == b"weights"


def test_offline_mode_is_the_reason(hub: Hub) -> None:
    code = "from edtalk_core.checkpoints.download import download; download('Audio2Lip.pt')"
    done = run(code, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert "DownloadError" in done.stderr
    assert "HF_HUB_OFFLINE" in done.stderr
    assert hub.requests == []
