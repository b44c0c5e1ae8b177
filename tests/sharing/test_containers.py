"""`bento containerize`: the same folder for all builders, and the words that BentoML gives them."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import yaml
from bento_cli.cli import status
from bento_cli.sharing import backends
from bento_cli.sharing.containers import containerize, context
from rules_bento.base.errors import BentoError

from tests.conftest import until
from tests.helpers.store_support import bento_files, bento_yaml, write_archive
from tests.sharing.support import CLF, own_home, started

__all__ = ["own_home"]

# A builder that tells how it was called and what it found; FAKE says what becomes of the run.
BUILDER = """\
#!/bin/sh
name="${0##*/}"
if [ "$1" = load ]; then
    [ "$FAKE" = full ] && { echo "no space left" >&2; exit 3; }
    cat > "$TALES/loaded"; echo "$name" > "$TALES/loader"; exit 0
fi
case "$*" in
"version --format {{json .Server.Version}}" | "buildx version")
    echo "$name $*" >> "$TALES/probes"
    [ "$FAKE" = sick ] && { echo "Cannot connect to the daemon" >&2; exit 1; }
    echo '"28.5.2"'; exit 0 ;;
esac
{
    for word in "$name" "$@"; do printf '%s\\n' "$word"; done
} > "$TALES/argv"
env > "$TALES/env"
pwd > "$TALES/cwd"
for last in "$@"; do
    case "$last" in context=*) last="${last#context=}"; break ;; esac
done
mkdir -p "$TALES/context"
cp -a "$last/." "$TALES/context/"
echo "$last" > "$TALES/place"
for word in "$@"; do
    case "$word" in id=*,src=*) cp "${word#*src=}" "$TALES/secret"; ls -ln "${word#*src=}" > "$TALES/mode" ;; esac
