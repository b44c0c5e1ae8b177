"""Lists files and packages that most tests of the helper need."""

SUPPORT = [
    "//tests/helpers:golden_bentos.py",
    "//tests/helpers:made_gpu_code.py",
    "//tests/helpers:made_layers.py",
    "//tests/helpers:made_wheels.py",
    "//tests/helpers:namespace_spellings.py",
    "//tests/helpers:project_wheels.py",
    "//tests/helpers:projects.py",
    "//tests/helpers:service_cases.py",
    "//tests/helpers:store_support.py",
    "//tests/helpers:system_calls.py",
    "//tests:golden",
    "//tests:services",
]

# Without the real BentoML, whose packages have thousands of files. A sandbox has a link for each of them.
OWN_REQUIREMENTS = [
    "@pypi//blake3",
    "@pypi//click",
    "@pypi//hypothesis",
    "@pypi//jinja2",
    "@pypi//pathspec",
    "@pypi//pytest",
    "@pypi//pyyaml",
    "@pypi//urllib3",
    "@pypi//zstandard",
]

REQUIREMENTS = OWN_REQUIREMENTS + [
    "@pypi//bentoml",
    "@pypi//scikit_learn",
]
