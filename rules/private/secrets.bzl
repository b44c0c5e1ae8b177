"""The actions that look for secrets in a Bento, beside its build."""

load(":attributes.bzl", "add_texts", "label_text")
load(":helper.bzl", "arguments", "run_helper", "verb")

SECRETS = {
    "allowed_secrets": attr.string_list(doc = "Files that may have what looks like secrets, as paths in the Bento (`src/fixtures/key.json`), where a comment `# bento: allow-secret` on the line, or the one before, is no way. One in which nothing is found is refused."),
    "check_secrets": attr.bool(default = True, doc = "Whether the build fails where sources, data or settings have what looks like private keys or tokens ([which](../docs/security.md#secrets-in-bentos))."),
}

def _look(ctx, name, parts, manifest = []):
    output = ctx.actions.declare_file("{}.{}_checked".format(ctx.label.name, name))
    args = arguments(ctx)
    args.add("--target", label_text(ctx.label))
    args.add_all(parts, before_each = "--part")
    args.add_all(manifest, before_each = "--manifest")
    add_texts(args, "--allowed", ctx.attr.allowed_secrets)
    args.add("--output", output)
    run_helper(
        ctx,
        mnemonic = "BentoSecrets",
        progress_message = "Looking for secrets in %{label}",
        verb = verb("check_secrets", args, inputs = depset(parts + manifest)),
        outputs = [output],
    )
    return output

def check_secrets(ctx, *, manifest, parts):
    """Declares the search; `data` have one of their own, which a changed line of sources does not repeat.

    Args:
      ctx: context of a rule with the attributes of `SECRETS`.
      manifest: File, the manifest of the Bento.
      parts: list of Files: the parts with metadata, sources, and data where there are some.

    Returns:
      A list of Files, empty where the target asks for no search.
    """
    if not ctx.attr.check_secrets:
        return []
    checked = [_look(ctx, "secrets", parts[:2], [manifest])]
    return checked + ([_look(ctx, "data_secrets", parts[2:])] if parts[2:] else [])
