#!/bin/sh
# Writes the archives of a release to the current directory, and its notes to standard output.
set -eu

python3 tools/release.py release >&2
# The tag and MODULE.bazel have the same version.
cp "release/rules_bento-$GITHUB_REF_NAME.tar.gz" .
bazel build //docs/site:registry_docs >&2
cp bazel-bin/docs/site/registry_docs.tar.gz "rules_bento-$GITHUB_REF_NAME.docs.tar.gz"
cat release/notes.md
