"""How actions are told to look for secrets in what they pack."""

load(":attributes.bzl", "add_texts")

SECRETS = {
    "allowed_secrets": attr.string_list(doc = "Files that may have what looks like secrets, as paths in the Bento (`src/fixtures/key.json`), where a comment `# bento: allow-secret` on the line, or the one before, is no way. One in which nothing is found is refused."),
    "check_secrets": attr.bool(default = True, doc = "Whether the build fails where sources, data or settings have what looks like private keys or tokens ([which](../docs/security.md#secrets-in-bentos))."),
}

def add_secrets(ctx, args):
    """Adds to the arguments what is looked for, and where it may be.

    Args:
      ctx: context of a rule with the attributes of `SECRETS`.
      args: an Args.
    """
    if ctx.attr.check_secrets:
        args.add("--look-for-secrets")
        add_texts(args, "--allowed-secret", ctx.attr.allowed_secrets)
