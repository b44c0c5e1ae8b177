"""Links that Bazel doesn't resolve (`declare_symlink`)."""

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.sources.unresolved_links import follow


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ({"lib/link": "real"}, "lib/real"),
        ({"lib/link": "other", "lib/other": "../lib/real"}, "lib/real"),
        ({"lib/link": "../../repo+/lib/real"}, "../repo+/lib/real"),
        ({"lib/link": "missing"}, None),
        ({"lib/link": "/etc/passwd.none"}, "lib/link"),  # the snapshot refuses absolute links
        ({"lib/link": "../../../above"}, None),
        ({"lib/link": "other", "lib/other": "link"}, None),
    ],
)
def test_the_target_is_another_file(tmp_path, links, found):
    for place in ("lib", "source"):
        (tmp_path / place).mkdir()
    files = [
        (f"{tmp_path}/source/{path.replace('/', '_')}", path, "//lib") for path in ("lib/real", "../repo+/lib/real")
    ]
    for path, target in links.items():
        (tmp_path / path).symlink_to(target)
        files.append((str(tmp_path / path), path, "//lib:link"))
    if found:
        sources = {short_path: source for source, short_path, _ in follow(files)}
        assert sources["lib/link"] == sources[found]
        return
    with pytest.raises(
        BentoError, match=r"^//lib:link: lib/(link|other) is a link to .*, which isn't a file of the same"
    ):
        list(follow(files))
