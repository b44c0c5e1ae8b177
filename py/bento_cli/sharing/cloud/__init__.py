"""BentoCloud and Yatai: contexts, and push and pull of Bentos and models by the protocol of BentoML's own client."""
