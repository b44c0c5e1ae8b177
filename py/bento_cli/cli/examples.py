"""Lists arguments of each command as examples for its help."""

EXAMPLES = {
    "build": (
        "svc",
        "svc --archive svc.bento",
    ),
    "containerize": (
        "iris:latest",
        "iris:latest -t registry.example/iris:v1",
    ),
    "serve": (
        "iris:latest",
        "iris:latest --port 3001",
    ),
    "migrate": ("svc",),
    "doctor": (
        "",
        "--online",
    ),
    "list": (
        "",
        "iris -o json",
    ),
    "get": (
        "iris:latest",
        "iris:latest -o json",
    ),
    "delete": (
        "iris:v1",
        "iris --yes",
    ),
    "import": (
        "iris.bento",
        "s3://bucket/iris.bento",
    ),
    "export": (
        "iris:latest",
        "iris:latest iris.tar.gz",
    ),
    "bundle": ("all.bundle iris:v1 fraud:v2",),
    "unbundle": (
        "all.bundle",
        "all.bundle --to archives",
    ),
    "gc": ("--dry-run",),
    "push": (
        "iris:latest oci://registry.example/bentos/iris",
        "iris:latest",
    ),
    "pull": (
        "oci://registry.example/bentos/iris:v1",
        "iris:v1",
    ),
    "copy": ("oci://registry.example/iris:v1 oci://mirror.example/iris",),
    "tags": ("oci://registry.example/bentos/iris",),
    "sign": ("--key cosign.key iris.bento",),
    "tree": (
        "iris:latest",
        "./iris.bento",
    ),
    "diff": ("iris:v1 iris:v2",),
    "verify": (
        "",
        "--key cosign.pub iris.bento",
    ),
    "audit": ("iris:latest --advisories osv.zip",),
    "models list": (
        "",
        "clf -o json",
    ),
    "models get": ("clf:latest",),
    "models pin": ("org/model",),
    "models delete": ("clf:v1",),
    "models import": ("clf.bentomodel",),
    "models export": ("clf:latest",),
    "models push": ("clf:latest oci://registry.example/models/clf",),
    "models pull": ("oci://registry.example/models/clf:v1",),
    "cloud login": ("--endpoint https://cloud.example",),
    "cloud update-current-context": ("staging",),
    "completion": ("bash",),
}
