"""Reads and writes BentoML's store of Bentos and models on the disk, without BentoML.

It knows nothing of networks, builders or servers; `library` has what scripts import, `home` shows the folders.
"""
