"""BentoReport: what is in a Bento."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from rules_bento.images.reports import bento_report
from rules_bento.images.reports.html_page import page

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
    others = ["--python-version", "3.12"], ["--python-version", "3.11"]
    markers = "numpy==2.1 ; python_version >= '3.12'"
    packages = [told(reported(actions, *version, requirements=markers))["packages"] for version in others]
    assert [[one["version"] for one in each if one["name"] == "numpy"] for each in packages] == [["2.1"], []]
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
    text = page(report)
    assert "BF16 1.5 k parameters, 2.93 KiB; F32 1 parameter, 4.00 B; other, 1.00 B" in text
    assert "1 file (weights:v1: weights.bin) in formats that can run code when they are loaded." in text
    model["weights"] = [{"dtype": "BF16", "parameters": 7_241_732_096, "size": 14_483_464_192}]
    assert "BF16 7.2 B parameters, 13.49 GiB" in page(report)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a==1.0", ("a", "1.0")),
        ("A.b[x,y] == 1.0 ; python_version < '4'", ("a-b", "1.0")),
        ("a==1.0 \\", ("a", "1.0")),
        ("a>=1,<2", ("a", ">=1,<2")),
        ("a @ https://host/a.whl", ("a", "@ https://host/a.whl")),
        ("a  # a remark", ("a", "")),
        ("./wheels/a_b-1.0-py3-none-any.whl --hash=sha256:00", ("a-b", "1.0")),
        ("https://host/a-1.0.tar.gz ; python_version < '4'", ("a", "1.0")),
        ("    --hash=sha256:00", None),
        ("--index-url x", None),
        ("# a remark", None),
        ("", None),
    ],
)
def test_packages_of_a_line(line, expected):
    assert [tuple(package.values()) for package in bento_report.packages(line)] == ([expected] if expected else [])


class Page(HTMLParser):
    """What a browser would fetch or run."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.tags, self.policy, self.texts = [], [], "", {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.policy = self.policy or dict(attrs).get("content", "")

    def handle_data(self, data):
        if self.lasttag in self.texts and data.strip():
            self.texts[self.lasttag].append(data)


def test_the_page_is_whole_and_fetches_nothing(actions):
    text = page(told(reported(actions)))
    assert Page(text).addresses == []
    assert not re.search(r"url\(|@import|https?:", text)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "color-scheme: light dark" in text
    assert "<footer>rules_bento 0.1.0</footer>" in text
    report = told(reported(actions))
    assert "2026-01-02" in page(report, date="2026-01-02T00:00:00+00:00")
    assert page(report, date="1980-01-01T00:00:00+00:00") == page(report) == text


def test_the_page_runs_and_shows_no_text_of_a_hostile_bento_as_code(actions):
    report = told(reported(actions))
    clean = Page(page(report))
    evil = "\"'><img src=x onerror=alert(1)></script></style><script>alert(1)</script>{{ 7*7 }}\u202e\0\r" + "x" * 5000
    file = {"path": f"src/{evil}", "size": 1, "content": evil}
    report |= {
        "tag": f"{evil}:{evil}",
        "target": evil,
        "digest": evil,
        "secrets": [evil],
        "files": [file, *report["files"]],
    }
    report["services"] = [
        {"name": evil, "doc": evil, "apis": [{"name": evil, "route": evil, "what": evil}], "mounts": [evil]}
    ]
    [model] = report["models"]
    model |= {"tag": evil, "module": evil, "labels": {evil: evil}, "pickles": [evil], "files": [file]}
    report["packages"] = [{"name": evil, "version": evil, "kind": evil, "size": 5, "required_by": [evil]}]
    text = page(report, {**report, "packages": [], "tag": evil}, evil)
    read = Page(text)
    assert read.addresses == []
    assert set(read.tags) <= {*clean.tags, "h3", "svg", "rect", "code"}
    assert read.texts == clean.texts, "exactly one script and one style, of the template"
    assert read.policy == clean.policy
    for tag, [content] in read.texts.items():
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in read.policy
    assert read.policy.startswith("default-src 'none'; ")
    assert not re.search("[\u202e\0\r]", text)
    assert "{{ 7*7 }}" in text
