"""Contexts for BentoCloud and Yatai, and transfers of Bentos and models with BentoML's protocol."""
