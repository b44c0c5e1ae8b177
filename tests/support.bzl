"""What the tests of most rooms of the helper share: files beside them, and all packages that the helper imports."""

SUPPORT = [
    "//tests:golden_bentos.py",
    "//tests:made_layers.py",
    "//tests:made_wheels.py",
    "//tests:projects.py",
    "//tests:service_cases.py",
    "//tests:store_support.py",
    "//tests:golden",
    "//tests:services",
]

REQUIREMENTS = [
    "@bento_tools//isal",
    "@pypi//bentoml",
    "@pypi//blake3",
    "@pypi//click",
    "@pypi//hypothesis",
    "@pypi//jinja2",
    "@pypi//pathspec",
    "@pypi//pytest",
    "@pypi//pyyaml",
    "@pypi//scikit_learn",
    "@pypi//zstandard",
]
