"""Words that fit a number."""

from edtalk_core.wording import counted


def test_one_is_singular_and_all_others_plural():
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
