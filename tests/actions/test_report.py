"""BentoReport: what is in a Bento."""

import json
import re
from html.parser import HTMLParser

import pytest
from rules_bento.reports import bento_report

from tests.actions.helper import LABEL


def reported(actions, *more, requirements="numpy==2.1", weights=b"weights", version="v1", others=()):
    """The report of a Bento with a model."""
    srcs = [actions.write("svc/weights.bin", weights), *others]
    model = actions.model("--tag", f"weights:{version}", srcs=srcs).outputs
    description = actions.write("bazel-out/model.json", model["--description"])
    package = actions.package("--model", description, "", options={"python": {"packages": [requirements]}}).outputs
    arguments = ["--target", LABEL, "--service-info", "bazel-out/service.json", *more]
    arguments += ["--model", description, actions.write("bazel-out/model.manifest", model["--manifest"])]
    arguments += ["--archive", actions.write("bazel-out/archive", b"12345")]
    for flag in ("part", "manifest", "digest", "tag"):
        arguments += [f"--{flag}", actions.write(f"bazel-out/made.{flag}", package[f"--{flag}"])]
    return actions.run("report", arguments, {"--output": "report.json", "--page": "report.html"})


def told(outcome):
    assert (outcome.code, outcome.errors) == (0, "")
    return json.loads(outcome.outputs["--output"])


def test_the_report_lists_the_contents(actions):
    report = told(reported(actions))
    assert report["tag"].startswith("service:")
    assert report["digest"].startswith("blake3:")
    assert report["archive_size"] == 5
    [service] = report["services"]
    assert (service["name"], service["apis"]) == ("Service", [{"name": "ask", "route": "/ask", "what": ""}])
    [model] = report["models"]
    assert (model["tag"], [file["path"] for file in model["files"]]) == ("weights:v1", ["model.yaml", "weights.bin"])
    assert model["size"] == sum(file["size"] for file in model["files"])
    assert {"name": "numpy", "version": "2.1"} in report["packages"]
    assert {"src/service.py", "bento.yaml"} <= {file["path"] for file in report["files"]}


def test_the_report_has_the_types_of_weights_and_the_pickles(actions):
    tensors = {"a": ("BF16", [500, 3], 0, 3000), "b": ("F32", [1], 3000, 3004), "c": ("<i>", [1], 3004, 3005)}
    keys = ("dtype", "shape", "data_offsets")
    header = json.dumps({name: dict(zip(keys, (*it[:2], it[2:]), strict=True)) for name, it in tensors.items()})
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(3005)
    report = told(reported(actions, others=[actions.write("svc/a.safetensors", content)]))
    [model] = report["models"]
    assert model["weights"] == [
        {"dtype": "BF16", "parameters": 1500, "size": 3000},
        {"dtype": "F32", "parameters": 1, "size": 4},
        {"dtype": "other", "parameters": None, "size": 1},
    ]
    assert model["pickles"] == ["weights.bin"]
    page = bento_report.page(report)
    assert "BF16 1.5 k parameters, 3.0 kB; F32 1 parameter, 0.0 kB; other, 0.0 kB" in page
    assert "1 file in formats that can run code when they are loaded: weights.bin" in page
    model["weights"] = [{"dtype": "BF16", "parameters": 7_241_732_096, "size": 14_483_464_192}]
    assert "BF16 7.2 B parameters, 14.48 GB" in bento_report.page(report)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a==1.0", ("a", "1.0")),
        ("A.b[x,y] == 1.0 ; python_version < '4'", ("A.b", "1.0")),
        ("a==1.0 \\", ("a", "1.0")),
        ("a>=1,<2", ("a", ">=1,<2")),
        ("a @ https://host/a.whl", ("a", "@ https://host/a.whl")),
        ("a  # a remark", ("a", "")),
        ("    --hash=sha256:00", None),
        ("--index-url x", None),
        ("# a remark", None),
        ("", None),
    ],
)
def test_packages_of_a_line(line, expected):
    assert [tuple(package.values()) for package in bento_report.packages(line)] == ([expected] if expected else [])


class Page(HTMLParser):
    """What a browser would fetch."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]


def test_the_page_is_whole_and_fetches_nothing(actions):
    report = told(reported(actions))
    evil = "<img src=x onerror=alert(1)></script>"
    report["files"].append({"path": f"src/{evil}", "size": 1, "content": evil})
    report["services"][0]["doc"] = evil
    report["models"][0]["labels"][evil] = evil
    text = bento_report.page(report)
    page = Page(text)
    assert "<footer>rules_bento 0.1.0 · For an explanation of this report, see docs/ci.md.</footer>" in text
    assert "<th></th>" not in text
    assert "2026-01-02" in bento_report.page(report, "2026-01-02T00:00:00+00:00")
    assert bento_report.page(report, "1980-01-01T00:00:00+00:00") == text
    assert page.addresses == []
    assert not {"img", "script"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?:", text)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "color-scheme: light dark" in text
    assert bento_report.page(report) == text
