"""Tests how links on pages of package indexes are read."""

load("@bazel_skylib//lib:unittest.bzl", "asserts", "unittest")
load("//private/repositories:fetch.bzl", "find_link", "resolve_link", "split_credentials")

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
