"""What the targets are that described_test looks at; what is empty is left out."""

EXPECTED = {
    "//examples/api:server_image": {
        "actions": {
            "BentoBuildDefinition server_image.build_definition.json": {
                "of": [
                    "debs.debs.json",
                    "debs.layer.json",
                    "python.base.json",
                    "server_image.program.digest",
                    "server_image.program.tag",
                ],
                "to": [
                    "server_image.build_definition.json",
                ],
            },
            "BentoDockerArchive server_image.tar": {
                "of": [
                    "*.layer.zstd",
                    "*.layer.zstd.json",
                    "debs.layer.json",
                    "server_image.config.json",
                    "server_image.manifest.json",
                ],
                "to": [
                    "server_image.tar",
                ],
            },
            "BentoImage server_image.config.json": {
                "of": [
                    "*.layer.zstd.json",
                    "debs.layer.json",
                    "python.base.json",
                    "server_image.program.tag",
                ],
                "to": [
                    "server_image.config.json",
                    "server_image.digest",
                    "server_image.manifest.json",
                ],
            },
            "BentoImageCheck server_image.early.libraries.txt": {
                "of": [
                    "*.libraries.json",
                    "debs.debs.json",
                    "python.base.json",
                ],
                "to": [
                    "server_image.early.libraries.txt",
                ],
            },
            "BentoImageCheck server_image.libraries.txt": {
                "of": [
                    "*.libraries.json",
                    "debs.debs.json",
                    "python.base.json",
                ],
                "to": [
                    "server_image.libraries.txt",
                ],
            },
            "BentoLayer server_image.environment.layer.zstd": {
                "to": [
                    "server_image.environment.layer.zstd",
                    "server_image.environment.layer.zstd.json",
                ],
            },
            "BentoLayer server_image.program.digest": {
                "of": [
                    "iris.py",
                    "server.py",
                ],
                "to": [
                    "server_image.program.digest",
                    "server_image.program.layer.zstd",
                    "server_image.program.layer.zstd.json",
                    "server_image.program.tag",
                ],
            },
            "BentoLayerJoin server_image.wheels-annotated-doc.layer.zstd": {
                "of": [
                    "*.part.zstd",
                    "*.part.zstd.json",
                ],
                "to": [
                    "server_image.wheels-annotated-doc.layer.zstd",
                    "server_image.wheels-annotated-doc.layer.zstd.json",
                ],
            },
            "BentoLayerReport server_image.layers.html": {
                "of": [
                    "*.layer.zstd",
                    "*.layer.zstd.json",
                    "debs.layer.json",
                    "joblib.excluded.json",
                ],
                "to": [
                    "server_image.layers.html",
                    "server_image.layers.json",
                ],
            },
            "BentoOciLayout server_image.oci": {
                "of": [
                    "*.layer.zstd",
                    "*.layer.zstd.json",
                    "debs.layer.json",
                    "server_image.config.json",
                    "server_image.manifest.json",
                ],
                "to": [
                    "server_image.oci",
                ],
            },
            "BentoSbom server_image.cdx.json": {
                "of": [
                    "debs.debs.json",
                    "joblib.excluded.json",
                    "python.base.json",
                    "server_image.digest",
                    "server_image.program.digest",
                    "server_image.program.tag",
                ],
                "to": [
                    "server_image.cdx.json",
                ],
            },
            "BentoSummary server_image.summary.json": {
                "of": [
                    "server_image.digest",
                    "server_image.manifest.json",
                    "server_image.program.tag",
                ],
                "to": [
                    "server_image.summary.json",
                ],
            },
        },
        "files": [
            "server_image.config.json",
            "server_image.digest",
            "server_image.manifest.json",
        ],
        "groups": {
            "_validation": [
                "server_image.libraries.txt",
            ],
            "build_definition": [
                "server_image.build_definition.json",
            ],
            "checked": [
                "server_image.early.libraries.txt",
            ],
            "docker_archive": [
                "server_image.tar",
            ],
            "layer_report": [
                "server_image.layers.html",
                "server_image.layers.json",
            ],
            "oci_layout": [
                "server_image.oci",
            ],
            "sbom": [
                "server_image.cdx.json",
            ],
            "summary": [
                "server_image.summary.json",
            ],
        },
        "providers": [
            "BentoImageInfo",
        ],
    },
    "//examples/base:debian.update": {
        "executable": True,
        "files": ["debian.update"],
        "runfiles": ["debian.update"],
    },
    "//examples/base:debian_test": {
        "executable": True,
        "files": ["debian_test"],
        "runfiles": ["debian.lock.json", "debian_test"],
    },
    "//examples/base:debs": {
        "actions": {
            "BentoDebLayer debs.debs.json": {
                "of": ["*.deb"],
                "to": ["debs.debs.json", "debs.layer.json", "debs.layer.zstd"],
            },
        },
        "files": ["debs.layer.json"],
        "groups": {
            "index": ["debs.debs.json"],
            "layer": ["debs.layer.zstd"],
        },
        "providers": ["BentoDebLayerInfo", "BentoLayerInfo"],
    },
    "//examples/base:python": {
        "files": ["debs.layer.json", "python.base.json"],
        "providers": ["BentoBaseInfo", "BentoDebLayerInfo"],
    },
    "//examples/iris:iris_api": {
        "actions": {
            "BentoApi iris_api.openapi.yaml": {
                "imports_bentoml": True,
                "of": ["iris_bento.service.json", "iris_bento.sources.part", "iris_clf.model.json", "iris_clf.model.part", "locked-*.json"],
                "to": ["iris_api.openapi.yaml", "iris_api.schema.json", "iris_api.service.json"],
            },
        },
        "files": ["iris_api.openapi.yaml", "iris_api.schema.json"],
        "providers": ["BentoApiInfo"],
    },
    "//examples/iris:iris_api_test": {
        "executable": True,
        "files": ["iris_api_test"],
        "runfiles": ["iris_api.json", "iris_api.schema.json", "iris_api_test"],
    },
    "//examples/iris:iris_deployment": {
        "actions": {
            "BentoDeployment iris_deployment.yaml": {
                "of": ["iris_bento.bento.yaml", "iris_image.config.json", "iris_images.digest"],
                "to": ["iris_deployment.yaml"],
            },
        },
        "files": ["iris_deployment.yaml"],
    },
    "//examples/iris:iris_service_metadata_test": {
        "actions": {
            "BentoImportService iris_service_metadata_test.service.json": {
                "imports_bentoml": True,
                "of": ["iris_bento.service.json", "iris_bento.sources.part", "iris_clf.model.json", "iris_clf.model.part", "locked-*.json"],
                "to": ["iris_service_metadata_test.service.json"],
            },
            "BentoCompareMetadata iris_service_metadata_test.report": {
                "of": ["iris_bento.locked.json", "iris_bento.service.json", "iris_bento.sources.json", "iris_clf.model.json", "iris_service_metadata_test.service.json"],
                "to": ["iris_service_metadata_test.report"],
            },
        },
        "executable": True,
        "files": ["iris_service_metadata_test"],
        "runfiles": ["iris_service_metadata_test", "iris_service_metadata_test.report"],
    },
    "//examples/iris:iris_policy_test": {
        "actions": {
            "BentoInventory iris_policy_test.packages.json": {
                "of": ["*.whl", "locked-*.json"],
                "to": ["iris_policy_test.packages.json"],
            },
            "BentoSarif iris_policy_test.sarif": {
                "of": ["EXAMPLE-2024-1.yaml", "iris_policy_test.json", "iris_policy_test.packages.json"],
                "to": ["iris_policy_test.sarif"],
            },
        },
        "executable": True,
        "files": ["iris_policy_test"],
        "groups": {"sarif": ["iris_policy_test.sarif"]},
        "runfiles": ["EXAMPLE-2024-1.yaml", "iris_policy_test", "iris_policy_test.json", "iris_policy_test.packages.json"],
    },
    "//examples/iris:iris_startup_test": {
        "executable": True,
        "files": ["iris_startup_test"],
        "runfiles": ["*.layer.zstd", "*.layer.zstd.json", "debs.layer.json", "iris_image.cdx.json", "iris_image.config.json", "iris_image.manifest.json", "iris_startup_test", "iris_startup_test.contents.json"],
    },
    "//examples/iris:iris_test": {
        "executable": True,
        "files": ["iris_test"],
        "providers": ["RunEnvironmentInfo"],
        "runfiles": ["iris_bento.metadata.part", "iris_bento.sources.part", "iris_bento.tag", "iris_clf.model.json", "iris_clf.model.part", "iris_test", "iris_test.json", "iris_test.py"],
        "runfiles_import_bentoml": True,
    },
    "//examples/iris:iris_venv": {
        "executable": True,
        "files": ["iris_venv"],
        "runfiles": ["*.whl", "iris_venv", "iris_venv.json"],
    },
    "//tests/wheels:acme": {
        "actions": {
            "BentoWheelMetadata acme.locked.json": {
                "of": ["acme_scaling-1.0-py3-none-any.whl"],
                "to": ["acme.locked.json"],
            },
            "BentoWheelModules acme.site-packages": {
                "of": ["acme_scaling-1.0-py3-none-any.whl"],
            },
        },
        "providers": ["BentoRequirementInfo", "BentoWheelInfo", "PyInfo"],
    },
    "//tests:requirements.update": {
        "executable": True,
        "files": ["requirements.update"],
        "runfiles": ["requirements.in", "requirements.update"],
    },
    "//tests:requirements_test": {
        "executable": True,
        "files": ["requirements_test"],
        "runfiles": ["requirements.in", "requirements.lock.json", "requirements_test"],
    },
    ":base_of_a_layout": {
        "actions": {
            "BentoBaseContents base_of_a_layout.libraries.json": {
                "of": ["base_of_a_layout.0.layer.json", "base_of_a_layout.1.layer.json", "layout_of_a_rule.oci"],
                "to": ["base_of_a_layout.libraries.json", "base_of_a_layout.system.json"],
            },
            "BentoBaseLayer base_of_a_layout.0.layer": {
                "of": ["base_of_a_layout.0.layer.json", "layout_of_a_rule.oci"],
                "to": ["base_of_a_layout.0.layer"],
            },
            "BentoBaseLayer base_of_a_layout.1.layer": {
                "of": ["base_of_a_layout.1.layer.json", "layout_of_a_rule.oci"],
                "to": ["base_of_a_layout.1.layer"],
            },
            "BentoBaseLayout base_of_a_layout.0.layer.json": {
                "of": ["layout_of_a_rule.oci"],
                "to": ["base_of_a_layout.0.layer.json", "base_of_a_layout.1.layer.json", "base_of_a_layout.base.json"],
            },
        },
        "files": ["base_of_a_layout.0.layer.json", "base_of_a_layout.1.layer.json", "base_of_a_layout.base.json"],
        "groups": {
            "layer": ["base_of_a_layout.0.layer", "base_of_a_layout.1.layer"],
        },
        "providers": ["BentoBaseInfo"],
    },
    ":base_of_links": {
        "actions": {
            "BentoBaseContents base_of_links.libraries.json": {
                "of": ["base_of_links.0.layer.json", "image_of_links.oci", "index.json", "oci-layout", "sha256/*"],
                "to": ["base_of_links.libraries.json", "base_of_links.system.json"],
            },
            "BentoBaseLayer base_of_links.0.layer": {
                "of": ["base_of_links.0.layer.json", "image_of_links.oci", "index.json", "oci-layout", "sha256/*"],
                "to": ["base_of_links.0.layer"],
            },
            "BentoBaseLayout base_of_links.0.layer.json": {
                "of": ["image_of_links.oci", "index.json", "oci-layout", "sha256/*"],
                "to": ["base_of_links.0.layer.json", "base_of_links.base.json"],
            },
        },
        "files": ["base_of_links.0.layer.json", "base_of_links.base.json"],
        "groups": {
            "layer": ["base_of_links.0.layer"],
        },
        "providers": ["BentoBaseInfo"],
    },
    ":bento": {
        "actions": {
            "BentoArchive bento.bento": {
                "of": ["bento.metadata.part", "bento.sources.part", "model.model.json", "model.model.part"],
                "to": ["bento.bento"],
            },
            "BentoBuildDefinition bento.build_definition.json": {
                "of": ["bento.digest", "bento.tag", "model.model.json"],
                "to": ["bento.build_definition.json"],
            },
            "BentoExport bento.folder": {
                "of": ["bento.metadata.part", "bento.sources.part", "model.model.json", "model.model.part"],
                "to": ["bento.folder"],
            },
            "BentoExport bento.tar": {
                "of": ["bento.metadata.part", "bento.sources.part", "model.model.json", "model.model.part"],
                "to": ["bento.tar"],
            },
            "BentoExport bento.tar.gz": {
                "of": ["bento.metadata.part", "bento.sources.part", "model.model.json", "model.model.part"],
                "to": ["bento.tar.gz"],
            },
            "BentoExport bento.zip": {
                "of": ["bento.metadata.part", "bento.sources.part", "model.model.json", "model.model.part"],
                "to": ["bento.zip"],
            },
            "BentoPackage bento.bento.yaml": {
                "of": ["lib.py", "model.model.json", "service.py"],
                "to": ["bento.bento.yaml", "bento.digest", "bento.manifest.json", "bento.metadata.part", "bento.service.json", "bento.sources.json", "bento.sources.part", "bento.tag", "bento.unused"],
            },
            "BentoReport bento.report.html": {
                "of": ["bento.bento", "bento.digest", "bento.manifest.json", "bento.metadata.part", "bento.service.json", "bento.tag", "model.manifest.json", "model.model.json"],
                "to": ["bento.report.html", "bento.report.json"],
            },
            "BentoSummary bento.summary.json": {
                "of": ["bento.bento", "bento.digest", "bento.manifest.json", "bento.tag", "model.model.json"],
                "to": ["bento.summary.json"],
            },
        },
        "executable": True,
        "files": ["bento.bento"],
        "for": "linux_amd64 3.11",
        "groups": {
            "archive": ["bento.bento"],
            "bento_yaml": ["bento.bento.yaml"],
            "build_definition": ["bento.build_definition.json"],
            "digest": ["bento.digest"],
            "folder": ["bento.folder"],
            "manifest": ["bento.manifest.json"],
            "report": ["bento.report.html", "bento.report.json"],
            "summary": ["bento.summary.json"],
            "tag": ["bento.tag"],
            "tar": ["bento.tar"],
            "tar_gz": ["bento.tar.gz"],
            "zip": ["bento.zip"],
        },
        "providers": ["BentoInfo", "RunEnvironmentInfo"],
        "runfiles": ["bento", "bento.bento", "lib.py"],
    },
    ":cloud": {
        "executable": True,
        "files": ["cloud"],
        "runfiles": ["bento.bento", "cloud"],
    },
    ":conda": {
        "options": {
            "pip": ["idna"],
        },
        "providers": ["BentoOptionsInfo"],
    },
    ":docker": {
        "options": {
            "distro": "debian",
        },
        "providers": ["BentoOptionsInfo"],
    },
    ":environment": {
        "actions": {
            "BentoEnvironment environment.image.json": {
                "of": ["setup.sh"],
                "to": ["environment.image.json"],
            },
        },
        "files": ["environment.image.json"],
        "providers": ["BentoEnvironmentInfo"],
    },
    ":export": {
        "executable": True,
        "files": ["export"],
        "runfiles": ["bento.bento", "export"],
    },
    ":image_policy_test": {
        "actions": {
            "BentoInventory image_policy_test.packages.json": {
                "of": ["debs.debs.json"],
                "to": ["image_policy_test.packages.json"],
            },
            "BentoSarif image_policy_test.sarif": {
                "of": ["image_policy_test.json", "image_policy_test.packages.json"],
                "to": ["image_policy_test.sarif"],
            },
        },
        "executable": True,
        "files": ["image_policy_test"],
        "groups": {"sarif": ["image_policy_test.sarif"]},
        "runfiles": ["image_policy_test", "image_policy_test.json", "image_policy_test.packages.json"],
    },
    ":import": {
        "executable": True,
        "files": ["import"],
        "runfiles": ["bento.bento", "import"],
    },
    ":imported_model": {
        "actions": {
            "BentoExport imported_model.bentomodel": {
                "of": ["weights.bin"],
                "to": ["imported_model.bentomodel"],
            },
            "BentoLayer imported_model.layer.gzip": {
                "of": ["imported_model.manifest.json", "imported_model.model.json", "imported_model.model.yaml"],
                "to": ["imported_model.layer.gzip", "imported_model.layer.gzip.json"],
            },
            "BentoLayer imported_model.layer.zstd": {
                "of": ["imported_model.manifest.json", "imported_model.model.json", "imported_model.model.yaml"],
                "to": ["imported_model.layer.zstd", "imported_model.layer.zstd.json"],
            },
            "BentoLayer imported_model.weights-0.layer.gzip": {
                "of": ["weights.bin"],
                "to": ["imported_model.weights-0.layer.gzip", "imported_model.weights-0.layer.gzip.json"],
            },
            "BentoLayer imported_model.weights-0.layer.zstd": {
                "of": ["weights.bin"],
                "to": ["imported_model.weights-0.layer.zstd", "imported_model.weights-0.layer.zstd.json"],
            },
            "BentoLayerZtoc imported_model.layer.gzip.ztoc": {
                "of": ["imported_model.layer.gzip", "imported_model.layer.gzip.json"],
                "to": ["imported_model.layer.gzip.ztoc", "imported_model.layer.gzip.ztoc.json"],
            },
            "BentoLayerZtoc imported_model.weights-0.layer.gzip.ztoc": {
                "of": ["imported_model.weights-0.layer.gzip", "imported_model.weights-0.layer.gzip.json"],
                "to": ["imported_model.weights-0.layer.gzip.ztoc", "imported_model.weights-0.layer.gzip.ztoc.json"],
            },
            "BentoModel imported_model.manifest.json": {
                "of": ["weights.bin"],
                "to": ["imported_model.manifest.json", "imported_model.model.json", "imported_model.model.yaml"],
            },
            "BentoModelPart imported_model.model.part": {
                "of": ["weights.bin"],
                "to": ["imported_model.model.part"],
            },
        },
        "files": ["imported_model.model.json"],
        "groups": {
            "bentomodel": ["imported_model.bentomodel"],
            "manifest": ["imported_model.manifest.json"],
            "part": ["imported_model.model.part"],
        },
        "providers": ["BentoModelInfo"],
    },
    ":layer_of_a_tar": {
        "actions": {
            "BentoLayer layer_of_a_tar.layer.gzip": {
                "of": ["weights.bin"],
                "to": ["layer_of_a_tar.layer.gzip", "layer_of_a_tar.layer.gzip.json"],
            },
            "BentoLayerZtoc layer_of_a_tar.layer.gzip.ztoc": {
                "of": ["layer_of_a_tar.layer.gzip", "layer_of_a_tar.layer.gzip.json"],
                "to": ["layer_of_a_tar.layer.gzip.ztoc", "layer_of_a_tar.layer.gzip.ztoc.json"],
            },
        },
        "files": ["layer_of_a_tar.layer.gzip.json"],
        "groups": {
            "layer": ["layer_of_a_tar.layer.gzip"],
        },
        "providers": ["BentoLayerInfo"],
    },
    ":layer_of_files": {
        "actions": {
            "BentoLayer layer_of_files.layer.zstd": {
                "of": ["shard-1.bin", "shard-2.bin", "shard-3.bin", "shard.onnx", "weights.bin"],
                "to": ["layer_of_files.layer.zstd", "layer_of_files.layer.zstd.json"],
            },
        },
        "files": ["layer_of_files.layer.zstd.json"],
        "groups": {
            "layer": ["layer_of_files.layer.zstd"],
        },
        "providers": ["BentoLayerInfo"],
    },
    ":layer_of_others": {
        "providers": ["BentoLayerInfo"],
    },
    ":model": {
        "actions": {
            "BentoExport model.bentomodel": {
                "of": ["weights.bin"],
                "to": ["model.bentomodel"],
            },
            "BentoLayer model.layer.gzip": {
                "of": ["model.manifest.json", "model.model.json", "model.model.yaml"],
                "to": ["model.layer.gzip", "model.layer.gzip.json"],
            },
            "BentoLayer model.layer.zstd": {
                "of": ["model.manifest.json", "model.model.json", "model.model.yaml"],
                "to": ["model.layer.zstd", "model.layer.zstd.json"],
            },
            "BentoLayer model.weights-0.layer.gzip": {
                "of": ["weights.bin"],
                "to": ["model.weights-0.layer.gzip", "model.weights-0.layer.gzip.json"],
            },
            "BentoLayer model.weights-0.layer.zstd": {
                "of": ["weights.bin"],
                "to": ["model.weights-0.layer.zstd", "model.weights-0.layer.zstd.json"],
            },
            "BentoLayerZtoc model.layer.gzip.ztoc": {
                "of": ["model.layer.gzip", "model.layer.gzip.json"],
                "to": ["model.layer.gzip.ztoc", "model.layer.gzip.ztoc.json"],
            },
            "BentoLayerZtoc model.weights-0.layer.gzip.ztoc": {
                "of": ["model.weights-0.layer.gzip", "model.weights-0.layer.gzip.json"],
                "to": ["model.weights-0.layer.gzip.ztoc", "model.weights-0.layer.gzip.ztoc.json"],
            },
            "BentoModel model.manifest.json": {
                "of": ["weights.bin"],
                "to": ["model.manifest.json", "model.model.json", "model.model.yaml"],
            },
            "BentoModelPart model.model.part": {
                "of": ["weights.bin"],
                "to": ["model.model.part"],
            },
        },
        "files": ["model.model.json"],
        "groups": {
            "bentomodel": ["model.bentomodel"],
            "manifest": ["model.manifest.json"],
            "part": ["model.model.part"],
        },
        "providers": ["BentoModelInfo"],
    },
    ":model_of_shards": {
        "actions": {
            "BentoExport model_of_shards.bentomodel": {
                "of": ["lib.py", "shard-1.bin", "shard-2.bin", "shard-3.bin"],
                "to": ["model_of_shards.bentomodel"],
            },
            "BentoLayer model_of_shards.layer.gzip": {
                "of": ["lib.py", "model_of_shards.manifest.json", "model_of_shards.model.json", "model_of_shards.model.yaml"],
                "to": ["model_of_shards.layer.gzip", "model_of_shards.layer.gzip.json"],
            },
            "BentoLayer model_of_shards.layer.zstd": {
                "of": ["lib.py", "model_of_shards.manifest.json", "model_of_shards.model.json", "model_of_shards.model.yaml"],
                "to": ["model_of_shards.layer.zstd", "model_of_shards.layer.zstd.json"],
            },
            "BentoLayer model_of_shards.weights-0.layer.gzip": {
                "of": ["shard-1.bin", "shard-2.bin"],
                "to": ["model_of_shards.weights-0.layer.gzip", "model_of_shards.weights-0.layer.gzip.json"],
            },
            "BentoLayer model_of_shards.weights-0.layer.zstd": {
                "of": ["shard-1.bin", "shard-2.bin"],
                "to": ["model_of_shards.weights-0.layer.zstd", "model_of_shards.weights-0.layer.zstd.json"],
            },
            "BentoLayer model_of_shards.weights-1.layer.gzip": {
                "of": ["shard-3.bin"],
                "to": ["model_of_shards.weights-1.layer.gzip", "model_of_shards.weights-1.layer.gzip.json"],
            },
            "BentoLayer model_of_shards.weights-1.layer.zstd": {
                "of": ["shard-3.bin"],
                "to": ["model_of_shards.weights-1.layer.zstd", "model_of_shards.weights-1.layer.zstd.json"],
            },
            "BentoLayerZtoc model_of_shards.layer.gzip.ztoc": {
                "of": ["model_of_shards.layer.gzip", "model_of_shards.layer.gzip.json"],
                "to": ["model_of_shards.layer.gzip.ztoc", "model_of_shards.layer.gzip.ztoc.json"],
            },
            "BentoLayerZtoc model_of_shards.weights-0.layer.gzip.ztoc": {
                "of": ["model_of_shards.weights-0.layer.gzip", "model_of_shards.weights-0.layer.gzip.json"],
                "to": ["model_of_shards.weights-0.layer.gzip.ztoc", "model_of_shards.weights-0.layer.gzip.ztoc.json"],
            },
            "BentoLayerZtoc model_of_shards.weights-1.layer.gzip.ztoc": {
                "of": ["model_of_shards.weights-1.layer.gzip", "model_of_shards.weights-1.layer.gzip.json"],
                "to": ["model_of_shards.weights-1.layer.gzip.ztoc", "model_of_shards.weights-1.layer.gzip.ztoc.json"],
            },
            "BentoModel model_of_shards.manifest.json": {
                "of": ["lib.py", "shard-1.bin", "shard-2.bin", "shard-3.bin"],
                "to": ["model_of_shards.manifest.json", "model_of_shards.model.json", "model_of_shards.model.yaml"],
            },
            "BentoModelPart model_of_shards.model.part": {
                "of": ["lib.py", "shard-1.bin", "shard-2.bin", "shard-3.bin"],
                "to": ["model_of_shards.model.part"],
            },
        },
        "files": ["model_of_shards.model.json"],
        "groups": {
            "bentomodel": ["model_of_shards.bentomodel"],
            "manifest": ["model_of_shards.manifest.json"],
            "part": ["model_of_shards.model.part"],
        },
        "providers": ["BentoModelInfo"],
    },
    ":policy_test": {
        "actions": {
            "BentoInventory policy_test.packages.json": {
                "of": ["locked-1.1.1.json"],
                "to": ["policy_test.packages.json"],
            },
            "BentoSarif policy_test.sarif": {
                "of": ["bentofile.yaml", "policy_test.json", "policy_test.packages.json"],
                "to": ["policy_test.sarif"],
            },
        },
        "executable": True,
        "files": ["policy_test"],
        "groups": {"sarif": ["policy_test.sarif"]},
        "runfiles": ["bentofile.yaml", "policy_test", "policy_test.json", "policy_test.packages.json"],
    },
    ":push_of_bento": {
        "executable": True,
        "files": ["push_of_bento"],
        "runfiles": ["bento.bento.yaml", "bento.digest", "bento.metadata.part", "bento.sources.part", "model.model.json", "model.model.part", "push_of_bento", "push_of_bento.contents.json"],
    },
    ":pushes": {
        "executable": True,
        "files": ["pushes"],
        "runfiles": ["bento.bento.yaml", "bento.digest", "bento.metadata.part", "bento.sources.part", "model.model.json", "model.model.part", "push_of_bento.contents.json", "pushes", "pushes.pushes.json", "service_images.index.json", "service_push.contents.json", "stable-status.txt", "volatile-status.txt"],
    },
    ":python_options": {
        "options": {
            "no_index": True,
        },
        "providers": ["BentoOptionsInfo"],
    },
    ":service": {
        "actions": {
            "BentoBuildDefinition service_bento.build_definition.json": {
                "of": ["service_bento.digest", "service_bento.tag"],
                "to": ["service_bento.build_definition.json"],
            },
            "BentoExport service_bento.folder": {
                "of": ["service_bento.metadata.part", "service_bento.sources.part"],
                "to": ["service_bento.folder"],
            },
            "BentoExport service_bento.tar": {
                "of": ["service_bento.metadata.part", "service_bento.sources.part"],
                "to": ["service_bento.tar"],
            },
            "BentoExport service_bento.tar.gz": {
                "of": ["service_bento.metadata.part", "service_bento.sources.part"],
                "to": ["service_bento.tar.gz"],
            },
            "BentoExport service_bento.zip": {
                "of": ["service_bento.metadata.part", "service_bento.sources.part"],
                "to": ["service_bento.zip"],
            },
            "BentoPackage service_bento.bento": {
                "of": ["service.py"],
                "to": ["service_bento.bento", "service_bento.bento.yaml", "service_bento.digest", "service_bento.manifest.json", "service_bento.metadata.part", "service_bento.service.json", "service_bento.sources.json", "service_bento.sources.part", "service_bento.tag", "service_bento.unused"],
            },
            "BentoReport service_bento.report.html": {
                "of": ["service_bento.bento", "service_bento.digest", "service_bento.manifest.json", "service_bento.metadata.part", "service_bento.service.json", "service_bento.tag"],
                "to": ["service_bento.report.html", "service_bento.report.json"],
            },
            "BentoSummary service_bento.summary.json": {
                "of": ["service_bento.bento", "service_bento.digest", "service_bento.manifest.json", "service_bento.tag"],
                "to": ["service_bento.summary.json"],
            },
        },
        "executable": True,
        "files": ["service_bento.bento"],
        "for": "linux_amd64 3.13",
        "groups": {
            "archive": ["service_bento.bento"],
            "bento_yaml": ["service_bento.bento.yaml"],
            "build_definition": ["service_bento.build_definition.json"],
            "digest": ["service_bento.digest"],
            "folder": ["service_bento.folder"],
            "manifest": ["service_bento.manifest.json"],
            "report": ["service_bento.report.html", "service_bento.report.json"],
            "summary": ["service_bento.summary.json"],
            "tag": ["service_bento.tag"],
            "tar": ["service_bento.tar"],
            "tar_gz": ["service_bento.tar.gz"],
            "zip": ["service_bento.zip"],
        },
        "providers": ["BentoInfo", "RunEnvironmentInfo"],
        "runfiles": ["service_bento", "service_bento.bento"],
    },
    ":service_image": {
        "actions": {
            "BentoBuildDefinition service_image.build_definition.json": {
                "of": ["debs.debs.json", "debs.layer.json", "python.base.json", "service_bento.digest", "service_bento.tag"],
                "to": ["service_image.build_definition.json"],
            },
            "BentoDockerArchive service_image.tar": {
                "of": ["debs.layer.json", "debs.layer.zstd", "service_image.bento.layer.zstd", "service_image.bento.layer.zstd.json", "service_image.config.json", "service_image.environment.layer.zstd", "service_image.environment.layer.zstd.json", "service_image.manifest.json"],
                "to": ["service_image.tar"],
            },
            "BentoImage service_image.config.json": {
                "of": ["debs.layer.json", "python.base.json", "service_bento.bento.yaml", "service_image.bento.layer.zstd.json", "service_image.environment.layer.zstd.json", "stable-status.txt", "volatile-status.txt"],
                "to": ["service_image.config.json", "service_image.digest", "service_image.manifest.json"],
            },
            "BentoImageCheck service_image.early.libraries.txt": {
                "of": ["debs.debs.json", "python.base.json"],
                "to": ["service_image.early.libraries.txt"],
            },
            "BentoImageCheck service_image.libraries.txt": {
                "of": ["debs.debs.json", "python.base.json"],
                "to": ["service_image.libraries.txt"],
            },
            "BentoLayer service_image.bento.layer.zstd": {
                "of": ["service_bento.metadata.part", "service_bento.sources.part"],
                "to": ["service_image.bento.layer.zstd", "service_image.bento.layer.zstd.json"],
            },
            "BentoLayer service_image.environment.layer.zstd": {
                "to": ["service_image.environment.layer.zstd", "service_image.environment.layer.zstd.json"],
            },
            "BentoLayerReport service_image.layers.html": {
                "of": ["debs.layer.json", "debs.layer.zstd", "service_image.bento.layer.zstd", "service_image.bento.layer.zstd.json", "service_image.environment.layer.zstd", "service_image.environment.layer.zstd.json"],
                "to": ["service_image.layers.html", "service_image.layers.json"],
            },
            "BentoOciLayout service_image.oci": {
                "of": ["debs.layer.json", "debs.layer.zstd", "service_image.bento.layer.zstd", "service_image.bento.layer.zstd.json", "service_image.config.json", "service_image.environment.layer.zstd", "service_image.environment.layer.zstd.json", "service_image.manifest.json"],
                "to": ["service_image.oci"],
            },
            "BentoSbom service_image.cdx.json": {
                "of": ["debs.debs.json", "python.base.json", "service_bento.digest", "service_bento.tag", "service_image.digest"],
                "to": ["service_image.cdx.json"],
            },
            "BentoSummary service_image.summary.json": {
                "of": ["service_bento.tag", "service_image.digest", "service_image.manifest.json"],
                "to": ["service_image.summary.json"],
            },
            "BentoSystemCheck service_image.system_checked": {
                "of": ["debs.debs.json", "python.base.json", "service_bento.bento.yaml"],
                "to": ["service_image.system_checked"],
            },
        },
        "files": ["service_image.config.json", "service_image.digest", "service_image.manifest.json"],
        "groups": {
            "_validation": ["service_image.libraries.txt", "service_image.system_checked"],
            "build_definition": ["service_image.build_definition.json"],
            "checked": ["service_image.early.libraries.txt", "service_image.system_checked"],
            "docker_archive": ["service_image.tar"],
            "layer_report": ["service_image.layers.html", "service_image.layers.json"],
            "oci_layout": ["service_image.oci"],
            "sbom": ["service_image.cdx.json"],
            "summary": ["service_image.summary.json"],
        },
        "providers": ["BentoImageInfo"],
    },
    ":service_images": {
        "actions": {
            "BentoImageIndex service_images.digest": {
                "of": ["service_image.config.json", "service_image.manifest.json", "volatile-status.txt"],
                "to": ["service_images.digest", "service_images.index.json"],
            },
        },
        "files": ["service_images.digest", "service_images.index.json"],
        "providers": ["BentoImageIndexInfo"],
    },
    ":service_load": {
        "executable": True,
        "files": ["service_load"],
        "runfiles": ["service_images.index.json", "service_load", "service_load.contents.json"],
    },
    ":service_push": {
        "executable": True,
        "files": ["service_push"],
        "runfiles": ["service_images.index.json", "service_push", "service_push.contents.json", "stable-status.txt", "volatile-status.txt"],
    },
    ":weights_for_kserve": {
        "actions": {
            "BentoDockerArchive weights_for_kserve.tar": {
                "of": ["*.layer.zstd", "*.layer.zstd.json", "debs.layer.json", "weights_for_kserve.config.json", "weights_for_kserve.manifest.json"],
                "to": ["weights_for_kserve.tar"],
            },
            "BentoLayer weights_for_kserve.0.layer.zstd": {
                "of": ["lib.py", "model_of_shards.manifest.json", "model_of_shards.model.json", "model_of_shards.model.yaml"],
                "to": ["weights_for_kserve.0.layer.zstd", "weights_for_kserve.0.layer.zstd.json"],
            },
            "BentoLayer weights_for_kserve.0.weights-0.layer.zstd": {
                "of": ["shard-1.bin", "shard-2.bin"],
                "to": ["weights_for_kserve.0.weights-0.layer.zstd", "weights_for_kserve.0.weights-0.layer.zstd.json"],
            },
            "BentoLayer weights_for_kserve.0.weights-1.layer.zstd": {
                "of": ["shard-3.bin"],
                "to": ["weights_for_kserve.0.weights-1.layer.zstd", "weights_for_kserve.0.weights-1.layer.zstd.json"],
            },
            "BentoLayer weights_for_kserve.1.layer.zstd": {
                "of": ["imported_archive.model.part"],
                "to": ["weights_for_kserve.1.layer.zstd", "weights_for_kserve.1.layer.zstd.json"],
            },
            "BentoModelImage weights_for_kserve.config.json": {
                "of": ["*.layer.zstd.json", "debs.layer.json", "imported_archive.model.json", "model_of_shards.model.json", "python.base.json"],
                "to": ["weights_for_kserve.config.json", "weights_for_kserve.digest", "weights_for_kserve.manifest.json"],
            },
            "BentoOciLayout weights_for_kserve.oci": {
                "of": ["*.layer.zstd", "*.layer.zstd.json", "debs.layer.json", "weights_for_kserve.config.json", "weights_for_kserve.manifest.json"],
                "to": ["weights_for_kserve.oci"],
            },
        },
        "files": ["weights_for_kserve.config.json", "weights_for_kserve.digest", "weights_for_kserve.manifest.json"],
        "groups": {
            "docker_archive": ["weights_for_kserve.tar"],
            "oci_layout": ["weights_for_kserve.oci"],
        },
        "providers": ["BentoImageInfo"],
    },
    ":weights_image": {
        "actions": {
            "BentoDockerArchive weights_image.tar": {
                "of": ["model_of_shards.layer.zstd", "model_of_shards.layer.zstd.json", "model_of_shards.weights-0.layer.zstd", "model_of_shards.weights-0.layer.zstd.json", "model_of_shards.weights-1.layer.zstd", "model_of_shards.weights-1.layer.zstd.json", "weights_image.config.json", "weights_image.manifest.json"],
                "to": ["weights_image.tar"],
            },
            "BentoModelImage weights_image.config.json": {
                "of": ["model_of_shards.layer.zstd.json", "model_of_shards.model.json", "model_of_shards.weights-0.layer.zstd.json", "model_of_shards.weights-1.layer.zstd.json"],
                "to": ["weights_image.config.json", "weights_image.digest", "weights_image.manifest.json"],
            },
            "BentoOciLayout weights_image.oci": {
                "of": ["model_of_shards.layer.zstd", "model_of_shards.layer.zstd.json", "model_of_shards.weights-0.layer.zstd", "model_of_shards.weights-0.layer.zstd.json", "model_of_shards.weights-1.layer.zstd", "model_of_shards.weights-1.layer.zstd.json", "weights_image.config.json", "weights_image.manifest.json"],
                "to": ["weights_image.oci"],
            },
        },
        "files": ["weights_image.config.json", "weights_image.digest", "weights_image.manifest.json"],
        "groups": {
            "docker_archive": ["weights_image.tar"],
            "oci_layout": ["weights_image.oci"],
        },
        "providers": ["BentoImageInfo"],
    },
    ":weights_modelpack": {
        "actions": {
            "BentoModelImage weights_modelpack.config.json": {
                "of": ["model_of_one_layer.layer.zstd.json", "model_of_one_layer.model.json"],
                "to": ["weights_modelpack.config.json", "weights_modelpack.digest", "weights_modelpack.manifest.json"],
            },
            "BentoOciLayout weights_modelpack.oci": {
                "of": ["model_of_one_layer.layer.zstd", "model_of_one_layer.layer.zstd.json", "weights_modelpack.config.json", "weights_modelpack.manifest.json"],
                "to": ["weights_modelpack.oci"],
            },
        },
        "files": ["weights_modelpack.config.json", "weights_modelpack.digest", "weights_modelpack.manifest.json"],
        "groups": {
            "oci_layout": ["weights_modelpack.oci"],
        },
        "providers": ["BentoImageInfo"],
    },
    ":with_bentofile": {
        "actions": {
            "BentoBuildDefinition with_bentofile.build_definition.json": {
                "of": ["with_bentofile.digest", "with_bentofile.tag"],
                "to": ["with_bentofile.build_definition.json"],
            },
            "BentoExport with_bentofile.folder": {
                "of": ["with_bentofile.metadata.part", "with_bentofile.sources.part"],
                "to": ["with_bentofile.folder"],
            },
            "BentoExport with_bentofile.tar": {
                "of": ["with_bentofile.metadata.part", "with_bentofile.sources.part"],
                "to": ["with_bentofile.tar"],
            },
            "BentoExport with_bentofile.tar.gz": {
                "of": ["with_bentofile.metadata.part", "with_bentofile.sources.part"],
                "to": ["with_bentofile.tar.gz"],
            },
            "BentoExport with_bentofile.zip": {
                "of": ["with_bentofile.metadata.part", "with_bentofile.sources.part"],
                "to": ["with_bentofile.zip"],
            },
            "BentoPackage with_bentofile.bento": {
                "of": ["bentofile.yaml", "environment.image.json", "service.py", "setup.sh"],
                "to": ["with_bentofile.bento", "with_bentofile.bento.yaml", "with_bentofile.digest", "with_bentofile.manifest.json", "with_bentofile.metadata.part", "with_bentofile.service.json", "with_bentofile.sources.json", "with_bentofile.sources.part", "with_bentofile.tag", "with_bentofile.unused"],
            },
            "BentoReport with_bentofile.report.html": {
                "of": ["with_bentofile.bento", "with_bentofile.digest", "with_bentofile.manifest.json", "with_bentofile.metadata.part", "with_bentofile.service.json", "with_bentofile.tag"],
                "to": ["with_bentofile.report.html", "with_bentofile.report.json"],
            },
            "BentoSummary with_bentofile.summary.json": {
                "of": ["with_bentofile.bento", "with_bentofile.digest", "with_bentofile.manifest.json", "with_bentofile.tag"],
                "to": ["with_bentofile.summary.json"],
            },
        },
        "executable": True,
        "files": ["with_bentofile.bento"],
        "for": "linux_amd64 3.11",
        "groups": {
            "archive": ["with_bentofile.bento"],
            "bento_yaml": ["with_bentofile.bento.yaml"],
            "build_definition": ["with_bentofile.build_definition.json"],
            "digest": ["with_bentofile.digest"],
            "folder": ["with_bentofile.folder"],
            "manifest": ["with_bentofile.manifest.json"],
            "report": ["with_bentofile.report.html", "with_bentofile.report.json"],
            "summary": ["with_bentofile.summary.json"],
            "tag": ["with_bentofile.tag"],
            "tar": ["with_bentofile.tar"],
            "tar_gz": ["with_bentofile.tar.gz"],
            "zip": ["with_bentofile.zip"],
        },
        "providers": ["BentoInfo", "RunEnvironmentInfo"],
        "runfiles": ["with_bentofile", "with_bentofile.bento"],
    },
    ":with_data": {
        "actions": {
            "BentoArchive with_data.bento": {
                "of": ["with_data.data.part", "with_data.metadata.part", "with_data.sources.part"],
                "to": ["with_data.bento"],
            },
            "BentoBuildDefinition with_data.build_definition.json": {
                "of": ["with_data.digest", "with_data.tag"],
                "to": ["with_data.build_definition.json"],
            },
            "BentoData with_data.data.json": {
                "of": ["weights.bin"],
                "to": ["with_data.data.json", "with_data.data.part"],
            },
            "BentoExport with_data.folder": {
                "of": ["with_data.data.part", "with_data.metadata.part", "with_data.sources.part"],
                "to": ["with_data.folder"],
            },
            "BentoExport with_data.tar": {
                "of": ["with_data.data.part", "with_data.metadata.part", "with_data.sources.part"],
                "to": ["with_data.tar"],
            },
            "BentoExport with_data.tar.gz": {
                "of": ["with_data.data.part", "with_data.metadata.part", "with_data.sources.part"],
                "to": ["with_data.tar.gz"],
            },
            "BentoExport with_data.zip": {
                "of": ["with_data.data.part", "with_data.metadata.part", "with_data.sources.part"],
                "to": ["with_data.zip"],
            },
            "BentoLayer with_data.data.layer.gzip": {
                "of": ["weights.bin"],
                "to": ["with_data.data.layer.gzip", "with_data.data.layer.gzip.json"],
            },
            "BentoLayer with_data.data.layer.zstd": {
                "of": ["weights.bin"],
                "to": ["with_data.data.layer.zstd", "with_data.data.layer.zstd.json"],
            },
            "BentoLayerZtoc with_data.data.layer.gzip.ztoc": {
                "of": ["with_data.data.layer.gzip", "with_data.data.layer.gzip.json"],
                "to": ["with_data.data.layer.gzip.ztoc", "with_data.data.layer.gzip.ztoc.json"],
            },
            "BentoPackage with_data.bento.yaml": {
                "of": ["service.py", "weights.bin", "with_data.data.json"],
                "to": ["with_data.bento.yaml", "with_data.digest", "with_data.manifest.json", "with_data.metadata.part", "with_data.service.json", "with_data.sources.json", "with_data.sources.part", "with_data.tag", "with_data.unused"],
            },
            "BentoReport with_data.report.html": {
                "of": ["with_data.bento", "with_data.digest", "with_data.manifest.json", "with_data.metadata.part", "with_data.service.json", "with_data.tag"],
                "to": ["with_data.report.html", "with_data.report.json"],
            },
            "BentoSummary with_data.summary.json": {
                "of": ["with_data.bento", "with_data.digest", "with_data.manifest.json", "with_data.tag"],
                "to": ["with_data.summary.json"],
            },
        },
        "executable": True,
        "files": ["with_data.bento"],
        "for": "linux_amd64 3.11",
        "groups": {
            "archive": ["with_data.bento"],
            "bento_yaml": ["with_data.bento.yaml"],
            "build_definition": ["with_data.build_definition.json"],
            "digest": ["with_data.digest"],
            "folder": ["with_data.folder"],
            "manifest": ["with_data.manifest.json"],
            "report": ["with_data.report.html", "with_data.report.json"],
            "summary": ["with_data.summary.json"],
            "tag": ["with_data.tag"],
            "tar": ["with_data.tar"],
            "tar_gz": ["with_data.tar.gz"],
            "zip": ["with_data.zip"],
        },
        "providers": ["BentoInfo", "RunEnvironmentInfo"],
        "runfiles": ["weights.bin", "with_data", "with_data.bento"],
    },
}
