"""The run targets' programs: started as Bazel starts them, and what they print."""

import base64
import json
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference

from tests.registry import servers
from tests.registry.images import (
    expected_archive,
    image_contents,
    make_bento,
    make_image,
    make_index,
    make_recipe,
    pulled_archive,
    run,
)
from tests.registry.stand_in import Registry


@pytest.fixture
def image(tmp_path):
    """An image as a rule hands it over: the folder, and what is in it."""
    directory = tmp_path / "runfiles"
    made = make_image(directory)
    (directory / "contents.json").write_text(json.dumps({"image": image_contents(directory, made)}))
    return directory, made


@pytest.fixture
def pushes(reference, home, image):
    """Push an image whose largest layer is a recipe."""
    directory, made = image
    document = json.loads((directory / "contents.json").read_text())
    make_recipe(directory, document["image"]["blobs"][0])
    (directory / "contents.json").write_text(json.dumps(document))
    flags = ["--directory", directory, "--contents", "contents.json", "--repository", reference.name, "--tag", "v1"]
    return directory, made, lambda **how: run("push", *flags, home=home, **how)


def test_a_wrong_wheel_is_an_error_and_nothing_of_the_layer_is_sent(server, reference, pushes):
    directory, made, push = pushes
    wheel = bytearray((directory / "a.whl").read_bytes())
    wheel[100] ^= 1
    (directory / "a.whl").write_bytes(wheel)
    done = push(code=1)
    largest = made.root.layers()[0].digest
    assert f"a.whl: the layer assembled from the wheel doesn't match the digest {largest}" in done.stderr
    assert servers.get(server, f"/v2/{reference.repository}/manifests/v1")[0] == 404
    assert servers.get(server, f"/v2/{reference.repository}/blobs/{largest}")[0] == 404
    server.assert_sound()


def test_an_image_of_a_rule_is_pushed(server, reference, home, image):
    directory, made = image
    (directory / "status").write_text("STABLE_COMMIT abc123\nBUILD_USER me\n")
    flags = [
        *("--directory", directory, "--contents", "contents.json", "--target", "//:push", "--tag"),
        "v1-{STABLE_COMMIT}",
    ]
    flags += ["--status", "status", "--repository", reference.name]
    done = run("push", *flags, "--", "--tag", "mine", home=home)
    assert done.stdout == f"{reference.name}@{made.root.descriptor.digest}\n"
    assert "4 of 4 blobs sent" in done.stderr
    listed = json.loads(servers.get(server, f"/v2/{reference.repository}/tags/list")[1])["tags"]
    assert sorted(listed) == ["mine", "v1-abc123"]


def test_several_images_are_pushed_together(registry_binary, home, tmp_path):
    directory, count, shared = tmp_path / "runfiles", 5, 120_000
    with servers.serve(registry_binary, tmp_path / "registry") as server:
        pushes = []
        for number in range(count):
            made = make_image(directory, [shared, 1_000 + number])
            (directory / f"{number}").mkdir()
            contents = directory / f"{number}.contents.json"
            contents.write_text(json.dumps({"image": image_contents(directory, made, f"{number}/")}))
            pushes.append(["--contents", contents.name, "--repository", f"{server.host}/t/s{number}", "--tag", "v1"])
        (directory / "pushes.json").write_text(json.dumps({"pushes": pushes}))
        flags = ["--directory", directory, "--pushes", "pushes.json", "--target", "//:push_all"]
        done = run("push", *flags, "--", "--tag", "v2", home=home)
        assert [line.partition("@")[0] for line in done.stdout.splitlines()] == [
            f"{server.host}/t/s{number}" for number in range(count)
        ]
        assert f"pushed 5 images: {1 + 2 * count} of {3 * count} blobs sent" in done.stderr
        assert f"{count - 1} mounted, 0 exist already" in done.stderr
        for number in range(count):
            for tag in ("v1", "v2"):
                assert servers.get(server, f"/v2/t/s{number}/manifests/{tag}")[0] == 200
        again = run("push", *flags, home=home)
        assert f"0 of {3 * count} blobs sent" in again.stderr
        refused = run("push", *flags, "--", "--repository", f"{server.host}/t/one", home=home, code=1)
        assert refused.stderr == (
            "//:push_all: --repository: can't push multiple images to one repository. Set repository on each "
            "bento_push, or run each bento_push separately.\n"
        )