done
[ "$FAKE" = slow ] && { touch "$TALES/waiting"; exec sleep 600; }
[ "$FAKE" = bad ] && { echo "no such base" >&2; exit 7; }
[ "$FAKE" = full ] && { while true; do echo an image; done; }
echo an image
"""


@pytest.fixture
def tales(tmp_path, monkeypatch):
    """Where fake builders tell what they were told; all of them are installed."""
    directory, programs = tmp_path / "tales", tmp_path / "programs"
    directory.mkdir()
    programs.mkdir()
    for name in ("docker", "podman", "buildah", "nerdctl", "buildctl", "buildkitd", "sudo"):
        (programs / name).write_text(BUILDER)
        (programs / name).chmod(0o755)
    (programs / "sudo").write_text('#!/bin/sh\necho yes > "$TALES/sudo"\nexec "$@"\n')
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("TALES", str(directory))
    for name in ("FAKE", "DOCKER_BUILDKIT", "BENTOML_CONTAINERIZE_BACKEND", "BUILDKIT_HOST", "BUILDAH_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    return directory


def argv(tales):
    """What the builder was called with; C stands for the context."""
    place = (tales / "place").read_text().strip()
    return " ".join((tales / "argv").read_text().replace(place, "C").split("\n")[:-1])


# What BentoML 1.4.40 called these builders with (recorded, in another order); D is C/env/docker/Dockerfile.
RECORDED = {
    ("docker",): "docker build --tag hi:v2 --file D C",
    ("docker", "--", "--target", "x"): "docker build --target x --tag hi:v2 --file D C",
    (
        *("docker", "-t", "foo/bar:1", "-t", "foo/bar:2", "--label", "x=y", "--platform", "linux/amd64"),
        *("--progress", "plain", "--", "--build-arg", "A=B", "--no-cache"),
    ): "docker build --label x=y --platform linux/amd64 --progress plain --build-arg A=B --no-cache "
    "--tag foo/bar:1 --tag foo/bar:2 --file D C",
    ("buildx",): "docker buildx build --load --tag hi:v2 --file D C",
    ("buildx", "--push", "--platform", "linux/amd64,linux/arm64"): "docker buildx build --platform linux/amd64,linux/arm64 --push --tag hi:v2 --file D C",
    ("buildx", "--", "-o=x"): "docker buildx build -o=x --tag hi:v2 --file D C",
    ("podman",): "podman build --tag hi:v2 --file D C",
    ("buildah",): "buildah build --tag hi:v2 --file D C",
    ("nerdctl",): "nerdctl build --tag hi:v2 --file D C",
    ("buildctl",): "buildctl build --local context=C --local dockerfile=C/env/docker --frontend dockerfile.v0 --output type=docker,name=docker.io/hi:v2",
}  # fmt: skip


@pytest.mark.parametrize("given", RECORDED, ids=" ".join)
def test_builders_are_called_as_bentoml_calls_them(given, tales, bento):
    backend, *words = given
    out = bento("containerize", "hi", "--backend", backend, *words)
    assert argv(tales) == RECORDED[given].replace(" D ", " C/env/docker/Dockerfile ")
    assert f"with {backend}." in out
    variables = dict(line.split("=", 1) for line in (tales / "env").read_text().splitlines() if "=" in line)
    wanted = backends.BACKENDS[backend].variables
    assert wanted.items() <= variables.items()
    assert not Path((tales / "place").read_text().strip()).exists()


def test_what_differs_from_bentoml(tales, bento, tmp_path):
    """Each of these is in docs/cli.md."""
    words = ("--output", "type=docker,name=a,dest=x.tar", "--label", "x=y", "--platform", "p", "--cache-to", "c")
    bento("containerize", "hi", "--backend", "buildctl", *words, "--", "--no-cache", "--opt", "build-arg:A=B")
    expected = "--output type=docker,name=a,dest=x.tar --export-cache c --opt label:x=y --opt platform=p --no-cache"
    assert argv(tales).endswith(f"{expected} --opt build-arg:A=B")
    bento("containerize", "hi", "--backend", "buildctl", "-t", "a:1", "-t", "host.io/b:2", "-t", "localhost/c")
    assert '--output type=docker,"name=docker.io/a:1,host.io/b:2,localhost/c"' in argv(tales)
    assert (tales / "loaded").read_text() == "an image\n"
    (tales / "probes").unlink()
    bento("containerize", "hi", "--backend", "podman", "--progress", "plain")
    assert "--progress" not in argv(tales), "podman has none"
    assert (tales / "cwd").read_text().strip() == str(Path.cwd()), "so that relative paths are the caller's"
    assert not (tales / "probes").exists()
    bento("containerize", "hi", "--backend", "buildx")
    assert len((tales / "probes").read_text().splitlines()) == 2, "each probe once"


def listing(directory):
    """All that a builder could see of a folder."""
    found = {}
    for path in sorted(directory.rglob("*")):
        state = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.relative_to(directory).as_posix()] = (oct(state.st_mode), int(state.st_mtime), content)
    return found


def test_all_builders_get_the_same_bytes(tales, bento, store):
    seen = []
    for backend in backends.BACKENDS:
        bento("containerize", "hi", "--backend", backend)
        seen.append(listing(tales / "context"))
        (tales / "context").rename(tales / f"of-{backend}")
    assert all(found == seen[0] for found in seen)
    [found] = [seen[0]]
    assert {path.partition("/")[0] for path in found} == {
        "README.md", "bento.yaml", "env", "hf-models", "models", "src",
    }  # fmt: skip
    assert found["models/clf/v1/weights.bin"][2] == CLF["clf:v1"]["weights.bin"]
    assert found["models/clf/latest"][2] == b"v2"
    assert {mode for mode, _, _ in found.values()} == {"0o40755", "0o100644", "0o100755"}
    assert {time for _, time, _ in found.values()} == {315532800}


def test_the_directory_is_the_one_of_bentoml(real, tales, store, tmp_path, monkeypatch):
    """But for times, and for the Dockerfile, which it writes anew."""
    real.run("import", str(tmp_path / "v2.bento"))
    real.variables |= {"PATH": f"{tmp_path / 'programs'}:{real.variables['PATH']}", "TALES": str(tales)}
    real.run("containerize", "hi:v2")
    theirs = listing(tales / "context")
    (tales / "context").rename(tales / "theirs")
    containerize(store.home, store.bentos.get("hi:v2"), backends.choose("docker"))
    ours = listing(tales / "context")
    # BentoML writes descriptors in its own words, and forgets what is executable.
    own = ("Dockerfile", ".yaml")
    assert {path: data for path, (_, _, data) in ours.items() if not path.endswith(own)} == {
        path: data for path, (_, _, data) in theirs.items() if not path.endswith(own)
    }


def with_envs(store, tmp_path, dockerfile, *envs, tag="hx:v1"):
    files = bento_files(tag)
    document = yaml.safe_load(bento_yaml(tag)) | {"envs": list(envs)}
    files |= {"bento.yaml": yaml.safe_dump(document).encode(), "env/docker/Dockerfile": dockerfile}
    store.bentos.import_archive(write_archive(tmp_path / f"{tag[:2]}.bento", files))
    return tag


def test_a_link_in_the_place_of_a_directory_is_reported(tales, store, tmp_path, bento):
    tag = with_envs(store, tmp_path, b"FROM scratch\n")
    (store.bentos.get(tag).path / "hf-models").symlink_to("nothing")
    out = bento("containerize", tag, "--backend", "docker", "--no-verify", code=status.ERROR)
    assert "the Dockerfile requires a directory hf-models" in out


def test_variables_of_the_build_are_secrets(tales, bento, store, tmp_path, monkeypatch):
    tag = with_envs(
        store, tmp_path, b"FROM scratch\n", {"name": "TOKEN", "stage": "build"}, {"name": "X", "value": "1"}
    )
    containerize = ("containerize", tag, "--backend", "docker")
    assert "--secret id=TOKEN" in bento(*containerize, code=status.ERROR)
    assert "Set the variable" in bento(*containerize, "--secret", "id=TOKEN", code=status.ERROR)
    monkeypatch.setenv("TOKEN", "s3cret-77")
    out = bento(*containerize, "--secret", "id=a,src=b", "--secret", "id=TOKEN")
    words = argv(tales)
    assert "--secret id=a,src=b --secret id=TOKEN,src=/" in words
    assert "s3cret-77" not in words + out
    assert (tales / "secret").read_text() == "s3cret-77"
    assert (tales / "mode").read_text().startswith("-rw-------")
    assert "--secret" not in bento("containerize", "hi", "--backend", "docker")


def test_a_bento_gets_none_of_our_variables_that_was_not_asked_for(tales, bento, store, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret-77")
    wanted = {"name": "AWS_SECRET_ACCESS_KEY", "stage": "build"}
    tag = with_envs(store, tmp_path, b"FROM scratch\n", wanted)
    out = bento("containerize", tag, "--backend", "docker", code=status.ERROR)
    assert "AWS_SECRET_ACCESS_KEY: the variable is empty, but building the image" in out
    tag = with_envs(store, tmp_path, b"FROM scratch\n", wanted | {"value": "of the Bento"}, tag="hy:v1")
    bento("containerize", tag, "--backend", "docker")
    assert (tales / "secret").read_text() == "of the Bento"
    bento("containerize", tag, "--backend", "docker", "--secret", "id=AWS_SECRET_ACCESS_KEY,src=of-ours")
    assert argv(tales).count("AWS_SECRET_ACCESS_KEY") == 1, "where it is from is the user's to say"


@pytest.mark.parametrize("name", ["{victim}", "../../victim", "A,src=victim", "", "A\nB"])
def test_names_of_variables_are_no_paths(name, tales, bento, store, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    tag = with_envs(
        store,
        tmp_path,
        b"FROM scratch\n",
        {"name": name.format(victim=victim), "value": "of an attacker", "stage": "build"},
    )
    assert "invalid variable name" in bento("containerize", tag, "--backend", "docker", code=status.ERROR)
    assert victim.read_text() == "untouched"


def test_features_are_installed_before_the_user_changes(store, tmp_path):
    dockerfile = b'FROM a AS b\nUSER 0\nRUN x\nUSER 1034:1034\nENTRYPOINT ["e"]\n'
    entry = store.bentos.get(with_envs(store, tmp_path, dockerfile))
    with context(store.home, entry, ["grpc", "aws"]) as directory:
        lines = (directory / "env/docker/Dockerfile").read_text().splitlines()
    assert lines[2:4] == ["RUN x", 'RUN uv pip install "bentoml[grpc,aws]==1.4.40"']
    assert (entry.path / "env/docker/Dockerfile").read_bytes() == dockerfile, "the store is left alone"
    bare = store.bentos.get("hi:v1")
    with context(store.home, bare, ["grpc"]) as directory:
        assert (directory / "env/docker/Dockerfile").read_text().splitlines()[-1].startswith("RUN uv pip")


def test_root_is_requested(tales, bento):
    bento("containerize", "hi", "--backend", "podman", "--run-as-root")
    assert (tales / "sudo").exists()
    assert argv(tales).startswith("podman build")


def test_a_backend_is_found(tales, bento, monkeypatch, tmp_path):
    assert "Building with docker." in bento("containerize", "hi")
    (tmp_path / "programs/docker").unlink()
    assert "Building with podman." in bento("containerize", "hi")
    fields = bento("containerize", "hi", "--backend", "buildah", "-o", "json")
    assert json.loads(fields) == {"tag": "hi:v2", "backend": "buildah", "images": ["hi:v2"]}
    monkeypatch.setenv("BENTOML_CONTAINERIZE_BACKEND", "nerdctl")
    assert "with nerdctl" in bento("containerize", "hi")
    (tmp_path / "programs/buildkitd").unlink()
    assert "BUILDKIT_HOST" in bento("containerize", "hi", code=status.ERROR)
    monkeypatch.setenv("BUILDKIT_HOST", "tcp://there")
    bento("containerize", "hi")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend", "kaniko"], "--backend: invalid value 'kaniko'. Valid values: docker,"),
        (["--backend", "buildx", "--load", "--push"], "can't be combined"),
        (["--enable-features", "gprc"], "Did you mean 'grpc'"),
        (["--backend", "native", "--", "--no-cache"], "Write options of the native backend before `--`"),
        (["--backend", "buildctl", "--quiet"], "--quiet isn't supported by buildctl"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(words, message, tales, bento):
    assert message in bento("containerize", "hi", *words, code=status.ERROR)
    assert not (tales / "argv").exists()


def test_a_daemon_that_does_not_exist_is_reported(tales, bento, monkeypatch):
    monkeypatch.setenv("FAKE", "sick")
    out = bento("containerize", "hi", "--backend", "docker", code=status.ERROR)
    assert "--backend: can't use docker: `docker version" in out
    assert "Cannot connect to the daemon. Select an available backend: podman, buildah, nerdctl, buildctl" in out


def test_an_image_of_buildctl_goes_to_who_answers(tales, bento, monkeypatch):
    """A client of docker is on many machines whose daemon is not."""
    monkeypatch.setenv("FAKE", "sick")
    assert "To run the image: podman run" in bento("containerize", "hi", "--backend", "buildctl")
    assert (tales / "loader").read_text() == "podman\n"
    monkeypatch.setenv("FAKE", "full")
    out = bento("containerize", "hi", "--backend", "buildctl", code=status.ERROR)
    assert "`docker load` failed with status 3" in out, "the result contains no reason"


def test_a_failure_is_reported_and_leaves_nothing(tales, bento, monkeypatch):
    monkeypatch.setenv("FAKE", "bad")
    assert "`docker build` failed with status 7" in bento(
        "containerize", "hi", "--backend", "docker", code=status.ERROR
    )
    assert not Path((tales / "place").read_text().strip()).exists()
    assert "`buildctl build` failed with status 7" in bento(
        "containerize", "hi", "--backend", "buildctl", code=status.ERROR
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_ends_the_builder_and_leaves_nothing(number, tales, store):
    process = started("--home", store.home.root, "containerize", "hi", "--backend", "docker", FAKE="slow")
    until((tales / "waiting").exists)
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    assert (process.returncode, "interrupted" in err) == (status.INTERRUPTED, True)
    assert not Path((tales / "place").read_text().strip()).exists()


def test_a_dockerfile_that_needs_buildkit_is_not_built_without(tales, bento, store, tmp_path, monkeypatch):
    tag = with_envs(store, tmp_path, b"FROM scratch\nRUN --mount=type=cache,target=/c true\n")
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    assert "requires BuildKit" in bento("containerize", tag, "--backend", "docker", code=status.ERROR)
    bento("containerize", tag, "--backend", "podman")


def test_as_a_function(tales, store):
    done = store.containerize("hi:v1", backend="docker", names=["a:1"], options={"no-cache": True})
    assert (done.names, done.runner) == (("a:1",), "docker")
    assert argv(tales) == "docker build --no-cache --tag a:1 --file C/env/docker/Dockerfile C"
    with pytest.raises(BentoError):
        store.containerize("hi:v1", backend="nothing")


def test_a_build_containerizes_what_it_built(tales, bento, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("service.py").write_text("import bentoml\n\n@bentoml.service\nclass Svc: ...\n")
    out = bento("build", "--version", "v9", "--containerize")
    assert out.startswith("Built svc:v9.\nBuilt svc:v9 from Bento svc:v9 with docker.\n")
    assert argv(tales) == "docker build --tag svc:v9 --file C/env/docker/Dockerfile C"
