"""BentoCloud and Yatai: contexts, and Bentos and models there and back, by the protocol of BentoML's own client."""