def test_the_caller_may_name_another_repository(server, reference, home, image):
    directory, made = image
    flags = ["--directory", directory, "--contents", "contents.json", "--repository", "registry.invalid/x"]
    run("push", *flags, "--", "--repository", reference.name, "--tag", "v1", home=home)
    assert servers.get(server, f"/v2/{reference.repository}/manifests/v1") == (200, made.root.content)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "//:push: repository: required"),
        (["--repository", "team/Upper", "--tag", "v1"], "//:push: 'team/Upper'"),
        (["--repository", "registry.invalid/x", "--tag", "{STABLE_X}"], "//:push: tag: '{STABLE_X}' uses {STABLE_X}, but the build isn't stamped"),
        (["--repository", "registry.invalid/x", "--tag", "a/b"], "invalid tag"),
        (["--repository", "registry.invalid/x", "--jobs", "\u00b2"], "--jobs: expected a positive integer, got '\u00b2'"),
        (["--repository", "registry.invalid/x", "--jobs", "0"], "--jobs: expected a positive integer, got '0'"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named_with_the_target(home, image, flags, said):
    directory, _ = image
    done = run(
        "push",
        "--target",
        "//:push",
        "--directory",
        directory,
        "--contents",
        "contents.json",
        *flags,
        home=home,
        code=1,
    )
    assert said in done.stderr


def index_contents(directory: Path):
    """An index as a rule hands it over, in `contents.json` of the folder."""
    index = make_index(directory)
    images = []
    for number, child in enumerate(index.children):
        (directory / f"{number}.json").write_bytes(child.content)
        blobs = [{"path": layer.digest[7:], "digest": layer.digest} for layer in child.layers()]
        images.append({"manifest": f"{number}.json", "config": child.config.digest[7:], "blobs": blobs})
    (directory / "index.json").write_bytes(index.root.content)
    (directory / "contents.json").write_text(json.dumps({"index": {"manifest": "index.json", "images": images}}))
    return index


def test_an_index_of_a_rule_is_pushed_with_a_sbom(server, reference, home, tmp_path):
    directory = tmp_path / "runfiles"
    index = index_contents(directory)
    (directory / "sbom.json").write_text("{}")
    flags = ["--directory", directory, "--contents", "contents.json", "--repository", reference.name, "--tag", "multi"]
    run("push", *flags, "--attach", "application/vnd.cyclonedx+json", "sbom.json", home=home)
    assert servers.get(server, f"/v2/{reference.repository}/manifests/multi") == (200, index.root.content)
    tag = index.root.descriptor.digest.replace(":", "-")
    listed = json.loads(servers.get(server, f"/v2/{reference.repository}/manifests/{tag}")[1])["manifests"]
    assert [entry["artifactType"] for entry in listed] == ["application/vnd.cyclonedx+json"]


def test_of_an_index_the_platforms_that_exist_are_pulled(server, reference, home, tmp_path):
    directory = tmp_path / "runfiles"
    index = index_contents(directory)
    flags = ["--directory", directory, "--contents", "contents.json", "--repository", reference.name]
    run("push", *flags, home=home)
    pull = ["--image", f"{reference.name}@{index.root.descriptor.digest}", "--shallow", "--platform", "linux/s390x"]
    refused = run("pull", *pull, "--platform", "linux/arm64", "--layout", tmp_path / "strict", home=home, code=1)
    assert "no image for linux/s390x. Valid platforms: linux/amd64, linux/arm64." in refused.stderr
    run("pull", *pull, "--lenient", "--layout", tmp_path / "none", home=home, code=1)
    run("pull", *pull, "--platform", "linux/arm64", "--lenient", "--layout", tmp_path / "layout", home=home)
    _, arm64 = index.children
    blobs = {path.name for path in (tmp_path / "layout/blobs/sha256").iterdir()}
    wanted = [index.root.descriptor.digest, arm64.descriptor.digest, arm64.config.digest]
    assert blobs == {digest.partition(":")[2] for digest in wanted}


def test_a_base_that_is_elsewhere_is_mounted_or_streamed(server, second_server, reference, home, image):
    directory, made = image
    flags = ["--directory", directory, "--contents", "contents.json"]
    run("push", *flags, "--repository", f"{reference.name}/base", home=home)
    document = image_contents(directory, made)
    base = document["blobs"][0]
    document["blobs"][0] = {"description": base["description"], "from": f"{reference.name}/base"}
    (directory / "shallow.json").write_text(json.dumps({"image": document}))
    (directory / base["path"]).unlink()
    flags = ["--directory", directory, "--contents", "shallow.json", "--tag", "v1"]
    flags += ["--repository", f"{reference.name}/app"]
    done = run("push", *flags, "--repository", f"{second_server.host}/{reference.repository}", home=home)
    first, second = [line for line in done.stderr.splitlines() if line.startswith("pushed")]
    assert "0 of 4 blobs sent (0.0 MB), 4 mounted" in first
    assert "4 of 4 blobs sent" in second
    second_server.assert_sound()


def test_a_bento_of_a_rule_is_pushed(reference, registries, home, tmp_path):
    directory = tmp_path / "runfiles"
    text, parts, models = make_bento(directory)
    (directory / "bento.yaml").write_bytes(text)
    (directory / "digest").write_text("blake3:x\n")
    listed = []
    for model, part in models:
        name = part.source.path.name
        (directory / f"{name}.json").write_text(model.dumps())
        listed.append({"description": f"{name}.json", "part": name})
    names = [part.source.path.name for part in parts]
    bento = {"bento_yaml": "bento.yaml", "digest": "digest", "parts": names, "models": listed}
    (directory / "contents.json").write_text(json.dumps({"bento": bento}))
    flags = ["--directory", directory, "--contents", "contents.json", "--repository", reference.name, "--tag", "v1"]
    run("push", *flags, home=home)
    pulled = pulled_archive(registries.repository(reference), "v1", tmp_path)
    assert pulled == expected_archive(tmp_path, parts, models)


def test_an_image_is_pulled_into_a_layout_and_pushed_from_there(server, reference, home, image, tmp_path):
    directory, made = image
    flags = ["--directory", directory, "--contents", "contents.json", "--repository", reference.name]
    run("push", *flags, home=home)
    pinned = f"{reference.name}@{made.root.descriptor.digest}"
    down = f"127.0.0.1:{servers.free_port()}/x"
    done = run("pull", "--image", pinned, "--mirror", down, "--layout", tmp_path / "layout", home=home)
    assert done.stdout == f"{made.root.descriptor.digest}\n"
    run("push", "--layout", tmp_path / "layout", "--repository", f"{reference.name}/again", "--tag", "v1", home=home)
    assert servers.get(server, f"/v2/{reference.repository}/again/manifests/v1") == (200, made.root.content)


def test_secrets_are_in_no_output(registry_binary, home, image, tmp_path):
    directory, _ = image
    with servers.serve(registry_binary, tmp_path / "secured", htpasswd=True) as secured:
        auth = base64.b64encode(f"{servers.USER}:{servers.PASSWORD}".encode()).decode()
        (home / ".docker").mkdir()
        (home / ".docker/config.json").write_text(json.dumps({"auths": {secured.host: {"auth": auth}}}))
        flags = ["--directory", directory, "--contents", "contents.json", "--tag", "v1", "--repository"]
        good = run("push", *flags, f"{secured.host}/a", home=home)
        (home / ".docker/config.json").write_text(json.dumps({"auths": {secured.host: {"auth": auth[:-4] + "AAAA"}}}))
        bad = run("push", *flags, f"{secured.host}/b", home=home, code=1)
    for text in (good.stdout, good.stderr, bad.stdout, bad.stderr):
        assert servers.PASSWORD not in text
        assert auth not in text
    assert "docker login" in bad.stderr


@pytest.mark.parametrize("refused", ["subject", "application/vnd.cyclonedx+json"])
def test_a_registry_that_rejects_the_sbom_has_the_image(home, image, refused):
    directory, made = image
    (directory / "sbom.json").write_text("{}")
    registry = Registry()
    registry.refused[refused] = 400
    with registry.serve() as port:
        flags = ["--directory", directory, "--contents", "contents.json", "--repository", f"127.0.0.1:{port}/x"]
        flags += ["--tag", "v1", "--attach", "application/vnd.cyclonedx+json", "sbom.json"]
        done = run("push", *flags, home=home, code=1)
        assert registry.manifests["/v2/x/manifests/v1"] == made.root.content
        assert f"127.0.0.1:{port}/x@{made.root.descriptor.digest}\n" == done.stdout
        assert "The image was pushed, but an artifact that refers to it, such as the SBOM, is missing: " in done.stderr
        registry.manifests.clear()
        run("push", *flags, "--", "--no-referrers", home=home)
    assert list(registry.manifests) == ["/v2/x/manifests/v1"]


BENTO_TYPE = "application/vnd.rules-bento.bento.v1"


@pytest.mark.parametrize(
    ("media_type", "status", "message"),
    [
        (BENTO_TYPE, 415, f"The registry doesn't support artifacts of the type {BENTO_TYPE}."),
        (BENTO_TYPE, 403, f"Check that the registry accepts artifacts of the type {BENTO_TYPE}, and that"),
        (oci.MANIFEST, 415, "returned 415. The registry doesn't support application/vnd.oci.image.manifest.v1\\+json. Use"),
    ],
)  # fmt: skip
def test_a_registry_that_rejects_a_type_is_named(registries, progress, tmp_path, image, media_type, status, message):
    text, parts, models = make_bento(tmp_path)
    rejected = artifact.pack_bento(text, "", parts, models) if media_type == BENTO_TYPE else image[1]
    registry = Registry()
    registry.refused[media_type] = status
    with registry.serve() as port, pytest.raises(BentoError, match=message):
        push(rejected, [Reference.parse(f"127.0.0.1:{port}/x:v1")], registries, progress)
