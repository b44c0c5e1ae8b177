"""Names of the files of releases, without the name and the version of each: of real projects, and made ones for the rest.

test_wheel_choices.py has uv and the hubs choose among them.
"""

_NAMES = {
    "cffi 2.0.0": """
cp310-cp310-macosx_10_13_x86_64 cp310-cp310-macosx_11_0_arm64 cp310-cp310-manylinux1_i686.manylinux2014_i686.manylinux_2_17_i686.manylinux_2_5_i686
cp310-cp310-manylinux2014_aarch64.manylinux_2_17_aarch64 cp310-cp310-manylinux2014_ppc64le.manylinux_2_17_ppc64le
cp310-cp310-manylinux2014_s390x.manylinux_2_17_s390x cp310-cp310-manylinux2014_x86_64.manylinux_2_17_x86_64 cp310-cp310-musllinux_1_2_aarch64
cp310-cp310-musllinux_1_2_i686 cp310-cp310-musllinux_1_2_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64 cp311-cp311-macosx_10_13_x86_64 cp311-cp311-macosx_11_0_arm64
cp311-cp311-manylinux1_i686.manylinux2014_i686.manylinux_2_17_i686.manylinux_2_5_i686 cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64
cp311-cp311-manylinux2014_ppc64le.manylinux_2_17_ppc64le cp311-cp311-manylinux2014_s390x.manylinux_2_17_s390x cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64
cp311-cp311-musllinux_1_2_aarch64 cp311-cp311-musllinux_1_2_i686 cp311-cp311-musllinux_1_2_x86_64 cp311-cp311-win32 cp311-cp311-win_amd64 cp311-cp311-win_arm64
cp312-cp312-macosx_10_13_x86_64 cp312-cp312-macosx_11_0_arm64 cp312-cp312-manylinux1_i686.manylinux2014_i686.manylinux_2_17_i686.manylinux_2_5_i686
cp312-cp312-manylinux2014_aarch64.manylinux_2_17_aarch64 cp312-cp312-manylinux2014_ppc64le.manylinux_2_17_ppc64le
cp312-cp312-manylinux2014_s390x.manylinux_2_17_s390x cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64 cp312-cp312-musllinux_1_2_aarch64
cp312-cp312-musllinux_1_2_x86_64 cp312-cp312-win32 cp312-cp312-win_amd64 cp312-cp312-win_arm64 cp313-cp313-macosx_10_13_x86_64 cp313-cp313-macosx_11_0_arm64
cp313-cp313-manylinux1_i686.manylinux2014_i686.manylinux_2_17_i686.manylinux_2_5_i686 cp313-cp313-manylinux2014_aarch64.manylinux_2_17_aarch64
cp313-cp313-manylinux2014_ppc64le.manylinux_2_17_ppc64le cp313-cp313-manylinux2014_s390x.manylinux_2_17_s390x cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64
cp313-cp313-musllinux_1_2_aarch64 cp313-cp313-musllinux_1_2_x86_64 cp313-cp313-win32 cp313-cp313-win_amd64 cp313-cp313-win_arm64 cp314-cp314-macosx_10_13_x86_64
cp314-cp314-macosx_11_0_arm64 cp314-cp314-manylinux2014_aarch64.manylinux_2_17_aarch64 cp314-cp314-manylinux2014_ppc64le.manylinux_2_17_ppc64le
cp314-cp314-manylinux2014_s390x.manylinux_2_17_s390x cp314-cp314-manylinux2014_x86_64.manylinux_2_17_x86_64 cp314-cp314-musllinux_1_2_aarch64
cp314-cp314-musllinux_1_2_x86_64 cp314-cp314-win32 cp314-cp314-win_amd64 cp314-cp314-win_arm64 cp314-cp314t-macosx_10_13_x86_64 cp314-cp314t-macosx_11_0_arm64
cp314-cp314t-manylinux2014_aarch64.manylinux_2_17_aarch64 cp314-cp314t-manylinux2014_ppc64le.manylinux_2_17_ppc64le
cp314-cp314t-manylinux2014_s390x.manylinux_2_17_s390x cp314-cp314t-manylinux2014_x86_64.manylinux_2_17_x86_64 cp314-cp314t-musllinux_1_2_aarch64
cp314-cp314t-musllinux_1_2_x86_64 cp314-cp314t-win32 cp314-cp314t-win_amd64 cp314-cp314t-win_arm64
""",
    "coremltools 9.0": """
cp310-none-macosx_10_15_x86_64 cp310-none-macosx_11_0_arm64 cp310-none-manylinux1_x86_64 cp311-none-macosx_10_15_x86_64 cp311-none-macosx_11_0_arm64
cp311-none-manylinux1_x86_64 cp312-none-macosx_10_15_x86_64 cp312-none-macosx_11_0_arm64 cp312-none-manylinux1_x86_64 cp313-none-macosx_10_15_x86_64
cp313-none-macosx_11_0_arm64 cp313-none-manylinux1_x86_64
""",
    "cryptography 46.0.3": """
cp311-abi3-macosx_10_9_universal2 cp311-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64 cp311-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64
cp311-abi3-manylinux_2_28_aarch64 cp311-abi3-manylinux_2_28_armv7l.manylinux_2_31_armv7l cp311-abi3-manylinux_2_28_ppc64le cp311-abi3-manylinux_2_28_x86_64
cp311-abi3-manylinux_2_34_aarch64 cp311-abi3-manylinux_2_34_ppc64le cp311-abi3-manylinux_2_34_x86_64 cp311-abi3-musllinux_1_2_aarch64 cp311-abi3-musllinux_1_2_x86_64
cp311-abi3-win32 cp311-abi3-win_amd64 cp311-abi3-win_arm64 cp314-cp314t-macosx_10_9_universal2 cp314-cp314t-manylinux2014_aarch64.manylinux_2_17_aarch64
cp314-cp314t-manylinux2014_x86_64.manylinux_2_17_x86_64 cp314-cp314t-manylinux_2_28_aarch64 cp314-cp314t-manylinux_2_28_armv7l.manylinux_2_31_armv7l
cp314-cp314t-manylinux_2_28_ppc64le cp314-cp314t-manylinux_2_28_x86_64 cp314-cp314t-manylinux_2_34_aarch64 cp314-cp314t-manylinux_2_34_ppc64le
cp314-cp314t-manylinux_2_34_x86_64 cp314-cp314t-musllinux_1_2_aarch64 cp314-cp314t-musllinux_1_2_x86_64 cp314-cp314t-win32 cp314-cp314t-win_amd64
cp314-cp314t-win_arm64 cp38-abi3-macosx_10_9_universal2 cp38-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64 cp38-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64
cp38-abi3-manylinux_2_28_aarch64 cp38-abi3-manylinux_2_28_armv7l.manylinux_2_31_armv7l cp38-abi3-manylinux_2_28_ppc64le cp38-abi3-manylinux_2_28_x86_64
cp38-abi3-manylinux_2_34_aarch64 cp38-abi3-manylinux_2_34_ppc64le cp38-abi3-manylinux_2_34_x86_64 cp38-abi3-musllinux_1_2_aarch64 cp38-abi3-musllinux_1_2_x86_64
cp38-abi3-win32 cp38-abi3-win_amd64 cp38-abi3-win_arm64 pp310-pypy310_pp73-macosx_10_9_x86_64 pp310-pypy310_pp73-win_amd64 pp311-pypy311_pp73-macosx_10_9_x86_64
pp311-pypy311_pp73-manylinux_2_28_aarch64 pp311-pypy311_pp73-manylinux_2_28_x86_64 pp311-pypy311_pp73-manylinux_2_34_aarch64 pp311-pypy311_pp73-manylinux_2_34_x86_64
pp311-pypy311_pp73-win_amd64
""",
    "debugpy 1.8.17": """
cp310-cp310-macosx_15_0_x86_64 cp310-cp310-manylinux_2_34_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64 cp311-cp311-macosx_15_0_universal2
cp311-cp311-manylinux_2_34_x86_64 cp311-cp311-win32 cp311-cp311-win_amd64 cp312-cp312-macosx_15_0_universal2 cp312-cp312-manylinux_2_34_x86_64 cp312-cp312-win32
cp312-cp312-win_amd64 cp313-cp313-macosx_15_0_universal2 cp313-cp313-manylinux_2_34_x86_64 cp313-cp313-win32 cp313-cp313-win_amd64 cp314-cp314-macosx_15_0_universal2
cp314-cp314-manylinux_2_34_x86_64 cp314-cp314-win32 cp314-cp314-win_amd64 py2.py3-none-any
""",
    "grpcio 1.48.2": """
cp310-cp310-linux_armv7l cp310-cp310-macosx_10_10_x86_64 cp310-cp310-manylinux_2_17_aarch64 cp310-cp310-manylinux_2_17_i686.manylinux2014_i686
cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64 cp310-cp310-musllinux_1_1_i686 cp310-cp310-musllinux_1_1_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64
""",
    "grpcio 1.76.0": """
cp310-cp310-linux_armv7l cp310-cp310-macosx_11_0_universal2 cp310-cp310-manylinux2014_aarch64.manylinux_2_17_aarch64
cp310-cp310-manylinux2014_i686.manylinux_2_17_i686 cp310-cp310-manylinux2014_x86_64.manylinux_2_17_x86_64 cp310-cp310-musllinux_1_2_aarch64
cp310-cp310-musllinux_1_2_i686 cp310-cp310-musllinux_1_2_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64 cp311-cp311-linux_armv7l cp311-cp311-macosx_11_0_universal2
cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64 cp311-cp311-manylinux2014_i686.manylinux_2_17_i686 cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64
cp311-cp311-musllinux_1_2_aarch64 cp311-cp311-musllinux_1_2_i686 cp311-cp311-musllinux_1_2_x86_64 cp311-cp311-win32 cp311-cp311-win_amd64 cp312-cp312-linux_armv7l
cp312-cp312-macosx_11_0_universal2 cp312-cp312-manylinux2014_aarch64.manylinux_2_17_aarch64 cp312-cp312-manylinux2014_i686.manylinux_2_17_i686
cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64 cp312-cp312-musllinux_1_2_aarch64 cp312-cp312-musllinux_1_2_i686 cp312-cp312-musllinux_1_2_x86_64
cp312-cp312-win32 cp312-cp312-win_amd64 cp313-cp313-linux_armv7l cp313-cp313-macosx_11_0_universal2 cp313-cp313-manylinux2014_aarch64.manylinux_2_17_aarch64
cp313-cp313-manylinux2014_i686.manylinux_2_17_i686 cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64 cp313-cp313-musllinux_1_2_aarch64
cp313-cp313-musllinux_1_2_i686 cp313-cp313-musllinux_1_2_x86_64 cp313-cp313-win32 cp313-cp313-win_amd64 cp314-cp314-linux_armv7l cp314-cp314-macosx_11_0_universal2
cp314-cp314-manylinux2014_aarch64.manylinux_2_17_aarch64 cp314-cp314-manylinux2014_i686.manylinux_2_17_i686 cp314-cp314-manylinux2014_x86_64.manylinux_2_17_x86_64
cp314-cp314-musllinux_1_2_aarch64 cp314-cp314-musllinux_1_2_i686 cp314-cp314-musllinux_1_2_x86_64 cp314-cp314-win32 cp314-cp314-win_amd64
""",
    "hf-xet 1.2.0": """
cp313-cp313t-macosx_10_12_x86_64 cp313-cp313t-macosx_11_0_arm64 cp313-cp313t-manylinux_2_17_x86_64.manylinux2014_x86_64 cp313-cp313t-manylinux_2_28_aarch64
cp313-cp313t-musllinux_1_2_aarch64 cp313-cp313t-musllinux_1_2_x86_64 cp313-cp313t-win_amd64 cp314-cp314t-macosx_10_12_x86_64 cp314-cp314t-macosx_11_0_arm64
cp314-cp314t-manylinux_2_17_x86_64.manylinux2014_x86_64 cp314-cp314t-manylinux_2_28_aarch64 cp314-cp314t-musllinux_1_2_aarch64 cp314-cp314t-musllinux_1_2_x86_64
cp314-cp314t-win_amd64 cp37-abi3-macosx_10_12_x86_64 cp37-abi3-macosx_11_0_arm64 cp37-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64
cp37-abi3-manylinux_2_28_aarch64 cp37-abi3-musllinux_1_2_aarch64 cp37-abi3-musllinux_1_2_x86_64 cp37-abi3-win_amd64
""",
    "lxml 4.9.4": """
cp310-cp310-macosx_11_0_x86_64 cp310-cp310-manylinux_2_12_i686.manylinux2010_i686.manylinux_2_24_i686
cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64.manylinux_2_24_aarch64 cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_24_x86_64
cp310-cp310-manylinux_2_28_x86_64 cp310-cp310-musllinux_1_1_aarch64 cp310-cp310-musllinux_1_1_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64
cp311-cp311-macosx_11_0_universal2 cp311-cp311-manylinux_2_12_i686.manylinux2010_i686.manylinux_2_24_i686
cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.manylinux_2_24_aarch64 cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_24_x86_64
cp311-cp311-manylinux_2_28_aarch64 cp311-cp311-manylinux_2_28_x86_64 cp311-cp311-musllinux_1_1_aarch64 cp311-cp311-musllinux_1_1_x86_64 cp311-cp311-win32
cp311-cp311-win_amd64 cp312-cp312-macosx_11_0_universal2 cp312-cp312-manylinux_2_28_aarch64 cp312-cp312-manylinux_2_28_x86_64 cp312-cp312-musllinux_1_1_aarch64
cp312-cp312-musllinux_1_1_x86_64 cp312-cp312-win32 cp312-cp312-win_amd64 pp310-pypy310_pp73-macosx_11_0_x86_64 pp310-pypy310_pp73-manylinux_2_28_x86_64
pp310-pypy310_pp73-win_amd64
""",
    "lxml 6.0.2": """
cp310-cp310-macosx_10_9_universal2 cp310-cp310-macosx_10_9_x86_64 cp310-cp310-manylinux2014_aarch64.manylinux_2_17_aarch64
cp310-cp310-manylinux2014_x86_64.manylinux_2_17_x86_64 cp310-cp310-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp310-cp310-manylinux_2_26_i686.manylinux_2_28_i686
cp310-cp310-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp310-cp310-manylinux_2_31_armv7l cp310-cp310-manylinux_2_38_riscv64.manylinux_2_39_riscv64
cp310-cp310-musllinux_1_2_aarch64 cp310-cp310-musllinux_1_2_armv7l cp310-cp310-musllinux_1_2_riscv64 cp310-cp310-musllinux_1_2_x86_64 cp310-cp310-win32
cp310-cp310-win_amd64 cp310-cp310-win_arm64 cp311-cp311-macosx_10_9_universal2 cp311-cp311-macosx_10_9_x86_64
cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64 cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64
cp311-cp311-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp311-cp311-manylinux_2_26_i686.manylinux_2_28_i686 cp311-cp311-manylinux_2_26_x86_64.manylinux_2_28_x86_64
cp311-cp311-manylinux_2_31_armv7l cp311-cp311-manylinux_2_38_riscv64.manylinux_2_39_riscv64 cp311-cp311-musllinux_1_2_aarch64 cp311-cp311-musllinux_1_2_armv7l
cp311-cp311-musllinux_1_2_riscv64 cp311-cp311-musllinux_1_2_x86_64 cp311-cp311-win32 cp311-cp311-win_amd64 cp311-cp311-win_arm64 cp312-cp312-macosx_10_13_universal2
cp312-cp312-macosx_10_13_x86_64 cp312-cp312-manylinux2014_aarch64.manylinux_2_17_aarch64 cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64
cp312-cp312-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp312-cp312-manylinux_2_26_i686.manylinux_2_28_i686
cp312-cp312-manylinux_2_26_ppc64le.manylinux_2_28_ppc64le cp312-cp312-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp312-cp312-manylinux_2_31_armv7l
cp312-cp312-manylinux_2_38_riscv64.manylinux_2_39_riscv64 cp312-cp312-musllinux_1_2_aarch64 cp312-cp312-musllinux_1_2_armv7l cp312-cp312-musllinux_1_2_ppc64le
cp312-cp312-musllinux_1_2_riscv64 cp312-cp312-musllinux_1_2_x86_64 cp312-cp312-win32 cp312-cp312-win_amd64 cp312-cp312-win_arm64 cp313-cp313-macosx_10_13_universal2
cp313-cp313-macosx_10_13_x86_64 cp313-cp313-manylinux2014_aarch64.manylinux_2_17_aarch64 cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64
cp313-cp313-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp313-cp313-manylinux_2_26_i686.manylinux_2_28_i686
cp313-cp313-manylinux_2_26_ppc64le.manylinux_2_28_ppc64le cp313-cp313-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp313-cp313-manylinux_2_31_armv7l
cp313-cp313-manylinux_2_38_riscv64.manylinux_2_39_riscv64 cp313-cp313-musllinux_1_2_aarch64 cp313-cp313-musllinux_1_2_armv7l cp313-cp313-musllinux_1_2_ppc64le
cp313-cp313-musllinux_1_2_riscv64 cp313-cp313-musllinux_1_2_x86_64 cp313-cp313-win32 cp313-cp313-win_amd64 cp313-cp313-win_arm64 cp314-cp314-macosx_10_13_universal2
cp314-cp314-macosx_10_13_x86_64 cp314-cp314-manylinux2014_aarch64.manylinux_2_17_aarch64 cp314-cp314-manylinux2014_x86_64.manylinux_2_17_x86_64
cp314-cp314-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp314-cp314-manylinux_2_26_i686.manylinux_2_28_i686
cp314-cp314-manylinux_2_26_ppc64le.manylinux_2_28_ppc64le cp314-cp314-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp314-cp314-manylinux_2_31_armv7l
cp314-cp314-manylinux_2_38_riscv64.manylinux_2_39_riscv64 cp314-cp314-musllinux_1_2_aarch64 cp314-cp314-musllinux_1_2_armv7l cp314-cp314-musllinux_1_2_ppc64le
cp314-cp314-musllinux_1_2_riscv64 cp314-cp314-musllinux_1_2_x86_64 cp314-cp314-win32 cp314-cp314-win_amd64 cp314-cp314-win_arm64 cp314-cp314t-macosx_10_13_universal2
cp314-cp314t-macosx_10_13_x86_64 cp314-cp314t-manylinux2014_aarch64.manylinux_2_17_aarch64 cp314-cp314t-manylinux2014_x86_64.manylinux_2_17_x86_64
cp314-cp314t-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp314-cp314t-manylinux_2_26_i686.manylinux_2_28_i686
cp314-cp314t-manylinux_2_26_ppc64le.manylinux_2_28_ppc64le cp314-cp314t-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp314-cp314t-manylinux_2_31_armv7l
cp314-cp314t-manylinux_2_38_riscv64.manylinux_2_39_riscv64 cp314-cp314t-musllinux_1_2_aarch64 cp314-cp314t-musllinux_1_2_armv7l cp314-cp314t-musllinux_1_2_ppc64le
cp314-cp314t-musllinux_1_2_riscv64 cp314-cp314t-musllinux_1_2_x86_64 cp314-cp314t-win32 cp314-cp314t-win_amd64 cp314-cp314t-win_arm64
pp310-pypy310_pp73-macosx_10_15_x86_64 pp310-pypy310_pp73-manylinux2014_aarch64.manylinux_2_17_aarch64 pp310-pypy310_pp73-manylinux2014_x86_64.manylinux_2_17_x86_64
pp310-pypy310_pp73-manylinux_2_26_aarch64.manylinux_2_28_aarch64 pp310-pypy310_pp73-manylinux_2_26_x86_64.manylinux_2_28_x86_64 pp310-pypy310_pp73-win_amd64
pp311-pypy311_pp73-macosx_10_15_x86_64 pp311-pypy311_pp73-manylinux2014_aarch64.manylinux_2_17_aarch64 pp311-pypy311_pp73-manylinux2014_x86_64.manylinux_2_17_x86_64
pp311-pypy311_pp73-manylinux_2_26_aarch64.manylinux_2_28_aarch64 pp311-pypy311_pp73-manylinux_2_26_x86_64.manylinux_2_28_x86_64 pp311-pypy311_pp73-win_amd64
""",
    "made abi3": """
cp31-abi3-manylinux_2_17_x86_64 cp310-abi3-macosx_11_0_arm64 cp310-abi3-manylinux_2_17_x86_64 cp311-abi3-linux_x86_64 cp312-abi3-manylinux_2_5_x86_64
cp312-none-macosx_12_0_universal2 cp312-none-manylinux_2_17_x86_64 cp314-abi3.abi3t-macosx_11_0_arm64 cp314-abi3.abi3t-manylinux_2_17_aarch64 py3-none-any
""",
    "made any": """
cp311-none-any cp312-cp312-any cp312-none-any py3-none-any py311-none-any py312-none-any
""",
    "made build": """
1-py3-none-any 10-py3-none-any 2a-py3-none-any 2b-py3-none-any 9-py3-none-any py3-none-any
""",
    "made build beside tags": """
1-cp312-cp312-manylinux_2_17_x86_64 2-cp312-cp312-macosx_10_13_universal2 3-cp312-cp312-macosx_10_13_universal2 99-py3-none-any cp312-cp312-macosx_11_0_arm64
cp312-cp312-manylinux_2_28_x86_64
""",
    "made glibc": """
cp312-cp312-linux_aarch64 cp312-cp312-manylinux1_x86_64 cp312-cp312-manylinux2010_x86_64 cp312-cp312-manylinux2014_x86_64 cp312-cp312-manylinux_2_12_aarch64
cp312-cp312-manylinux_2_17_x86_64 cp312-cp312-manylinux_2_39_x86_64 cp314-cp314-linux_x86_64 py3-none-manylinux_2_24_x86_64
""",
    "made intel": """
cp310-cp310-macosx_10_3_x86_64 cp310-cp310-macosx_10_6_intel cp312-cp312-macosx_10_9_fat32 cp312-cp312-macosx_10_9_fat64 cp312-cp312-macosx_10_9_i386
cp312-cp312-macosx_10_9_intel cp312-cp312-macosx_10_9_universal cp312-cp312-macosx_10_9_universal2 cp314-cp314-macosx_10_16_universal2
cp314-cp314-macosx_10_17_x86_64
""",
    "made macos": """
cp310-cp310-macosx_10_15_arm64 cp312-cp312-macosx_11_0_universal2 cp312-cp312-macosx_11_3_universal2 cp312-cp312-macosx_12_0_universal2
cp312-cp312-macosx_12_3_universal2 cp312-cp312-macosx_13_0_universal2 cp312-cp312-macosx_14_0_arm64 cp312-cp312-macosx_14_0_universal2 cp312-cp312-macosx_14_0_x86_64
cp312-cp312-macosx_14_2_universal2 cp312-cp312-macosx_15_0_universal2 cp312-cp312-macosx_26_0_universal2 cp314-cp314-macosx_12_3_arm64
""",
    "made musl": """
cp310-cp310-musllinux_1_2_x86_64.manylinux_2_28_x86_64 cp312-cp312-musllinux_1_1_x86_64 cp312-cp312-musllinux_1_2_aarch64 cp314-cp314-musllinux_1_2_x86_64
""",
    "made several": """
cp310.cp312-cp310.cp312-manylinux_2_17_x86_64 cp312-cp312.abi3-manylinux_2_5_x86_64 py2.py3-none-any py2.py3.cp312-none-macosx_10_13_x86_64.macosx_11_0_arm64
""",
    "made threads": """
cp312-cp312m-manylinux_2_17_x86_64 cp313-cp313t-manylinux_2_17_x86_64 cp314-abi3t-manylinux_2_17_x86_64 cp314-cp314-manylinux_2_28_x86_64
cp314-cp314t-macosx_11_0_arm64 cp314-cp314t-manylinux_2_17_x86_64
""",
    "numba 0.62.1": """
cp310-cp310-macosx_10_15_x86_64 cp310-cp310-macosx_11_0_arm64 cp310-cp310-manylinux2014_x86_64.manylinux_2_17_x86_64
cp310-cp310-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp310-cp310-win_amd64 cp311-cp311-macosx_10_15_x86_64 cp311-cp311-macosx_11_0_arm64
cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64 cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp311-cp311-win_amd64
cp312-cp312-macosx_10_15_x86_64 cp312-cp312-macosx_11_0_arm64 cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64
cp312-cp312-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp312-cp312-win_amd64 cp313-cp313-macosx_10_15_x86_64 cp313-cp313-macosx_12_0_arm64
cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64 cp313-cp313-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp313-cp313-win_amd64
""",
    "numpy 1.21.6": """
cp310-cp310-macosx_10_9_universal2 cp310-cp310-macosx_10_9_x86_64 cp310-cp310-macosx_11_0_arm64 cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64
cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64
""",
    "numpy 2.2.6": """
cp310-cp310-macosx_10_9_x86_64 cp310-cp310-macosx_11_0_arm64 cp310-cp310-macosx_14_0_arm64 cp310-cp310-macosx_14_0_x86_64
cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64 cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64 cp310-cp310-musllinux_1_2_aarch64
cp310-cp310-musllinux_1_2_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64 cp311-cp311-macosx_10_9_x86_64 cp311-cp311-macosx_11_0_arm64 cp311-cp311-macosx_14_0_arm64
cp311-cp311-macosx_14_0_x86_64 cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64 cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64
cp311-cp311-musllinux_1_2_aarch64 cp311-cp311-musllinux_1_2_x86_64 cp311-cp311-win32 cp311-cp311-win_amd64 cp312-cp312-macosx_10_13_x86_64
cp312-cp312-macosx_11_0_arm64 cp312-cp312-macosx_14_0_arm64 cp312-cp312-macosx_14_0_x86_64 cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64
cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64 cp312-cp312-musllinux_1_2_aarch64 cp312-cp312-musllinux_1_2_x86_64 cp312-cp312-win32 cp312-cp312-win_amd64
cp313-cp313-macosx_10_13_x86_64 cp313-cp313-macosx_11_0_arm64 cp313-cp313-macosx_14_0_arm64 cp313-cp313-macosx_14_0_x86_64
cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64 cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64 cp313-cp313-musllinux_1_2_aarch64
cp313-cp313-musllinux_1_2_x86_64 cp313-cp313-win32 cp313-cp313-win_amd64 cp313-cp313t-macosx_10_13_x86_64 cp313-cp313t-macosx_11_0_arm64
cp313-cp313t-macosx_14_0_arm64 cp313-cp313t-macosx_14_0_x86_64 cp313-cp313t-manylinux_2_17_aarch64.manylinux2014_aarch64
cp313-cp313t-manylinux_2_17_x86_64.manylinux2014_x86_64 cp313-cp313t-musllinux_1_2_aarch64 cp313-cp313t-musllinux_1_2_x86_64 cp313-cp313t-win32
cp313-cp313t-win_amd64 pp310-pypy310_pp73-macosx_10_15_x86_64 pp310-pypy310_pp73-macosx_14_0_x86_64 pp310-pypy310_pp73-manylinux_2_17_x86_64.manylinux2014_x86_64
pp310-pypy310_pp73-win_amd64
""",
    "nvidia-cublas-cu12 12.8.4.1": """
py3-none-manylinux_2_27_aarch64 py3-none-manylinux_2_27_x86_64 py3-none-win_amd64
""",
    "onnxruntime 1.23.2": """
cp310-cp310-macosx_13_0_arm64 cp310-cp310-macosx_13_0_x86_64 cp310-cp310-manylinux_2_27_aarch64.manylinux_2_28_aarch64
cp310-cp310-manylinux_2_27_x86_64.manylinux_2_28_x86_64 cp310-cp310-win_amd64 cp311-cp311-macosx_13_0_arm64 cp311-cp311-macosx_13_0_x86_64
cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64 cp311-cp311-win_amd64 cp312-cp312-macosx_13_0_arm64
cp312-cp312-macosx_13_0_x86_64 cp312-cp312-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64
cp312-cp312-win_amd64 cp313-cp313-macosx_13_0_arm64 cp313-cp313-macosx_13_0_x86_64 cp313-cp313-manylinux_2_27_aarch64.manylinux_2_28_aarch64
cp313-cp313-manylinux_2_27_x86_64.manylinux_2_28_x86_64 cp313-cp313-win_amd64 cp313-cp313t-manylinux_2_27_aarch64.manylinux_2_28_aarch64
cp313-cp313t-manylinux_2_27_x86_64.manylinux_2_28_x86_64
""",
    "opencv-python 4.12.0.88": """
cp37-abi3-macosx_13_0_arm64 cp37-abi3-macosx_13_0_x86_64 cp37-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64 cp37-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64
cp37-abi3-win32 cp37-abi3-win_amd64
""",
    "orjson 3.11.5": """
cp310-cp310-macosx_10_15_x86_64.macosx_11_0_arm64.macosx_10_15_universal2 cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64
cp310-cp310-manylinux_2_17_armv7l.manylinux2014_armv7l cp310-cp310-manylinux_2_17_i686.manylinux2014_i686 cp310-cp310-manylinux_2_17_ppc64le.manylinux2014_ppc64le
cp310-cp310-manylinux_2_17_s390x.manylinux2014_s390x cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64 cp310-cp310-musllinux_1_2_aarch64
cp310-cp310-musllinux_1_2_armv7l cp310-cp310-musllinux_1_2_i686 cp310-cp310-musllinux_1_2_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64
cp311-cp311-macosx_10_15_x86_64.macosx_11_0_arm64.macosx_10_15_universal2 cp311-cp311-macosx_15_0_arm64 cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64
cp311-cp311-manylinux_2_17_armv7l.manylinux2014_armv7l cp311-cp311-manylinux_2_17_i686.manylinux2014_i686 cp311-cp311-manylinux_2_17_ppc64le.manylinux2014_ppc64le
cp311-cp311-manylinux_2_17_s390x.manylinux2014_s390x cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64 cp311-cp311-musllinux_1_2_aarch64
cp311-cp311-musllinux_1_2_armv7l cp311-cp311-musllinux_1_2_i686 cp311-cp311-musllinux_1_2_x86_64 cp311-cp311-win32 cp311-cp311-win_amd64 cp311-cp311-win_arm64
cp312-cp312-macosx_10_15_x86_64.macosx_11_0_arm64.macosx_10_15_universal2 cp312-cp312-macosx_15_0_arm64 cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64
cp312-cp312-manylinux_2_17_armv7l.manylinux2014_armv7l cp312-cp312-manylinux_2_17_i686.manylinux2014_i686 cp312-cp312-manylinux_2_17_ppc64le.manylinux2014_ppc64le
cp312-cp312-manylinux_2_17_s390x.manylinux2014_s390x cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64 cp312-cp312-musllinux_1_2_aarch64
cp312-cp312-musllinux_1_2_armv7l cp312-cp312-musllinux_1_2_i686 cp312-cp312-musllinux_1_2_x86_64 cp312-cp312-win32 cp312-cp312-win_amd64 cp312-cp312-win_arm64
cp313-cp313-macosx_10_15_x86_64.macosx_11_0_arm64.macosx_10_15_universal2 cp313-cp313-macosx_15_0_arm64 cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64
cp313-cp313-manylinux_2_17_armv7l.manylinux2014_armv7l cp313-cp313-manylinux_2_17_i686.manylinux2014_i686 cp313-cp313-manylinux_2_17_ppc64le.manylinux2014_ppc64le
cp313-cp313-manylinux_2_17_s390x.manylinux2014_s390x cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64 cp313-cp313-musllinux_1_2_aarch64
cp313-cp313-musllinux_1_2_armv7l cp313-cp313-musllinux_1_2_i686 cp313-cp313-musllinux_1_2_x86_64 cp313-cp313-win32 cp313-cp313-win_amd64 cp313-cp313-win_arm64
cp314-cp314-macosx_10_15_x86_64.macosx_11_0_arm64.macosx_10_15_universal2 cp314-cp314-macosx_15_0_arm64 cp314-cp314-manylinux_2_17_aarch64.manylinux2014_aarch64
cp314-cp314-manylinux_2_17_armv7l.manylinux2014_armv7l cp314-cp314-manylinux_2_17_i686.manylinux2014_i686 cp314-cp314-manylinux_2_17_ppc64le.manylinux2014_ppc64le
cp314-cp314-manylinux_2_17_s390x.manylinux2014_s390x cp314-cp314-manylinux_2_17_x86_64.manylinux2014_x86_64 cp314-cp314-musllinux_1_2_aarch64
cp314-cp314-musllinux_1_2_armv7l cp314-cp314-musllinux_1_2_i686 cp314-cp314-musllinux_1_2_x86_64 cp314-cp314-win32 cp314-cp314-win_amd64 cp314-cp314-win_arm64
""",
    "polars-runtime-32 1.36.1": """
cp39-abi3-macosx_10_12_x86_64 cp39-abi3-macosx_11_0_arm64 cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64 cp39-abi3-manylinux_2_24_aarch64 cp39-abi3-win_amd64
cp39-abi3-win_arm64
""",
    "protobuf 3.20.3": """
cp310-cp310-manylinux2014_aarch64 cp310-cp310-manylinux_2_12_x86_64.manylinux2010_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64 py2.py3-none-any
""",
    "protobuf 6.33.2": """
cp310-abi3-win32 cp310-abi3-win_amd64 cp39-abi3-macosx_10_9_universal2 cp39-abi3-manylinux2014_aarch64 cp39-abi3-manylinux2014_s390x cp39-abi3-manylinux2014_x86_64
py3-none-any
""",
    "psutil 7.1.3": """
cp313-cp313t-macosx_10_13_x86_64 cp313-cp313t-macosx_11_0_arm64 cp313-cp313t-manylinux2010_x86_64.manylinux_2_12_x86_64.manylinux_2_28_x86_64
cp313-cp313t-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64 cp313-cp313t-win_amd64 cp313-cp313t-win_arm64 cp314-cp314t-macosx_10_15_x86_64
cp314-cp314t-macosx_11_0_arm64 cp314-cp314t-manylinux2010_x86_64.manylinux_2_12_x86_64.manylinux_2_28_x86_64
cp314-cp314t-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64 cp314-cp314t-win_amd64 cp314-cp314t-win_arm64 cp36-abi3-macosx_10_9_x86_64
cp36-abi3-macosx_11_0_arm64 cp36-abi3-manylinux2010_x86_64.manylinux_2_12_x86_64.manylinux_2_28_x86_64
cp36-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64 cp37-abi3-win_amd64 cp37-abi3-win_arm64
""",
    "pydantic-core 2.41.5": """
cp310-cp310-macosx_10_12_x86_64 cp310-cp310-macosx_11_0_arm64 cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64
cp310-cp310-manylinux_2_17_armv7l.manylinux2014_armv7l cp310-cp310-manylinux_2_17_ppc64le.manylinux2014_ppc64le cp310-cp310-manylinux_2_17_s390x.manylinux2014_s390x
cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64 cp310-cp310-manylinux_2_5_i686.manylinux1_i686 cp310-cp310-musllinux_1_1_aarch64
cp310-cp310-musllinux_1_1_armv7l cp310-cp310-musllinux_1_1_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64 cp311-cp311-macosx_10_12_x86_64
cp311-cp311-macosx_11_0_arm64 cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64 cp311-cp311-manylinux_2_17_armv7l.manylinux2014_armv7l
cp311-cp311-manylinux_2_17_ppc64le.manylinux2014_ppc64le cp311-cp311-manylinux_2_17_s390x.manylinux2014_s390x cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64
cp311-cp311-manylinux_2_5_i686.manylinux1_i686 cp311-cp311-musllinux_1_1_aarch64 cp311-cp311-musllinux_1_1_armv7l cp311-cp311-musllinux_1_1_x86_64 cp311-cp311-win32
cp311-cp311-win_amd64 cp311-cp311-win_arm64 cp312-cp312-macosx_10_12_x86_64 cp312-cp312-macosx_11_0_arm64 cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64
cp312-cp312-manylinux_2_17_armv7l.manylinux2014_armv7l cp312-cp312-manylinux_2_17_ppc64le.manylinux2014_ppc64le cp312-cp312-manylinux_2_17_s390x.manylinux2014_s390x
cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64 cp312-cp312-manylinux_2_5_i686.manylinux1_i686 cp312-cp312-musllinux_1_1_aarch64
cp312-cp312-musllinux_1_1_armv7l cp312-cp312-musllinux_1_1_x86_64 cp312-cp312-win32 cp312-cp312-win_amd64 cp312-cp312-win_arm64 cp313-cp313-macosx_10_12_x86_64
cp313-cp313-macosx_11_0_arm64 cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64 cp313-cp313-manylinux_2_17_armv7l.manylinux2014_armv7l
cp313-cp313-manylinux_2_17_ppc64le.manylinux2014_ppc64le cp313-cp313-manylinux_2_17_s390x.manylinux2014_s390x cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64
cp313-cp313-manylinux_2_5_i686.manylinux1_i686 cp313-cp313-musllinux_1_1_aarch64 cp313-cp313-musllinux_1_1_armv7l cp313-cp313-musllinux_1_1_x86_64 cp313-cp313-win32
cp313-cp313-win_amd64 cp313-cp313-win_arm64 cp314-cp314-macosx_10_12_x86_64 cp314-cp314-macosx_11_0_arm64 cp314-cp314-manylinux_2_17_aarch64.manylinux2014_aarch64
cp314-cp314-manylinux_2_17_armv7l.manylinux2014_armv7l cp314-cp314-manylinux_2_17_ppc64le.manylinux2014_ppc64le cp314-cp314-manylinux_2_17_s390x.manylinux2014_s390x
cp314-cp314-manylinux_2_17_x86_64.manylinux2014_x86_64 cp314-cp314-manylinux_2_5_i686.manylinux1_i686 cp314-cp314-musllinux_1_1_aarch64
cp314-cp314-musllinux_1_1_armv7l cp314-cp314-musllinux_1_1_x86_64 cp314-cp314-win32 cp314-cp314-win_amd64 cp314-cp314-win_arm64 cp314-cp314t-macosx_10_12_x86_64
cp314-cp314t-macosx_11_0_arm64 cp314-cp314t-manylinux_2_17_aarch64.manylinux2014_aarch64 cp314-cp314t-manylinux_2_17_armv7l.manylinux2014_armv7l
cp314-cp314t-manylinux_2_17_ppc64le.manylinux2014_ppc64le cp314-cp314t-manylinux_2_17_s390x.manylinux2014_s390x
cp314-cp314t-manylinux_2_17_x86_64.manylinux2014_x86_64 cp314-cp314t-manylinux_2_5_i686.manylinux1_i686 cp314-cp314t-musllinux_1_1_aarch64
cp314-cp314t-musllinux_1_1_armv7l cp314-cp314t-musllinux_1_1_x86_64 cp314-cp314t-win32 cp314-cp314t-win_amd64 cp314-cp314t-win_arm64
graalpy311-graalpy242_311_native-macosx_10_12_x86_64 graalpy311-graalpy242_311_native-macosx_11_0_arm64
graalpy311-graalpy242_311_native-manylinux_2_17_aarch64.manylinux2014_aarch64 graalpy311-graalpy242_311_native-manylinux_2_17_x86_64.manylinux2014_x86_64
graalpy312-graalpy250_312_native-macosx_10_12_x86_64 graalpy312-graalpy250_312_native-macosx_11_0_arm64
graalpy312-graalpy250_312_native-manylinux_2_17_aarch64.manylinux2014_aarch64 graalpy312-graalpy250_312_native-manylinux_2_17_x86_64.manylinux2014_x86_64
pp310-pypy310_pp73-macosx_10_12_x86_64 pp310-pypy310_pp73-macosx_11_0_arm64 pp310-pypy310_pp73-manylinux_2_17_x86_64.manylinux2014_x86_64
pp310-pypy310_pp73-manylinux_2_5_i686.manylinux1_i686 pp310-pypy310_pp73-musllinux_1_1_aarch64 pp310-pypy310_pp73-musllinux_1_1_armv7l
pp310-pypy310_pp73-musllinux_1_1_x86_64 pp310-pypy310_pp73-win_amd64 pp311-pypy311_pp73-macosx_10_12_x86_64 pp311-pypy311_pp73-macosx_11_0_arm64
pp311-pypy311_pp73-manylinux_2_17_x86_64.manylinux2014_x86_64 pp311-pypy311_pp73-manylinux_2_5_i686.manylinux1_i686 pp311-pypy311_pp73-musllinux_1_1_aarch64
pp311-pypy311_pp73-musllinux_1_1_armv7l pp311-pypy311_pp73-musllinux_1_1_x86_64 pp311-pypy311_pp73-win_amd64
""",
    "pyyaml 6.0.3": """
cp310-cp310-macosx_10_13_x86_64 cp310-cp310-macosx_11_0_arm64 cp310-cp310-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64
cp310-cp310-manylinux2014_s390x.manylinux_2_17_s390x.manylinux_2_28_s390x cp310-cp310-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64
cp310-cp310-musllinux_1_2_aarch64 cp310-cp310-musllinux_1_2_x86_64 cp310-cp310-win32 cp310-cp310-win_amd64 cp311-cp311-macosx_10_13_x86_64
cp311-cp311-macosx_11_0_arm64 cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64
cp311-cp311-manylinux2014_s390x.manylinux_2_17_s390x.manylinux_2_28_s390x cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64
cp311-cp311-musllinux_1_2_aarch64 cp311-cp311-musllinux_1_2_x86_64 cp311-cp311-win32 cp311-cp311-win_amd64 cp312-cp312-macosx_10_13_x86_64
cp312-cp312-macosx_11_0_arm64 cp312-cp312-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64
cp312-cp312-manylinux2014_s390x.manylinux_2_17_s390x.manylinux_2_28_s390x cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64
cp312-cp312-musllinux_1_2_aarch64 cp312-cp312-musllinux_1_2_x86_64 cp312-cp312-win32 cp312-cp312-win_amd64 cp312-cp312-win_arm64 cp313-cp313-macosx_10_13_x86_64
cp313-cp313-macosx_11_0_arm64 cp313-cp313-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64
cp313-cp313-manylinux2014_s390x.manylinux_2_17_s390x.manylinux_2_28_s390x cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64
cp313-cp313-musllinux_1_2_aarch64 cp313-cp313-musllinux_1_2_x86_64 cp313-cp313-win32 cp313-cp313-win_amd64 cp313-cp313-win_arm64 cp314-cp314-macosx_10_13_x86_64
cp314-cp314-macosx_11_0_arm64 cp314-cp314-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64
cp314-cp314-manylinux2014_s390x.manylinux_2_17_s390x.manylinux_2_28_s390x cp314-cp314-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64
cp314-cp314-musllinux_1_2_aarch64 cp314-cp314-musllinux_1_2_x86_64 cp314-cp314-win_amd64 cp314-cp314-win_arm64 cp314-cp314t-macosx_10_13_x86_64
cp314-cp314t-macosx_11_0_arm64 cp314-cp314t-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64
cp314-cp314t-manylinux2014_s390x.manylinux_2_17_s390x.manylinux_2_28_s390x cp314-cp314t-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64
cp314-cp314t-musllinux_1_2_aarch64 cp314-cp314t-musllinux_1_2_x86_64 cp314-cp314t-win_amd64 cp314-cp314t-win_arm64
""",
    "pyzmq 27.1.0": """
cp310-cp310-macosx_10_15_universal2 cp310-cp310-manylinux2014_i686.manylinux_2_17_i686 cp310-cp310-manylinux_2_26_aarch64.manylinux_2_28_aarch64
cp310-cp310-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp310-cp310-musllinux_1_2_aarch64 cp310-cp310-musllinux_1_2_i686 cp310-cp310-musllinux_1_2_x86_64
cp310-cp310-win32 cp310-cp310-win_amd64 cp310-cp310-win_arm64 cp311-cp311-macosx_10_15_universal2 cp311-cp311-manylinux2014_i686.manylinux_2_17_i686
cp311-cp311-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp311-cp311-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp311-cp311-musllinux_1_2_aarch64
cp311-cp311-musllinux_1_2_i686 cp311-cp311-musllinux_1_2_x86_64 cp311-cp311-win32 cp311-cp311-win_amd64 cp311-cp311-win_arm64 cp312-abi3-macosx_10_15_universal2
cp312-abi3-manylinux2014_i686.manylinux_2_17_i686 cp312-abi3-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp312-abi3-manylinux_2_26_x86_64.manylinux_2_28_x86_64
cp312-abi3-musllinux_1_2_aarch64 cp312-abi3-musllinux_1_2_i686 cp312-abi3-musllinux_1_2_x86_64 cp312-abi3-win32 cp312-abi3-win_amd64 cp312-abi3-win_arm64
cp313-cp313-android_24_arm64_v8a cp313-cp313-android_24_x86_64 cp313-cp313t-macosx_10_15_universal2 cp313-cp313t-manylinux2014_i686.manylinux_2_17_i686
cp313-cp313t-manylinux_2_26_aarch64.manylinux_2_28_aarch64 cp313-cp313t-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp313-cp313t-musllinux_1_2_aarch64
cp313-cp313t-musllinux_1_2_i686 cp313-cp313t-musllinux_1_2_x86_64 cp313-cp313t-win32 cp313-cp313t-win_amd64 cp313-cp313t-win_arm64
cp314-cp314t-macosx_10_15_universal2 cp314-cp314t-manylinux2014_i686.manylinux_2_17_i686 cp314-cp314t-manylinux_2_26_aarch64.manylinux_2_28_aarch64
cp314-cp314t-manylinux_2_26_x86_64.manylinux_2_28_x86_64 cp314-cp314t-musllinux_1_2_aarch64 cp314-cp314t-musllinux_1_2_i686 cp314-cp314t-musllinux_1_2_x86_64
cp314-cp314t-win32 cp314-cp314t-win_amd64 cp314-cp314t-win_arm64 pp310-pypy310_pp73-macosx_10_15_x86_64 pp310-pypy310_pp73-manylinux2014_i686.manylinux_2_17_i686
pp310-pypy310_pp73-manylinux_2_26_aarch64.manylinux_2_28_aarch64 pp310-pypy310_pp73-manylinux_2_26_x86_64.manylinux_2_28_x86_64 pp310-pypy310_pp73-win_amd64
pp311-pypy311_pp73-macosx_10_15_x86_64 pp311-pypy311_pp73-manylinux2014_i686.manylinux_2_17_i686 pp311-pypy311_pp73-manylinux_2_26_aarch64.manylinux_2_28_aarch64
pp311-pypy311_pp73-manylinux_2_26_x86_64.manylinux_2_28_x86_64 pp311-pypy311_pp73-win_amd64
""",
    "tensorflow 2.20.0": """
cp310-cp310-macosx_12_0_arm64 cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64 cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64 cp310-cp310-win_amd64
cp311-cp311-macosx_12_0_arm64 cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64 cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64 cp311-cp311-win_amd64
cp312-cp312-macosx_12_0_arm64 cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64 cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64 cp312-cp312-win_amd64
cp313-cp313-macosx_12_0_arm64 cp313-cp313-manylinux_2_17_aarch64.manylinux2014_aarch64 cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64 cp313-cp313-win_amd64
""",
    "tokenizers 0.22.1": """
cp39-abi3-macosx_10_12_x86_64 cp39-abi3-macosx_11_0_arm64 cp39-abi3-manylinux_2_17_aarch64.manylinux2014_aarch64 cp39-abi3-manylinux_2_17_armv7l.manylinux2014_armv7l
cp39-abi3-manylinux_2_17_i686.manylinux2014_i686 cp39-abi3-manylinux_2_17_ppc64le.manylinux2014_ppc64le cp39-abi3-manylinux_2_17_s390x.manylinux2014_s390x
cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64 cp39-abi3-musllinux_1_2_aarch64 cp39-abi3-musllinux_1_2_armv7l cp39-abi3-musllinux_1_2_i686
cp39-abi3-musllinux_1_2_x86_64 cp39-abi3-win32 cp39-abi3-win_amd64
""",
    "torch 2.9.1": """
cp310-cp310-manylinux_2_28_aarch64 cp310-cp310-manylinux_2_28_x86_64 cp310-cp310-win_amd64 cp310-none-macosx_11_0_arm64 cp311-cp311-manylinux_2_28_aarch64
cp311-cp311-manylinux_2_28_x86_64 cp311-cp311-win_amd64 cp311-none-macosx_11_0_arm64 cp312-cp312-manylinux_2_28_aarch64 cp312-cp312-manylinux_2_28_x86_64
cp312-cp312-win_amd64 cp312-none-macosx_11_0_arm64 cp313-cp313-manylinux_2_28_aarch64 cp313-cp313-manylinux_2_28_x86_64 cp313-cp313-win_amd64
cp313-cp313t-macosx_11_0_arm64 cp313-cp313t-manylinux_2_28_aarch64 cp313-cp313t-manylinux_2_28_x86_64 cp313-cp313t-win_amd64 cp313-none-macosx_11_0_arm64
cp314-cp314-macosx_11_0_arm64 cp314-cp314-manylinux_2_28_aarch64 cp314-cp314-manylinux_2_28_x86_64 cp314-cp314-win_amd64 cp314-cp314t-macosx_11_0_arm64
cp314-cp314t-manylinux_2_28_aarch64 cp314-cp314t-manylinux_2_28_x86_64 cp314-cp314t-win_amd64
""",
    "triton 3.5.1": """
cp310-cp310-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp310-cp310-manylinux_2_27_x86_64.manylinux_2_28_x86_64
cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64
cp312-cp312-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64
cp313-cp313-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp313-cp313-manylinux_2_27_x86_64.manylinux_2_28_x86_64
cp313-cp313t-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp313-cp313t-manylinux_2_27_x86_64.manylinux_2_28_x86_64
cp314-cp314-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp314-cp314-manylinux_2_27_x86_64.manylinux_2_28_x86_64
cp314-cp314t-manylinux_2_27_aarch64.manylinux_2_28_aarch64 cp314-cp314t-manylinux_2_27_x86_64.manylinux_2_28_x86_64
""",
    "uv 0.9.18": """
py3-none-linux_armv6l py3-none-macosx_10_12_x86_64 py3-none-macosx_11_0_arm64 py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64
py3-none-manylinux_2_17_armv7l.manylinux2014_armv7l py3-none-manylinux_2_17_i686.manylinux2014_i686 py3-none-manylinux_2_17_ppc64.manylinux2014_ppc64
py3-none-manylinux_2_17_ppc64le.manylinux2014_ppc64le py3-none-manylinux_2_17_s390x.manylinux2014_s390x py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64
py3-none-manylinux_2_28_aarch64 py3-none-manylinux_2_31_riscv64 py3-none-musllinux_1_1_armv7l py3-none-musllinux_1_1_i686 py3-none-musllinux_1_1_x86_64
py3-none-win32 py3-none-win_amd64 py3-none-win_arm64
""",
    "xgboost 3.1.2": """
py3-none-macosx_10_15_x86_64 py3-none-macosx_12_0_arm64 py3-none-manylinux_2_28_aarch64 py3-none-manylinux_2_28_x86_64 py3-none-win_amd64
""",
}

WHEEL_NAMES = {release: names.strip().replace("\n", " ").split(" ") for release, names in _NAMES.items()}
