"""Pages of the documentation site: each document has one, and links lead to pages."""

import posixpath
import re
import sys
from pathlib import Path

import yaml

from tests.helpers.documents import anchors, documents

sys.path.append("docs/site")

from build_site import Site, archive, page_of, split_reference
from versions import with_version

ROOT = Path()
DOCUMENTS = {path.as_posix(): path.read_text("utf-8") for path in documents(ROOT)}
SITE = Site(DOCUMENTS)
REFERENCE = """# Reference

## Rules

### bento_a

Builds a. See [b](#bento_b).

- `x` (string): The x.

### bento_b

Builds b ([more](../docs/images.md)).

## Flags

- `--flag`: A flag.
"""


def test_each_document_has_a_page():
    assert {page_of(document) for document in DOCUMENTS} <= SITE.pages.keys()


def test_the_navigation_has_each_page():
    settings = yaml.safe_load(Path("docs/site/mkdocs.yml").read_text("utf-8"))
    navigation = str(SITE.navigation(settings["nav"]))
    assert not [page for page in SITE.pages if f"'{page}'" not in navigation]


def test_links_lead_to_pages(tmp_path: Path):
    written, headings = tmp_path / "page.md", {}
    for page in SITE.pages:
        written.write_text(SITE.pages[page], "utf-8")
        headings[page] = anchors(written)
    for page, source in SITE.pages.items():
        text = re.sub(r"^ *```.*?^ *```$|`[^`\n]+`", "", source, flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text):
            file, _, anchor = link.partition("#")
            if "://" not in link:
                target = posixpath.normpath(posixpath.join(posixpath.dirname(page), file)) if file else page
                assert not anchor or anchor in headings[target], f"{page}: {link}"
                assert target in headings, f"{page}: {link}"
        for link in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
            assert any(Path(directory, path).is_file() for directory in ("docs", "docs/site")), f"{page}: {link}"


def test_the_reference_is_one_page_for_each_name():
    pages = split_reference(REFERENCE)
    assert pages["bento_a"] == (
        "reference/rules/bento_a.md",
        "bento_a",
        "Builds a. See [b](#bento_b).\n\n## Attributes\n\n- `x` (string): The x.\n",
    )
    site = Site(
        {
            "README.md": "# Title\n",
            "docs/contributing/architecture.md": "",
            "docs/images.md": "",
            "docs/reference.md": REFERENCE,
        }
    )
    assert "See [b](bento_b.md)." in site.pages["reference/rules/bento_a.md"]
    assert "([more](../../images.md))" in site.pages["reference/rules/bento_b.md"]
    assert "| [bento_a](rules/bento_a.md) | Builds a. |" in site.pages["reference/index.md"]


def test_an_archive_has_the_same_bytes(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name / "d").mkdir(parents=True)
        (tmp_path / name / "d" / "page.html").write_text("text", "utf-8")
    assert archive(tmp_path / "one") == archive(tmp_path / "two")


def test_versions():
    listed = with_version(with_version([], "0.1.0"), "0.2.0")
    assert [(each["version"], each["aliases"]) for each in listed] == [("0.2.0", ["latest"]), ("0.1.0", [])]
