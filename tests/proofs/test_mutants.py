"""No random change of an image is proven, unless tarfile extracts the same files from the changed image.

`RULES_BENTO_EXAMPLES` is the number of changed images, and `RULES_BENTO_SEED` selects them.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tarfile
from collections import Counter
from random import Random

import zstandard
from bento_cli.proofs import bytecode_proof, verify_image
from bento_cli.proofs.image_source import read_images
from rules_bento.base.errors import BentoError

from tests.hostile.mutations import changed_value, mutate
from tests.proofs.image_attacks import Image, case, packed

__all__ = ["case"]
EXAMPLES, SEED = int(os.environ.get("RULES_BENTO_EXAMPLES", "300")), os.environ.get("RULES_BENTO_SEED", "1")
SECONDS = 60
_TYPE = "application/vnd.oci.image.layer.v1.tar"
_PACK = {"": bytes, "+gzip": packed, "+zstd": zstandard.compress}
_UNPACK = {
    "": bytes,
    "+gzip": gzip.decompress,
    "+zstd": lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
}


def change(image, random):
    """Make one random change of an image: of a layer, a compressed layer, the config, the manifest, or the SBOM."""
    kind = random.choices(("tar", "blob", "config", "manifest", "sbom"), (8, 4, 3, 3, 1))[0]
    at, suffix = random.randrange(1, len(image.layers)), random.choice([*_PACK])
    if kind in ("config", "sbom"):
        setattr(image, kind, changed_value(getattr(image, kind), random))
    elif kind == "manifest":
        image.on_manifest.append(lambda document: replace(document, changed_value(document, random)))
    else:
        tar = image.unpacked(image.manifest["layers"][at]["digest"])
        if kind == "tar":
            tar = mutate("tar", [tar], random)
            image.on_tar[at] = lambda _: tar
        data = _PACK[suffix](tar)
        image.on_blob[at] = lambda _: data if kind == "tar" else mutate("binary", [data], random)
        image.manifest["layers"][at]["mediaType"] = _TYPE + suffix
    return kind


def replace(document, other):
    document.clear()
    document.update(other)


def is_same(kind, image, before, layout):
    """Whether an image has the SBOM, the fields, the settings, or the files of another."""
    if kind == "sbom":  # without serial number and time
        for each in (image, before):
            each.sbom["serialNumber"] = each.sbom["metadata"]["timestamp"] = ""
        return json.dumps(image.sbom) == json.dumps(before.sbom)
    if kind == "manifest":
        for each in (image, before):
            each.manifest["config"] = each.manifest["config"]["mediaType"]
        return image.manifest == before.manifest
    if kind == "config":  # without the names of layers
        return image.config | {"history": 0} == before.config | {"history": 0}
    return files_of(image, layout) == files_of(before, before.case.out)


def files_of(image, layout):
    """What tarfile extracts from the layers in turn: kinds, modes, owners, targets, other attributes, and contents."""
    found = {}
    for entry in image.manifest["layers"]:
        data = (layout / "blobs" / entry["digest"].replace(":", "/")).read_bytes()
        data = _UNPACK[entry["mediaType"].removeprefix(_TYPE)](data)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for info in tar:
                content = hashlib.sha256(tar.extractfile(info).read() if info.isfile() else b"").digest()
                if not info.isdir():
                    found = {path: each for path, each in found.items() if not path.startswith(f"{info.name}/")}
                others = info.pax_headers.keys() - {"path", "linkpath"}
                found[info.name] = info.type, info.mode, info.uid, info.gid, info.linkname, content, len(others)
    return found


def expired(*_):
    raise TimeoutError


def test_no_changed_image_is_proven(case, tmp_path, monkeypatch, capsys):
    """Proves all of them in one process, with one interpreter."""
    outcomes, wrong = Counter(), []
    prove, plan, planned = verify_image.prove, bytecode_proof.plan_bytecode, []

    def plan_once(*words):
        planned.extend([] if planned else [plan(*words)])
        return planned[0]

    def prove_all(workspace, source, base, packages, trust):
        trusted = trust(())
        for number in range(EXAMPLES):
            image, layout = Image(case), tmp_path / str(number)
            kind = change(image, Random(f"{SEED}-{number}"))
            image.write(layout)
            signal.alarm(SECONDS)
            try:
                [found] = read_images(f"oci:{layout}", None)
                proof = prove(workspace, found, base, packages, lambda _: trusted)
                outcome = "findings" if proof.findings else "unproven" if proof.unproven else "proven"
            except BentoError:
                outcome = "error"
            except Exception as error:
                outcome = f"{type(error).__name__}: {error}"
            finally:
                signal.alarm(0)
            outcomes[kind, outcome] += 1
            seen = ("findings", "error", "proven", *(["unproven"] if kind == "sbom" else []))
            if outcome not in seen or (outcome == "proven" and not is_same(kind, image, Image(case), layout)):
                wrong.append((number, kind, outcome))
            shutil.rmtree(layout)
        return prove(workspace, source, base, packages, trust)

    signal.signal(signal.SIGALRM, expired)
    monkeypatch.setattr(bytecode_proof, "plan_bytecode", plan_once)
    monkeypatch.setattr(verify_image, "prove", prove_all)
    assert case.prove(case.out) == (0, "")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with capsys.disabled():
        sys.stdout.write(f"{dict(sorted(outcomes.items()))}\n" if "RULES_BENTO_EXAMPLES" in os.environ else "")
    assert not wrong, f"RULES_BENTO_SEED={SEED}: {wrong}"
    assert {kind for kind, outcome in outcomes if outcome == "proven"} >= {"tar", "blob", "config"} or EXAMPLES < 300
