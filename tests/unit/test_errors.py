"""How errors are called where users see them, and that they travel between processes."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

from edtalk_core import errors
from edtalk_core.errors import EDTalkError, FaceError
from edtalk_core.face.framing import Framing

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EDTalkError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_called_by_the_name_of_the_project_and_survives_pickling(kind: type[EDTalkError]):
    assert kind.__module__ == "edtalk"
    again = pickle.loads(pickle.dumps(kind("What to do.")))
    assert type(again) is kind
    assert str(again) == "What to do."


def test_a_worker_process_hands_its_error_over_with_all_it_says():
    boxes = ((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as workers:
        error = workers.submit(Framing(face="only").choose, boxes, "the picture").exception()
    assert type(error) is FaceError
    assert str(error).startswith("There are 2 faces in the picture")
    assert error.boxes == boxes


class OfAnotherProgram(EDTalkError):
    """Some program's own kind."""


def test_kinds_of_other_programs_keep_their_own_name():
    again = pickle.loads(pickle.dumps(OfAnotherProgram("Its own.")))
    assert type(again) is OfAnotherProgram
    assert OfAnotherProgram.__module__ == __name__
