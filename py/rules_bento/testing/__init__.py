"""pytest plugin for `bento_test`, BentoML servers for its tests, and the comparison of APIs."""
