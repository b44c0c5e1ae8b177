"""Tests texts of BUILD files, the labels of absent package hubs, and variables for pip."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")
load("//private/repositories:absent.bzl", "mentioned_labels")
load("//private/repositories:fetch.bzl", "pip_variables")
load("//private/repositories:wheel.bzl", "wheel_build_text")

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

def _pip_variables_impl(ctx):
    env = unittest.begin(ctx)
    for variables, expected in [
        ({"UV_DEFAULT_INDEX": "corp=https://me:p%40ss@host/simple", "UV_INDEX_URL": "https://other"}, "https://me:p%40ss@host/simple"),
        ({"UV_DEFAULT_INDEX": "", "UV_INDEX_URL": "https://host/?a=b"}, "https://host/?a=b"),
        ({"PIP_INDEX_URL": "https://host"}, None),
    ]:
        asserts.equals(env, expected, pip_variables(variables).get("PIP_INDEX_URL"))
    return unittest.end(env)

pip_variables_test = unittest.make(_pip_variables_impl)
