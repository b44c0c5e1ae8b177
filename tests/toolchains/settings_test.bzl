"""What a tag `bento.pypi` may say."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")

# buildifier: disable=bzl-visibility - it is under test
load("//toolchains/private:hub_settings.bzl", "known_record_errors")

_LOCK = {
    "packages": [
        {"files": {"acme_tools-1-cp311-cp311-linux_x86_64.whl": "aa", "acme_tools-1.tar.gz": "cc"}, "name": "acme-tools"},
        {"files": {"acme_tools-2-cp312-cp312-linux_x86_64.whl": "bb"}, "name": "acme-tools"},
    ],
}

def _problem(record_errors):
    return known_record_errors(struct(name = "pypi", record_errors = record_errors), _LOCK).problem

def _record_errors_impl(ctx):
    env = unittest.begin(ctx)
    found = known_record_errors(struct(name = "pypi", record_errors = {"Acme.Tools": ["sha256:aa", "sha256:bb"]}), _LOCK)
    asserts.equals(env, None, found.problem)
    asserts.equals(env, {"acme-tools": ["aa", "bb"]}, found.wheels)
    for record_errors, words in [
        ({"acme": ["sha256:aa"]}, "has acme, which is not in the lock"),
        ({"acme-tools": ["sha256:dd"]}, "no wheel of it with that hash"),
        ({"acme-tools": ["sha256:cc"]}, "no wheel of it with that hash"),
        ({"acme-tools": ["aa"]}, "no wheel of it with that hash"),
        ({"acme-tools": []}, "with no hash"),
    ]:
        asserts.true(env, words in _problem(record_errors), _problem(record_errors))
    return unittest.end(env)

record_errors_test = unittest.make(_record_errors_impl)
