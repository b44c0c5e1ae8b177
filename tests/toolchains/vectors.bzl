"""Cases that the Starlark evaluators and the `packaging` library have to agree on (see test_vectors.py)."""

# (marker, platform, Python version, whether it holds)
MARKERS = [
    ("", "linux_amd64", "3.11", True),
    ("python_version < '3.11'", "linux_amd64", "3.11", False),
    ("python_version < '3.11'", "linux_amd64", "3.9", True),
    ("python_version >= '3.10'", "linux_amd64", "3.9", False),
    ("python_full_version >= '3.11.4'", "linux_amd64", "3.11", False),
    ("python_full_version >= '3.11.4'", "linux_amd64", "3.11.10", True),
    ("python_full_version == '3.11.*'", "linux_amd64", "3.11.10", True),
    ("python_full_version != '3.11.*'", "linux_amd64", "3.12", True),
    ("python_version ~= '3.10'", "linux_amd64", "3.14", True),
    ("python_full_version ~= '3.10.1'", "linux_amd64", "3.11.0", False),
    ("'3.10' <= python_version", "linux_amd64", "3.12", True),
    ("sys_platform == 'linux'", "linux_amd64", "3.12", True),
    ("sys_platform == 'win32'", "linux_amd64", "3.12", False),
    ("sys_platform != 'darwin'", "darwin_arm64", "3.12", False),
    ("platform_machine == 'arm64' and sys_platform == 'darwin'", "darwin_arm64", "3.12", True),
    ("platform_machine == 'aarch64'", "linux_arm64", "3.12", True),
    ("platform_system == \"Linux\" and platform_machine == \"x86_64\"", "linux_amd64", "3.12", True),
    ("os_name == 'nt' or python_version > '3.11' and sys_platform == 'linux'", "linux_amd64", "3.12", True),
    ("(os_name == 'nt' or python_version > '3.11') and sys_platform == 'darwin'", "linux_amd64", "3.12", False),
    ("(python_version < '3.8' or (python_version < '3.13' and (sys_platform == 'linux')))", "linux_amd64", "3.12", True),
    ("sys_platform in 'linux darwin'", "linux_amd64", "3.12", True),
    ("sys_platform not in 'linux darwin'", "darwin_amd64", "3.12", False),
    ("platform_python_implementation == 'CPython'", "linux_amd64", "3.12", True),
    ("implementation_name == 'pypy'", "linux_amd64", "3.12", False),
    ("platform_python_implementation != 'PyPy' and python_full_version < '3.15'", "linux_amd64", "3.14.6", True),
]

# (files, platform, Python version, glibc, the file to choose or None)
WHEELS = [
    (["a-1-py3-none-any.whl", "a-1.tar.gz"], "linux_amd64", "3.12", "2.28", "a-1-py3-none-any.whl"),
    (["a-1-py2-none-any.whl"], "linux_amd64", "3.12", "2.28", None),
    (["a-1-py2.py3-none-any.whl"], "darwin_arm64", "3.12", "2.28", "a-1-py2.py3-none-any.whl"),
    (["a-1-py3-none-any.whl", "a-1-cp312-cp312-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-cp312-cp312-manylinux_2_17_x86_64.whl"),
    (["a-1-cp312-cp312-manylinux_2_34_x86_64.whl"], "linux_amd64", "3.12", "2.28", None),
    (["a-1-cp312-cp312-manylinux_2_34_x86_64.whl"], "linux_amd64", "3.12", "2.34", "a-1-cp312-cp312-manylinux_2_34_x86_64.whl"),
    (["a-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.17", "a-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"),
    (["a-1-cp312-cp312-manylinux2014_aarch64.whl"], "linux_amd64", "3.12", "2.28", None),
    (["a-1-cp312-cp312-musllinux_1_2_x86_64.whl"], "linux_amd64", "3.12", "2.28", None),
    (["a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1-cp312-cp312-manylinux_2_28_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-cp312-cp312-manylinux_2_28_x86_64.whl"),
    (["a-1-cp39-abi3-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.14", "2.28", "a-1-cp39-abi3-manylinux_2_17_x86_64.whl"),
    (["a-1-cp39-abi3-manylinux_2_17_x86_64.whl", "a-1-cp311-abi3-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.14", "2.28", "a-1-cp311-abi3-manylinux_2_17_x86_64.whl"),
    (["a-1-cp313-abi3-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.28", None),
    (["a-1-cp314-cp314t-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.14", "2.28", None),
    (["a-1-cp312-none-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-cp312-none-manylinux_2_17_x86_64.whl"),
    (["a-1-py3-none-manylinux_2_17_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-py3-none-manylinux_2_17_x86_64.whl"),
    (["a-1-cp312-cp312-macosx_11_0_arm64.whl", "a-1-cp312-cp312-macosx_10_9_universal2.whl"], "darwin_arm64", "3.12", "2.28", "a-1-cp312-cp312-macosx_11_0_arm64.whl"),
    (["a-1-cp312-cp312-macosx_10_9_universal2.whl"], "darwin_amd64", "3.12", "2.28", "a-1-cp312-cp312-macosx_10_9_universal2.whl"),
    (["a-1-cp312-cp312-linux_x86_64.whl"], "linux_amd64", "3.12", "2.28", "a-1-cp312-cp312-linux_x86_64.whl"),
    (["a-1-1-py3-none-any.whl"], "linux_amd64", "3.12", "2.28", "a-1-1-py3-none-any.whl"),
]

# (requires-python, version of Python, whether it is in)
PYTHONS = [
    ("", "3.12.1", True),
    (">=3.10", "3.9.20", False),
    (">=3.10", "3.10.0", True),
    (">=3.9,<3.13", "3.13.0", False),
    (">=3.9, <3.13", "3.12.7", True),
    ("!=3.11.*,>=3.8", "3.11.2", False),
    ("!=3.11.3,>=3.8", "3.11.2", True),
    ("==3.12.*", "3.12.4", True),
    ("~=3.10", "3.14.0", True),
    ("~=3.10.1", "3.11.0", False),
    (">3.9", "3.10.0", True),
]

# The same for `X.Y`: the range must include a patch release.
MINORS = [
    (">=3.11.4", "3.11", True),
    ("<3.11.4", "3.11", True),
    ("<3.11", "3.11", False),
    (">=3.6.*", "3.11", True),
    ("==3.12.7", "3.12", True),
    ("==3.12.7", "3.11", False),
    (">3.12.2,<3.12.4", "3.12", True),
    (">3.12.2,<3.12.3", "3.12", False),
    ("==3.12.7", "3.12.6", False),
]
