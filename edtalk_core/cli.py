"""The `edtalk` command: parsing, one-line errors, exit codes. The subcommands are in `commands/`.

Exit codes: 0 success, 1 an error in an input, a file or the system, 2 an error in the command line, 130 cancelled with
Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import NoReturn, TextIO

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
    args = build_parser().parse_args(argv)
    prepare_process()
    with _messages(args.debug), redirect_stdout(_CleanOutput(sys.stdout)):
        try:
            args.run(args)
        except KeyboardInterrupt:
            return _fail("cancelled", 130, args.debug)
        except Cancelled as error:
            return _fail(str(error) or "cancelled", 130, args.debug)
        except ArgumentError as error:
            return _fail(str(error), 2, args.debug)
        except (EDTalkError, OSError) as error:
            return _fail(str(error), 1, args.debug)
        except MemoryError:
            return _fail("there is not enough memory for this input and these settings", 1, args.debug)
        except Exception as error:
            return _fail(f"{type(error).__name__}: {error} (--debug shows where; please report it)", 1, args.debug)
    return _finish_output(args)


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


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        logger.error("%s", message, exc_info=True)
    else:
        print(_error_line(message), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
