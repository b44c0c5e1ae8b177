"""Lists the commands in documents other than the tutorial, and specifies the tests that run each command.

Each command is in one of three tables, in the form that `documents.commands` returns. tests/docs/test_docs.py checks
that no command is missing, and that the names in a table exist. The e2e scenario `tutorial` runs the commands of the
tutorial.
"""

# Given by e2e `lint`, in a checkout of this repository.
GIVEN = ("bazel run //examples/iris:iris_venv", "tools/bazel build //examples/iris:iris_bento")
# Given elsewhere in another workspace, with other names, or on other ports: the file that does.
HELD = {
    ".ci/run": ".ci/run",
    ".ci/weekly": ".ci/weekly",
    "bazel build //examples/api:server_image": ".ci/run",
    "bazel build //examples/base:python": ".ci/run",
    "bazel run //examples/iris:iris -- --port 3000": "e2e/serving.py",
    "bazel test //examples/api:server_test": ".ci/run",
    "bazel test //examples/iris:all": ".ci/run",
    "bazel build //:hello": "e2e/pip_parse.py",
    "bazel build //shout:shout_image": "e2e/pip_parse.py",
    "bazel test //:hello_test": "e2e/pip_parse.py",
    "bazel build //:hello_image": "e2e/pip_parse.py",
    "bazel run //:debian.update": "e2e/pip_parse.py",
    "bazel run //:hello_push": "e2e/pip_parse.py",
    "touch debian.lock.json": "e2e/pip_parse.py",
    "bazel query --repo_env=BENTO_QUERY_PYTHON=python3 rdeps(//..., //lib:scaling.py)": "e2e/hubs.py",
    "bazel build //svc:bento": "tests/interoperation/test_iris.py",
    "bazel build //svc:clf --output_groups=bentomodel": "tests/models/test_bentoml.py",
    "bazel build //svc:iris_bento": "e2e/bentofile.py",
    "bazel run //:hello -- --port 3000": "e2e/pip_parse.py",
    "bento build": "tests/cli/test_cli.py",
    "bento build svc": "tests/cli/test_cli.py",
    "bento image . -t ghcr.io/acme/api:v1 --push --sign-key env://COSIGN_PRIVATE_KEY --cache-key cosign.pub "
    "--cache-from ghcr.io/acme/cache --cache-to ghcr.io/acme/cache": "tests/sharing/test_registry_cache.py",
    "podman run --rm -p 8000:8000 registry.example.com/api:v1": "e2e/dockerfile.py",
    "bento image . -t registry.example.com/api:v1 --push --start /greet?name=Ada": "e2e/dockerfile.py",
    "bento init": "e2e/dockerfile.py",
    "uv init --no-package .": "e2e/dockerfile.py",
    "uv add fastapi uvicorn": "e2e/dockerfile.py",
    "bento image . --apt ffmpeg --apt libgl1 -t api:v1": "tests/sharing/test_system_layers.py",
    "bento image . -t registry.example.com/api:v1 --push --start /readyz": "tests/sharing/test_start_option.py",
    "bento image hello -t hello:v1": "tests/sharing/test_native.py",
    "bento export iris:latest iris.bento": "tests/cli/test_cli.py",
    "bento list": "tests/cli/test_cli.py",
    "bento push iris oci://registry.example.com/iris:v1": "tests/sharing/test_registry.py",
    "bento completion --help": "tests/cli/test_cli.py",
    "pip install uv ./py ./py/bento_cli": "tests/tools/test_command_wheel.py",
    "bazel coverage //examples/studio:studio_test": "e2e/recording.py",
    "bazel run --config=ci $CACHE --remote_download_minimal --@rules_bento//rules:push_from=cache //svc:push -- $CACHE": (
        "e2e/remote_cache.py"
    ),
    "bazel run //:requirements.update": "e2e/tutorial.py",
    "bazel test //svc:iris_test": "e2e/tutorial.py",
    "bazel build //svc:iris_image": "e2e/tutorial.py",
    "bazel run //svc:push": "e2e/distribution.py",
    "bazel run //svc:iris_push": "e2e/distribution.py",
    "bazel run //svc:push_bert": "e2e/schemas.py",
    "bento models push bert:latest registry.example.com/bert --format kserve": "tests/sharing/test_registry.py",
    "bazel run //examples/iris:iris -- --reload --port 3000": "e2e/serving.py",
    "bazel run //examples/studio:studio_bento": "e2e/serving.py",
    "bazel run :push -- --repository localhost:5000/try/iris": "e2e/distribution.py",
    "bazel run :push -- --sign-key cosign.key --trust-config trust_config.json --builder-id https://ci.example.com/builders/1": "e2e/identities.py",
    "bazel run :push -- --tag v7": "e2e/distribution.py",
    "bazel test //examples/studio:all": ".ci/run",
    "bento models pin org/model": "tests/sharing/test_huggingface.py",
    "bento verify --key cosign.pub --trusted-root trusted_root.json --provenance --sbom oci://registry.example.com/iris:latest": "e2e/identities.py",
    "bento verify --certificate-identity ci@example.com --certificate-oidc-issuer https://accounts.example.com "
    "--trusted-root trusted_root.json oci://registry.example.com/iris:latest": "tests/registry/test_keyless.py",
    "bento verify --policy signatures.yaml --trusted-root trusted_root.json oci://registry.example.com/iris:latest": (
        "tests/registry/test_keyless.py"
    ),
    "bento verify registry.example.com/api:v1 --rebuild --source . --base python:3.12-slim": (
        "tests/proofs/test_verify_command.py"
    ),
    "bento verify registry.example.com/api:v1 --rebuild --source . --attest --sign-key rebuild.key": (
        "tests/proofs/test_attestations.py"
    ),
    "bento verify --policy rebuilt.yaml registry.example.com/api:v1": "tests/proofs/test_attestations.py",
    "bento patch --affected urllib3<2.6.3 --from images.txt": "tests/sharing/test_patch.py",
    "bento patch urllib3==2.6.3 --from images.txt --suffix=-p1": "tests/sharing/test_patch.py",
    "bento sign --keyless oci://registry.example.com/iris:latest": "tests/registry/test_keyless.py",
    "bentoml import $PWD/bazel-bin/svc/bento.bento": "tests/interoperation/test_iris.py",
    "bentoml models import $PWD/bazel-bin/svc/clf.bentomodel": "tests/models/test_bentoml.py",
    "cosign verify --key cosign.pub --trusted-root trusted_root.json registry.example.com/iris:latest": (
        "e2e/identities.py"
    ),
    "cosign verify-attestation --key cosign.pub --type slsaprovenance1 --trusted-root trusted_root.json registry.example.com/iris:latest": "e2e/identities.py",
    "examples/iris/.venv/bin/python -c import bentoml, service": "tests/run/test_venv.py",
    "export UV_INDEX_CORP_USERNAME=alice UV_INDEX_CORP_PASSWORD=…": "e2e/indexes.py",
    "python3 e2e/run.py": ".ci/run",
    "python3 e2e/run.py resolution": "e2e/resolution.py",
    "tools/bazel test //...": ".ci/run",
}  # fmt: skip
# Not given by anything here, and why.
NOT_GIVEN = {
    "bazel build //examples/llm": "builds the Bento, as CI's test of //... does",
    "bazel build //examples/llm:llm_image": "fetches 3 GB of wheels",
    "bazel build //examples/llm:llm_image --output_groups=checked": "fetches 3 GB of wheels",
    "bazel build //examples/llm:llm_large_image": "fetches 3 GB of wheels",
    "bazel build //examples/llm:llm_large_image_without_weights //examples/llm:gpt2_large_image": "fetches 3 GB of wheels",
    "bazel build //examples/mlflow:model": "fetches 50 wheels; see docs/contributing/benchmarks.md",
    "bazel run --@rules_bento//rules:transports :iris_bento -- export s3://bucket/iris.bento": "needs a server; "
    "tests/transports has one",
    "bazel run :iris_bento -- export release/iris-$(git describe).bento": "needs a tag",
    "bazel run :iris_bento -- import": "e2e/delivery.py runs it for another Bento",
    "bazel run :iris_bento -- push --context staging": "needs a cloud; tests/sharing/test_bentoml_command.py has one",
    "bazel run //mlflow:requirements.update": "asks a package index",
    "bazel test //examples/mlflow:server_test": "fetches 50 wheels; see docs/contributing/benchmarks.md",
    "bazel run //examples/mlflow:load_server": "loads the image into the engine of the machine",
    "docker run --rm -p 8000:8000 server_image": "needs an engine; server_test starts the image without one",
    "bazel build //examples/studio:studio_bento_large": "its model has 2 GB, more than CI is to write",
    "bazel build //examples/iris:iris_image --output_groups=sbom": "tests/images reads the SBOM of this image",
    "bazel run //debian:python.update": "asks Debian's mirrors",
    "bazel run //examples/iris:iris_push": "pushes to a registry that doesn't exist; e2e/distribution.py has one of its own",
    "bazel test //examples/llm:llm_test": "fetches 3 GB of wheels",
    "bazel test //examples/studio:studio_large_test": "its model has 2 GB, more than CI is to write",
    "curl": "asks a server of the command above it, which tests ask by clients of their own",
    "grype": "downloads a database of vulnerabilities",
    "kubectl": "needs a cluster",
    "bazel build //svc:bento --output_groups=openapi": "//tests/analysis lists the output group",
    "oasdiff breaking --fail-on ERR svc/openapi.yaml bazel-bin/svc/bento.openapi.yaml": "isn't installed on machines of CI",
    "kustomize create --resources iris.yaml,service.yaml": "isn't installed on machines of CI",
    "kustomize edit set image iris=registry.example.com/iris@sha256:…": "isn't installed on machines of CI",
    "bazel run //:load_server": "loads the image into the engine of the machine",
    "bazel run //svc:push_llm": "pushes to a registry that doesn't exist; e2e/distribution.py has one of its own",
    "bazel test //:server_test": "tests an image of its own; //examples/api:server_test is the same",
    "uv build --wheel py --out-dir dist": "asks a package index; tests/tools/test_command_wheel.py installs the wheels",
    "uv build --wheel py/bento_cli --out-dir dist": "asks a package index, like the other project",
    "uv publish dist/*.whl": "publishes",
    "uv publish --publish-url http://localhost:8765/ --username x --password x dist/*.whl": "needs a package index",
    "uvx": "asks a package index",
    "pip install --extra-index-url http://localhost:8765/simple/ rules-bento-cli": "asks a package index",
    "uv init --bare --name bento": "writes pyproject.toml",
    "uv add --index http://localhost:8765/simple/ rules-bento-cli": "asks a package index",
    "bento lock --apt ffmpeg --apt libgl1": "asks a mirror of Debian; e2e/native.py locks a package",
    "uv sync": "asks a package index; tests/tools/test_command_wheel.py installs the wheels",
    "uv run pytest tests/formats": "runs the tests that Bazel runs",
    "uv run pytest tests/lint": "runs the tests that Bazel runs",
    "podman pull registry.example.com/llm-weights": "pulls from a registry that doesn't exist",
    "podman run -p 3000:3000 --mount type=image,source=registry.example.com/llm-weights,destination=/mnt/models/llm "
    "registry.example.com/svc": "needs an engine, and a registry that doesn't exist",
    "podman run --rm -p 3000:3000 hello:v1": "needs an engine",
    "podman run --rm -p 8000:8000 server_image": "needs an engine; server_test starts the image without one",
}
