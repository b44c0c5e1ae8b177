"""BentoStamp: labels of the workspace status, in bento.yaml and nowhere else."""

import io
import tarfile

import yaml

from tests.actions.helper import LABEL, refused

STATUS = "STABLE_COMMIT 1f3a\nBUILD_NOTE two words\n"


def stamp(actions, *labels, status=STATUS):
    part = actions.package(labels=[["owner", "me"]]).outputs["--part"]
    arguments = ["--target", LABEL, "--part", actions.write("bazel-out/metadata.part", part)]
    stable, newline, volatile = status.partition("\n")
    arguments += ["--status", actions.write("stable.txt", stable + newline)]
    arguments += ["--status", actions.write("volatile.txt", volatile)]
    arguments += [word for key, name in labels for word in ("--label", f'"{key}"', f'"{name}"')]
    return part, actions.run("stamp", arguments, {"--output": "stamped.part"})


def members(part):
    with tarfile.open(fileobj=io.BytesIO(part), mode="r:xz") as archive:
        return {member.name: (member.mode, archive.extractfile(member).read()) for member in archive}


def test_labels_are_added(actions):
    part, outcome = stamp(actions, ("commit", "{STABLE_COMMIT}"), ("note", "of {BUILD_NOTE}"))
    assert (outcome.code, outcome.errors) == (0, "")
    before, after = members(part), members(outcome.outputs["--output"])
    [name] = [name for name in before if name.endswith("bento.yaml") and "src/" not in name]
    old, new = yaml.safe_load(before.pop(name)[1]), yaml.safe_load(after.pop(name)[1])
    assert new.pop("labels") == old.pop("labels") | {"commit": "1f3a", "note": "of two words"}
    assert list(new) == list(old)
    assert new == old, "version and all else is that of the Bento without the stamp"
    assert after == before


def test_no_label_changes_nothing(actions):
    part, outcome = stamp(actions)
    assert members(outcome.outputs["--output"]) == members(part)


def test_a_status_that_is_missing(actions):
    _, outcome = stamp(actions, ("commit", "{STABLE_COMIT}"))
    refused(outcome, LABEL, "labels: '{STABLE_COMIT}' contains the unknown key {STABLE_COMIT}. Valid keys:")


def test_an_empty_status_is_a_build_without_a_stamp(actions):
    for status in "", "\n", " without a key\n\n":
        _, outcome = stamp(actions, ("commit", "{STABLE_COMMIT}"), status=status)
        refused(outcome, LABEL, "labels: '{STABLE_COMMIT}' uses {STABLE_COMMIT}, but the build isn't stamped. Build")
