"""What a test has of a Bento for another platform: it runs here, so it is built for here."""

import os


def test_data_is_of_the_machine_that_runs_the_test(bento):
    [data] = bento.path.rglob("machine.txt")
    assert data.read_text("utf-8").strip() == os.environ["MACHINE"]
