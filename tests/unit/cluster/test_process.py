import sys

import pytest

from feedplane_cluster.errors import CommandError, NotReadyError
from feedplane_cluster.process import pipe, run, succeeds, wait_until


def test_run_returns_standard_output() -> None:
    assert run("sh", "-c", "echo out; echo err >&2") == "out\n"


def test_failed_program_is_told_with_its_words() -> None:
    with pytest.raises(CommandError, match=r"(?s)ended with 3.*no such thing") as caught:
        run("sh", "-c", "echo no such thing >&2; exit 3")
    assert caught.value.code == 3


def test_absent_program_is_an_error_of_ours() -> None:
    with pytest.raises(CommandError) as caught:
        run("feedplane-no-such-program")
    assert caught.value.code == 127
    assert not succeeds("feedplane-no-such-program")


def test_run_gives_text_to_standard_input() -> None:
    assert run(sys.executable, "-c", "print(input()[::-1])", stdin="abc\n") == "cba\n"


def test_pipe_joins_two_programs() -> None:
    assert pipe(("echo", "abc"), ("tr", "a-c", "x-z")) == "xyz\n"


def test_pipe_fails_with_its_source() -> None:
    with pytest.raises(CommandError) as caught:
        pipe(("sh", "-c", "exit 4"), ("cat",))
    assert caught.value.code == 4


def test_condition_that_never_holds_is_told_with_detail() -> None:
    with pytest.raises(NotReadyError, match=r"(?s)the door open.*it is locked"):
        wait_until(lambda: False, "the door open", seconds=0, detail=lambda: "it is locked")
