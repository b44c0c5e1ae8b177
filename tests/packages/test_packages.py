"""What built Bentos require: of a lock, and of libraries over a hub of rules_python."""

import re
import tarfile

from tests.conftest import built


def requirements(name, file):
    with tarfile.open(built(f"tests/packages/{name}.bento"), "r:xz") as archive:
        [path] = [path for path in archive.getnames() if path.endswith(f"env/python/{file}")]
        return archive.extractfile(path).read().decode()


def test_packages_of_another_hub_are_among_the_roots():
    assert "pathspec" in requirements("with_lock", "requirements.in").splitlines()
    for file in ("requirements.in", "requirements.txt", "requirements.lock.txt"):
        assert requirements("with_lock", file) == requirements("with_pip_tools", file), "the resolvers select the same"
    assert re.search(r"(?m)^pathspec==1\.1\.1 ", requirements("with_lock", "requirements.lock.txt"))


def test_without_a_lock_they_are_required_at_their_versions():
    declared = requirements("without_lock", "requirements.txt").splitlines()
    assert "bentoml==1.4.39" in declared
    assert "pathspec==1.1.1" in declared
