"""Defines the public rule for Kubernetes manifests."""

load("//rules:bento_deployment.bzl", _bento_deployment = "bento_deployment")

bento_deployment = _bento_deployment
