"""The `edtalk` command: parsing, one-line errors, exit codes. The subcommands are in `commands/`.

Exit codes: 0 success, 1 an error in an input, a file or the system, 2 an error in the command line, 130 cancelled with
Ctrl-C, 143 and 129 ended by SIGTERM and SIGHUP.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Any, NoReturn, TextIO

from .commands import COMMANDS
from .errors import ArgumentError, Cancelled, EDTalkError
from .process import prepare_process
from .version import __version__
from .wording import cleaned

logger = logging.getLogger("edtalk")


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors take one line and point to `--help`."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        self.exit(2, f"{_error_line(message)} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command, every subcommand included."""
    parser = OneLineParser(
        prog="edtalk", description="Talking heads whose motion is data: animate a portrait from speech or video."
    )
    parser.add_argument("--version", action="version", version=f"edtalk {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f".commands.{name}", __package__)
        module.add_parser(subparsers)
    for subparser in subparsers.choices.values():
        subparser.add_argument("--debug", action="store_true", help="log what happens and show tracebacks")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: that of the process) and return its exit code."""
    with _signals_as_exceptions() as arrived:
        try:
            args = build_parser().parse_args(argv)
            prepare_process()
            with _messages(args.debug):
                code = _run(args, arrived)
            return code or _finish_output(args)
        except KeyboardInterrupt as error:
            return _fail(*_explained(error))


def _run(args: argparse.Namespace, arrived: Sequence[_Ended]) -> int:
    """Run a command and return its exit code."""
    try:
        with redirect_stdout(_CleanOutput(sys.stdout)):
            args.run(args)
    except (Exception, KeyboardInterrupt) as error:
        # Some libraries turn an exception of a signal that arrives within them into one of their own.
        return _fail(*_explained(arrived[0] if arrived else error), args.debug)
    return 0


def _explained(error: BaseException) -> tuple[str, int]:
    """Return the sentence and the exit code for an exception."""
    if isinstance(error, _Ended) and error.signal != signal.SIGINT:
        return f"ended by {error.signal.name}", 128 + error.signal
    if isinstance(error, (KeyboardInterrupt, Cancelled)):
        return str(error) or "cancelled", 130
    if isinstance(error, ArgumentError):
        return str(error), 2
    if isinstance(error, (EDTalkError, OSError)):
        return str(error), 1
    if isinstance(error, MemoryError):
        return "there is not enough memory for this input and these settings", 1
    return f"{type(error).__name__}: {error} (--debug shows where; please report it)", 1


class _Ended(KeyboardInterrupt):
    """A signal that ends the process, as an exception that is handled as that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


@contextmanager
def _signals_as_exceptions() -> Iterator[list[_Ended]]:
    """Raise _Ended where SIGINT, SIGTERM or SIGHUP arrives, so that files that are incomplete are removed or named.

    A signal that is ignored, as by nohup, stays so, and one that the host of this function handles is its own. Python
    drops an exception in a callback, such as a finalizer: then the signal is sent again. Yields the list of those that
    arrived.
    """
    arrived: list[_Ended] = []

    def end(number: int, frame: FrameType | None) -> None:
        arrived.append(_Ended(number))
        raise arrived[-1]

    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only there can handlers be set
        numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]  # Windows has no SIGHUP
        current = {number: signal.getsignal(number) for number in numbers if number is not None}
        defaults = (signal.SIG_DFL, signal.default_int_handler)
        handlers = {number: handler for number, handler in current.items() if handler in defaults}
    report = sys.unraisablehook

    def send_again(dropped: sys.UnraisableHookArgs) -> None:
        if isinstance(dropped.exc_value, _Ended):
            # From a thread, which the exception does not meet.
            threading.Timer(0.01, signal.raise_signal, [dropped.exc_value.signal]).start()
        else:
            report(dropped)

    for number in handlers:
        signal.signal(number, end)
    sys.unraisablehook = send_again
    try:
        yield arrived
    finally:
        sys.unraisablehook = report
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _CleanOutput:
    """Standard output that takes any text: it is cleaned, shown in whatever encoding, or lost if there is no output."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text cleaned, with what the encoding lacks as backslash escapes."""
        if self._stream is not None:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(cleaned(text).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if self._stream is not None:
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()


def _finish_output(args: argparse.Namespace) -> int:
    """Flush standard output and return the exit code: a result in a file is not denied because nobody reads of it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # So that the interpreter does not try again at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        has_file = getattr(args, "output", None) or getattr(args, "out", None) or "portrait" in args or "source" in args
        if not has_file:
            return _fail(f"the result cannot be printed: {error.strerror or error}", 1, args.debug)
        logger.warning("the result is written, but cannot be printed: %s", error.strerror or error)
    return 0


@contextmanager
def _messages(debug: bool) -> Iterator[None]:
    """Print this library's warnings to standard error, and hide those of other libraries unless `debug` is set."""
    handler = logging.StreamHandler()
    handler.setFormatter(_CleanFormatter("edtalk: {levelname}: {message}", style="{"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)


class _CleanFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return cleaned(super().format(record))


def _error_line(message: str) -> str:
    return cleaned(f"edtalk: error: {' '.join(message.split())}")


def _fail(message: str, code: int, debug: bool = False) -> int:
    if debug:
        logger.error("%s", message, exc_info=True)
    else:
        print(_error_line(message), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
