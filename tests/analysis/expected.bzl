"""The outputs and providers of targets. The output group `found` of `described_test` has them as JSON."""

EXPECTED = {
    "//debian:python.update": {
        "executable": True,
        "files": ["python.update"],
    },
    "//debian:python_test": {
        "executable": True,
        "files": ["python_test"],
    },
    "//examples/api:server_image": {
        "files": ["server_image.config.json", "server_image.digest", "server_image.manifest.json"],
        "groups": {
            "_validation": ["server_image.libraries.txt"],
            "build_definition": ["server_image.build_definition.json"],
            "checked": ["server_image.early.libraries.txt"],
            "docker_archive": ["server_image.tar"],
            "oci_layout": ["server_image.oci"],
            "report": ["server_image.report.html", "server_image.report.json"],
            "sbom": ["server_image.cdx.json"],
            "summary": ["server_image.summary.json"],
        },
        "providers": ["BentoImageInfo"],
    },
    "//examples/base:python": {
        "files": ["python.base.json", "python.layer.json"],
        "groups": {
            "index": ["python.debs.json"],
            "layer": ["python.layer.gzip"],
            "oci_layout": ["python.oci"],
        },
        "providers": ["BentoBaseInfo"],
    },
    "//examples/iris:iris_startup_test": {
        "executable": True,
        "files": ["iris_startup_test"],
    },
    "//examples/iris:iris_test": {
        "executable": True,
        "files": ["iris_test"],
        "providers": ["RunEnvironmentInfo"],
    },
    "//examples/iris:iris_venv": {
        "executable": True,
        "files": ["iris_venv"],
    },
    "//tests/wheels:acme": {
        "files": ["LICENSE", "METADATA", "RECORD", "WHEEL", "__init__.py", "_base.py", "_meta.py", "_typing.py", "_utils.py", "_version.py", "acme.site-packages", "agg.py", "backend.py", "base.py", "basic.py", "gitignore.py", "gitwildmatch.py", "pathspec.py", "pattern.py", "py.typed", "spec.py", "util.py"],
        "providers": ["BentoRequirementInfo", "BentoWheelInfo", "PyInfo"],
    },
    "//tests:requirements.update": {
        "executable": True,
        "files": ["requirements.update"],
    },
    "//tests:requirements_test": {
        "executable": True,
        "files": ["requirements_test"],
    },
    ":base_of_a_layout": {
        "files": ["base_of_a_layout.0.layer.json", "base_of_a_layout.1.layer.json", "base_of_a_layout.base.json"],
        "groups": {
            "layer": ["base_of_a_layout.0.layer", "base_of_a_layout.1.layer"],
        },
        "providers": ["BentoBaseInfo"],
    },
    ":base_of_links": {
        "files": ["base_of_links.0.layer.json", "base_of_links.base.json"],
        "groups": {
            "layer": ["base_of_links.0.layer"],
        },
        "providers": ["BentoBaseInfo"],
    },
    ":bento": {
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
    },
    ":layer_of_others": {
        "providers": ["BentoLayerInfo"],
    },
    ":model": {
        "files": ["model.model.json"],
        "groups": {
            "bentomodel": ["model.bentomodel"],
            "manifest": ["model.manifest.json"],
            "part": ["model.model.part"],
        },
        "providers": ["BentoModelInfo"],
    },
    ":model_of_shards": {
        "files": ["model_of_shards.model.json"],
        "groups": {
            "bentomodel": ["model_of_shards.bentomodel"],
            "manifest": ["model_of_shards.manifest.json"],
            "part": ["model_of_shards.model.part"],
        },
        "providers": ["BentoModelInfo"],
    },
    ":push_of_bento": {
        "executable": True,
        "files": ["push_of_bento"],
    },
    ":pushes": {
        "executable": True,
        "files": ["pushes"],
    },
    ":service": {
        "executable": True,
        "files": ["service.bento"],
        "for": "linux_amd64 3.13",
        "groups": {
            "archive": ["service.bento"],
            "bento_yaml": ["service.bento.yaml"],
            "build_definition": ["service.build_definition.json"],
            "digest": ["service.digest"],
            "folder": ["service.folder"],
            "manifest": ["service.manifest.json"],
            "report": ["service.report.html", "service.report.json"],
            "summary": ["service.summary.json"],
            "tag": ["service.tag"],
            "tar": ["service.tar"],
            "tar_gz": ["service.tar.gz"],
            "zip": ["service.zip"],
        },
        "providers": ["BentoInfo", "RunEnvironmentInfo"],
    },
    ":service_image": {
        "files": ["service_image.config.json", "service_image.digest", "service_image.manifest.json"],
        "groups": {
            "_validation": ["service_image.libraries.txt", "service_image.system_checked"],
            "build_definition": ["service_image.build_definition.json"],
            "checked": ["service_image.early.libraries.txt", "service_image.system_checked"],
            "docker_archive": ["service_image.tar"],
            "oci_layout": ["service_image.oci"],
            "report": ["service_image.report.html", "service_image.report.json"],
            "sbom": ["service_image.cdx.json"],
            "summary": ["service_image.summary.json"],
        },
        "providers": ["BentoImageInfo"],
    },
    ":service_images": {
        "files": ["service_images.digest", "service_images.index.json"],
        "providers": ["BentoImageIndexInfo"],
    },
    ":service_load": {
        "executable": True,
        "files": ["service_load"],
    },
    ":service_push": {
        "executable": True,
        "files": ["service_push"],
    },
    ":weights_for_kserve": {
        "files": ["weights_for_kserve.config.json", "weights_for_kserve.digest", "weights_for_kserve.manifest.json"],
        "groups": {
            "docker_archive": ["weights_for_kserve.tar"],
            "oci_layout": ["weights_for_kserve.oci"],
        },
        "providers": ["BentoImageInfo"],
    },
    ":weights_image": {
        "files": ["weights_image.config.json", "weights_image.digest", "weights_image.manifest.json"],
        "groups": {
            "docker_archive": ["weights_image.tar"],
            "oci_layout": ["weights_image.oci"],
        },
        "providers": ["BentoImageInfo"],
    },
    ":weights_modelpack": {
        "files": ["weights_modelpack.config.json", "weights_modelpack.digest", "weights_modelpack.manifest.json"],
        "groups": {
            "oci_layout": ["weights_modelpack.oci"],
        },
        "providers": ["BentoImageInfo"],
    },
    ":with_bentofile": {
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
    },
    ":with_data": {
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
    },
}
