"""The Starlark side of the shared cases."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")
load("//toolchains/private:markers.bzl", "evaluate_marker", "marker_environment")
load("//toolchains/private:wheel_tags.bzl", "best_wheel")
load(":vectors.bzl", "MARKERS", "WHEELS")

def _markers_impl(ctx):
    env = unittest.begin(ctx)
    for marker, platform, python_version, expected in MARKERS:
        found = evaluate_marker(marker, marker_environment(platform, python_version))
        asserts.equals(env, expected, found, "{} on {} with {}".format(marker, platform, python_version))
    return unittest.end(env)

markers_test = unittest.make(_markers_impl)

def _wheels_impl(ctx):
    env = unittest.begin(ctx)
    for files, platform, python_version, glibc, expected in WHEELS:
        asserts.equals(env, expected, best_wheel(files, platform, python_version, glibc))
    return unittest.end(env)

wheels_test = unittest.make(_wheels_impl)
