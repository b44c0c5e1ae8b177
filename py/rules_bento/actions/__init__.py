"""What Bazel runs in a sandbox: the verbs of the helper, one to a module, each of them one kind of action.

A verb's module has `FLAGS`, the number of values that each of its flags takes, and `run(arguments)`, which
raises BentoError for what people have to mend.
"""
