"""Manages contexts for BentoCloud and Yatai, and transfers Bentos and models with BentoML's protocol."""
