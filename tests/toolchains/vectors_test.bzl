"""The Starlark side of the shared cases."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")
load("//private/repositories:fetch.bzl", "find_link", "resolve_link", "split_credentials")
load("//private/repositories:markers.bzl", "evaluate_marker", "is_python_in", "marker_environment")
load("//private/repositories:wheel_tags.bzl", "best_wheel", "oldest_compatible_system")
load(":vectors.bzl", "MARKERS", "MINORS", "PYTHONS", "WHEELS")

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

def _systems_impl(ctx):
    env = unittest.begin(ctx)
    for files, platform, expected in [
        (["a-1-cp39-abi3-manylinux_2_31_x86_64.whl", "a-1-cp312-cp312-manylinux_2_34_x86_64.whl", "a-1.tar.gz"], "linux_amd64", "2.31"),
        (["a-1-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"], "linux_amd64", "2.17"),
        (["a-1-cp39-abi3-manylinux_2_31_x86_64.whl"], "linux_arm64", None),
        (["a-1-cp39-abi3-manylinux_2_31_x86_64.whl"], "darwin_arm64", None),
        (["a-1-cp311-cp311-manylinux_2_31_x86_64.whl"], "linux_amd64", None),
        (["a-1.tar.gz"], "linux_amd64", None),
        (["a-1-cp39-abi3-macosx_15_0_universal2.whl", "a-1-cp312-cp312-macosx_14_0_arm64.whl"], "darwin_arm64", "14.0"),
        (["a-1-cp39-abi3-macosx_15_0_universal2.whl", "a-1-cp312-cp312-macosx_14_0_arm64.whl"], "darwin_amd64", "15.0"),
        (["a-1-cp312-cp312-macosx_12_3_arm64.whl"], "darwin_arm64", None),
        (["a-1-cp311-cp311-macosx_14_0_arm64.whl"], "darwin_arm64", None),
    ]:
        asserts.equals(env, expected, oldest_compatible_system(files, platform, "3.12"))
    return unittest.end(env)

systems_test = unittest.make(_systems_impl)

def _pythons_impl(ctx):
    env = unittest.begin(ctx)
    for specifiers, python_version, expected in PYTHONS + MINORS:
        found = is_python_in(specifiers, python_version)
        asserts.equals(env, expected, found, "{} with {}".format(specifiers, python_version))
    return unittest.end(env)

pythons_test = unittest.make(_pythons_impl)

_PAGE = """<a href="../../files/ab/uv-1-py3-none-any.whl#sha256=00">uv-1-py3-none-any.whl</a>
<a href='/packages/uv-2-py3-none-any.whl?x=1&amp;y=2#sha256=00' data-requires-python="&gt;=3.8">uv</a>
<a href="https://files.example.com/not-uv-3-py3-none-any.whl">uv-3-py3-none-any.whl</a>"""

def _links_impl(ctx):
    env = unittest.begin(ctx)
    page = "https://index.example.com:8443/team/simple/uv/"
    for filename, expected in [
        ("uv-1-py3-none-any.whl", "https://index.example.com:8443/team/files/ab/uv-1-py3-none-any.whl"),
        ("uv-2-py3-none-any.whl", "https://index.example.com:8443/packages/uv-2-py3-none-any.whl?x=1&y=2"),
        ("not-uv-3-py3-none-any.whl", "https://files.example.com/not-uv-3-py3-none-any.whl"),
        ("uv-3-py3-none-any.whl", None),
    ]:
        link = find_link(_PAGE, filename)
        asserts.equals(env, expected, resolve_link(page, link) if link else None)
    asserts.equals(env, "http://files.example.com/a.whl", resolve_link("http://index.example.com/uv/", "//files.example.com/a.whl"))
    found = split_credentials("https://me:p%40ss%3A@index.example.com/simple")
    asserts.equals(env, ("https://index.example.com/simple", "me", "p@ss:"), (found.address, found.login, found.password))
    found = split_credentials("https://index.example.com/a@b/simple")
    asserts.equals(env, ("https://index.example.com/a@b/simple", ""), (found.address, found.login))
    return unittest.end(env)

links_test = unittest.make(_links_impl)
