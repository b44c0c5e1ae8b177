"""The test of what rules hand on."""

load(":expected.bzl", "EXPECTED", "SET_ELSEWHERE")
load(":handed_on.bzl", "handed_on_test_of")

handed_on_test = handed_on_test_of(EXPECTED, SET_ELSEWHERE)
