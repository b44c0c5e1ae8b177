"""The test of what targets are."""

load(":descriptions.bzl", "described_test_of")
load(":expected.bzl", "EXPECTED")

described_test = described_test_of(EXPECTED)
