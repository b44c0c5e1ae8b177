"""Tests the attributes of the tag `bento.pypi`."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")
load("//private/repositories:absent.bzl", "mentioned_labels")
load("//private/repositories:hub_settings.bzl", "known_excludes", "known_record_mismatches")
load("//private/repositories:locks.bzl", "with_pages")
load("//private/repositories:wheel.bzl", "wheel_build_text")

_LOCK = {
    "packages": [
        {"files": {"acme_tools-1-cp311-cp311-linux_x86_64.whl": "aa", "acme_tools-1.tar.gz": "cc"}, "name": "acme-tools"},
        {"files": {"acme_tools-2-cp312-cp312-linux_x86_64.whl": "bb"}, "name": "acme-tools"},
    ],
}

def _problem(allow_record_mismatch):
    return known_record_mismatches(struct(name = "pypi", allow_record_mismatch = allow_record_mismatch), _LOCK).problem

def _record_mismatches_impl(ctx):
    env = unittest.begin(ctx)
    found = known_record_mismatches(struct(name = "pypi", allow_record_mismatch = {"Acme.Tools": ["sha256:aa", "sha256:bb"]}), _LOCK)
    asserts.equals(env, None, found.problem)
    asserts.equals(env, {"acme-tools": ["aa", "bb"]}, found.wheels)
    for allow_record_mismatch, words in [
        ({"acme": ["sha256:aa"]}, "has acme, which isn't in the lock"),
        ({"acme-tools": ["sha256:dd"]}, "no wheel of the package with this hash"),
        ({"acme-tools": ["sha256:cc"]}, "no wheel of the package with this hash"),
        ({"acme-tools": ["aa"]}, "no wheel of the package with this hash"),
        ({"acme-tools": []}, "without a hash"),
    ]:
        asserts.true(env, words in _problem(allow_record_mismatch), _problem(allow_record_mismatch))
    return unittest.end(env)

record_mismatches_test = unittest.make(_record_mismatches_impl)

def _excludes(exclude = {}, presets = [], names = ["acme-tools", "triton"]):
    tag = struct(exclude = exclude, exclude_presets = presets, name = "pypi", platforms = ["linux_amd64", "darwin_arm64"])
    return known_excludes(tag, {"packages": [{"files": {}, "name": name} for name in names]})

def _excludes_impl(ctx):
    env = unittest.begin(ctx)
    asserts.equals(env, (None, {}, {}), (_excludes().problem, _excludes().own, _excludes().preset))
    found = _excludes({"Acme.Tools": ["*.a"], "acme_tools@linux_amd64": ["tests/"]}, ["serving_torch"])
    asserts.equals(env, None, found.problem)
    asserts.equals(env, {("acme-tools", "linux_amd64"): ["*.a", "tests/"], ("acme-tools", "darwin_arm64"): ["*.a"]}, found.own)
    asserts.equals(env, ["*.a"], found.preset["triton"])
    for exclude, words in [
        ({"acme": ["*.a"]}, "exclude has acme, which isn't in the lock"),
        ({"acme-tools": []}, "without a pattern"),
        ({"acme-tools": ["*.a", " "]}, "with \" \", which isn't a pattern"),
        ({"acme-tools": ["# static"]}, "with \"# static\", which isn't a pattern"),
        ({"acme-tools@linux_arm64": ["*.a"]}, "but the package hub isn't for this platform. Valid values: linux_amd64, darwin_arm64."),
        ({"acme-tools@": ["*.a"]}, "but the package hub isn't for this platform"),
    ]:
        problem = _excludes(exclude).problem
        asserts.true(env, words in problem, problem)
    for presets, names, words in [
        (["serving"], ["triton"], "exclude_presets has \"serving\", which is unknown. Valid values: serving_torch."),
        (["serving_torch"], ["acme"], "but the lock contains no package of the preset (torch, triton). Remove the preset."),
    ]:
        problem = _excludes({}, presets, names).problem
        asserts.true(env, words in problem, problem)
    return unittest.end(env)

excludes_test = unittest.make(_excludes_impl)

def _metadata(package_metadata_bzl):
    attributes = dict(compilers = "", distribution = "acme", exclude = [], exclude_preset = [], package_metadata_bzl = package_metadata_bzl, version = "1!2.0+cpu")
    return wheel_build_text(struct(attr = struct(**attributes)), "{metadata}", "3.13")

def _package_metadata_impl(ctx):
    env = unittest.begin(ctx)
    asserts.equals(env, "[]", _metadata(None))
    text = _metadata(Label("//tests/toolchains:package_metadata.bzl"))
    asserts.true(env, "purl = \"pkg:pypi/acme@1%212.0%2Bcpu\"" in text, text)
    asserts.true(env, text.endswith("[\":metadata\"]"), text)
    return unittest.end(env)

package_metadata_test = unittest.make(_package_metadata_impl)

def _pages_impl(ctx):
    env = unittest.begin(ctx)
    tag = struct(
        explicit = {"Acme.Tools": "corp", "built": "corp", "local": "links"},
        indexes = ["corp=https://corp.example/simple/", "links=/srv/links", "https://other.example/simple"],
        name = "pypi",
    )
    packages = [{"name": "acme-tools"}, {"name": "numpy"}, {"name": "local"}, {"name": "built", "source": {"url": "https://a/b.whl"}}]
    found = with_pages({"packages": packages, "roots": []}, tag).lock
    asserts.equals(env, [{"name": "acme-tools", "page": "https://corp.example/simple/acme-tools/"}] + packages[1:], found["packages"])
    asserts.equals(env, [], found["roots"])
    return unittest.end(env)

pages_test = unittest.make(_pages_impl)

def _mentioned_labels_impl(ctx):
    env = unittest.begin(ctx)
    text = "requirements = [\"@pypi//Scikit-Learn\", \"@pypi//bentoml:io-image\"]\nuvicorn[standard]>=1\nacme.tools==1.0 --hash=sha256:" + 64 * "0"
    found = mentioned_labels(text, is_python = True)
    asserts.equals(env, ["io-image"], found["bentoml"].keys())
    asserts.equals(env, ["standard"], found["uvicorn"].keys())
    asserts.equals(env, {}, found["sha256"])
    asserts.true(env, "scikit_learn" in found and "acme_tools" in found, found)
    asserts.equals(env, ["libstdc++6"], mentioned_labels("[\"@debian//libstdc++6\", \"../x\", \"BUILD.bazel\"]", is_python = False).keys()[1:2])
    asserts.equals(env, {}, mentioned_labels(".. BUILD.bazel defs.bzl -e 1 " + 61 * "a", is_python = False))
    return unittest.end(env)

mentioned_labels_test = unittest.make(_mentioned_labels_impl)
