"""Tests bento_files.base with a layout for two platforms and an attestation."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//rules:providers.bzl", "BentoBaseInfo")

def _make(architecture):
    def _impl(ctx):
        env = analysistest.begin(ctx)
        base = analysistest.target_under_test(env)[BentoBaseInfo]
        asserts.equals(env, ("2.36", "3.12", "/usr/local/bin/python3"), (base.glibc, base.python_version, base.python))
        asserts.equals(env, "linux_{}.json".format(architecture), base.config.basename)
        asserts.equals(
            env,
            ["linux_{}.{}.json".format(architecture, number) for number in (0, 1)],
            [layer.description.basename for layer in base.layers],
        )
        for layer in base.layers:
            asserts.true(env, "/blobs/sha256/" in layer.blob.path, layer.blob.path)
        return analysistest.end(env)

    return _impl

_PLATFORM = "//command_line_option:platforms"

amd64_test = analysistest.make(
    _make("amd64"),
    config_settings = {_PLATFORM: str(Label("//toolchains/platforms:linux_amd64"))},
)

arm64_test = analysistest.make(
    _make("arm64"),
    config_settings = {_PLATFORM: str(Label("//toolchains/platforms:linux_arm64"))},
)
