"""The tests of each row of docs/compatibility.md, by heading and first cell.

Test names are relative to tests/. `[case]` is a listing in tests/golden/options, which real BentoML wrote; `differential` is
tests/differential, which compares generated projects with real BentoML.
"""

TESTS: dict[str, dict[str, str]] = {
    "Options as attributes": {
        "`service`": "bentofiles/test_bentofiles.py::test_the_function_makes_the_same_bytes",
        "`name`": "bentofiles/test_bentofiles.py::test_attributes_win",
        "`description`": "bentofiles/test_bentofiles.py::test_attributes_say_the_same",
        "`labels`": (
            "bentofiles/test_bentofiles.py::test_attributes_win, actions/test_stamp.py::test_labels_are_added, "
            "e2e/stamping.py"
        ),
        "`include`, `exclude`": "bentofiles/test_bentofiles.py::test_attributes_win",
        "`docker.python_version`": "bentofiles/test_bentofiles.py::test_attributes_say_the_same",
        "other keys of `docker`": "bentofiles/test_bentofiles.py::test_attributes_say_the_same",
        "`python.packages`, `python.requirements_txt`": (
            "bentofiles/test_bentofiles.py::test_what_a_bentofile_asks_for_is_locked"
        ),
        "other keys of `python`": "bentofiles/test_bentofiles.py::test_attributes_say_the_same",
        "`conda`": "bentofiles/test_bentofiles.py::test_attributes_say_the_same",
        "`models`": "bento/test_folder.py::test_models_by_label_and_alias",
        "`envs`": "bentofiles/test_bentofiles.py::test_attributes_win",
        "`args`": "bentofiles/test_bentofiles.py::test_attributes_say_the_same",
        "files that options name": "bento/test_folder.py::test_files_that_options_name_travel_with_the_facts",
        "`@bentoml.service(image=…)`": "bentofiles/test_bentofiles.py::test_an_environment_is_the_image_of_a_service",
    },
    "bentofile.yaml and pyproject.toml": {
        "`service`": "[no_service_autodetect], build_options/test_bentofile.py::test_two_services",
        "`name`": "[name_cli], bentofiles/test_bentofiles.py::test_as_bentoml_makes_it, differential",
        "`description`": "[desc], [desc_file], [label_prec], bento/test_folder.py::test_refused",
        "`labels`": "[label_prec], differential",
        "`include`": (
            "sources/test_snapshot.py, differential, "
            "actions/test_errors.py::test_patterns_that_match_nothing_are_told_of"
        ),
        "`exclude`": "sources/test_snapshot.py, differential",
        "`docker`": "see below",
        "`python`": "see below",
        "`conda`": "see below",
        "`models`": (
            "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, "
            "bento/test_folder.py::test_models_by_label_and_alias"
        ),
        "`envs`": "[envs], [env_build_stage], bento/test_dockerfile.py::test_golden",
        "`args`": "[args], differential",
        "`docker.distro`": (
            "[distro_debian], [distro_alpine], [distro_ubi8], [distro_amazonlinux], "
            "bento/test_dockerfile.py::test_distributions"
        ),
        "`docker.python_version`": (
            "[py39], [py_ver_float], [py_ver_patch], build_options/test_bentofile.py::test_python_versions"
        ),
        "`docker.cuda_version`": "[cuda_12], [cuda_debian], [cuda_alpine], bento/test_dockerfile.py::test_cuda",
        "`docker.env`": (
            "[docker_env_dict], [docker_env_dict_v1], [env_list], build_options/test_bentofile.py::test_dotenv"
        ),
        "`docker.system_packages`": ("[distro_debian], bento/test_dockerfile.py::test_golden"),
        "`docker.setup_script`": (
            "[setup_script], bento/test_dockerfile.py::test_steps_keep_their_order, "
            "bento/test_dockerfile.py::test_scripts_that_cannot_run"
        ),
        "`docker.base_image`": (
            "[base_image], [base_image_v1], "
            "bento/test_dockerfile.py::test_base_image_gets_packages_only_where_they_are_asked_for"
        ),
        "`docker.dockerfile_template`": "[template], bento/test_dockerfile.py::test_template_blocks",
        "`python.requirements_txt`": (
            "[py_reqtxt_plain], [py_reqtxt_v1], images/test_image.py::test_requirements_of_all_kinds"
        ),
        "`python.packages`": "[py_packages], bento/test_folder.py::test_requirements",
        "`python.lock_packages`": ("bento/test_dockerfile.py::test_golden, bento/test_folder.py::test_refused"),
        "`python.pack_git_packages`": "bento/test_folder.py::test_refused",
        "`python.index_url`": "[py_index_opts_v1], [py_index_opts_v2]",
        "`python.no_index`": "[py_no_index_v2], [py_index_opts_v1]",
        "`python.trusted_host`": "[py_index_opts_v1], [py_index_opts_v2]",
        "`python.find_links`": "[py_index_opts_v1], [py_index_opts_v2]",
        "`python.extra_index_url`": "[py_index_opts_v1], [py_index_opts_v2]",
        "`python.pip_args`": "[py_index_opts_v1], differential",
        "`python.wheels`": "differential, bento/test_dockerfile.py::test_install_script",
        "`python.is_src_layout`": "bento/test_folder.py::test_pyproject_with_a_src_folder, differential",
        "`conda.environment_yml`": "[conda_yml], bento/test_dockerfile.py::test_conda",
        "`conda.channels`": "[conda_channels], [base_image_v1]",
        "`conda.dependencies`": "[conda], [conda_alpine]",
        "`conda.pip`": "[conda]",
        "`project.name`, `project.dependencies`": "[pyproject], build_options/test_bentofile.py::test_pyproject",
    },
    "bentoml.images.Image": {
        "`base_image`": "images/test_image.py::test_base_images, differential",
        "`distro`": "[img_alpine], [img_amazon]",
        "`python_version`": "images/test_image.py::test_options_win_over_fields_and_come_behind_steps, differential",
        "`commands`": "images/test_image.py::test_from_a_source",
        "`lock_python_packages`": "[img_no_bentofile]",
        "`pack_git_packages`": "bento/test_folder.py::test_an_image_may_clone_what_a_build_cannot_pack",
        "`python_requirements`": "images/test_image.py::test_from_a_source",
        "`post_commands`": "images/test_image.py::test_from_a_source",
        "`build_include_paths`": "images/test_image.py::test_from_a_source",
        "`system_packages()`": "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, images/test_image.py::test_order_before_and_after_the_packages",
        "`run()`": "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, images/test_image.py::test_order_before_and_after_the_packages",
        "`run_script()`": "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, bento/test_dockerfile.py::test_a_script_is_named_by_its_path_and_content",
        "`python_packages()`": "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, images/test_image.py::test_requirements_of_all_kinds",
        "`requirements_file()`": (
            "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, "
            "images/test_image.py::test_requirements_of_all_kinds"
        ),
        "`pyproject_toml()`": "images/test_image.py::test_requirements_of_all_kinds",
        "`uv_lock()`": "[img_uvlock]",
        "`build_include()`": (
            "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, "
            "bento/test_dockerfile.py::test_steps_keep_their_order"
        ),
    },
    "Dockerfile, entry point, install script": {
        "base images by distribution and Python": "bento/test_dockerfile.py::test_distributions",
        "base images of CUDA and conda": "bento/test_dockerfile.py::test_cuda, bento/test_dockerfile.py::test_conda",
        "variables by stage": "bento/test_dockerfile.py::test_golden",
        "`BENTO_USER`, `BENTO_USER_UID`, `BENTO_USER_GID`, `BENTO_PATH`": "bento/test_dockerfile.py::test_golden",
        "uv": "bento/test_dockerfile.py::test_uv_is_the_one_that_the_rules_run",
        "requirements with hashes": "bento/test_dockerfile.py::test_golden",
        "cache mounts": "bento/test_dockerfile.py::test_golden",
        "order of layers": "bento/test_dockerfile.py::test_golden",
        "port 3000 and 3001, entry point": (
            "bento/test_dockerfile.py::test_golden, bento/test_dockerfile.py::test_entrypoint"
        ),
        "`PORT`, `BENTOML_SERVE_COMPONENT`, `serve`, `serve-http`, `serve-grpc`, `start-*`": (
            "bento/test_dockerfile.py::test_entrypoint"
        ),
        "`install.sh`": "bento/test_dockerfile.py::test_install_script",
        "`--enable-features`": "bento/test_folder.py::test_requirements",
        "`SETUP_BENTO_BASE_IMAGE`": "bento/test_dockerfile.py::test_template_blocks",
        "`SETUP_BENTO_USER`": "bento/test_dockerfile.py::test_template_blocks",
        "`SETUP_BENTO_ENVARS`": "bento/test_dockerfile.py::test_template_blocks",
        "`SETUP_BENTO_COMPONENTS`": "bento/test_dockerfile.py::test_template_blocks",
        "`SETUP_BENTO_ENTRYPOINT`": "bento/test_dockerfile.py::test_template_blocks",
        "`bento__uid_gid`, `bento__user`, `bento__home`, `bento__path`": (
            "bento/test_dockerfile.py::test_template_may_set_the_names"
        ),
        "`bento__add_header`, `bento__buildkit_frontend`, `bento__enable_buildkit`, `bento__entrypoint`": (
            "bento/test_dockerfile.py::test_template_variables"
        ),
        "`__options__<key>`, `__base_image__`, `__conda_python_version__`, `__is_cuda__`, `__prometheus_port__`, `__enable_buildkit__`": (
            "bento/test_dockerfile.py::test_template_variables"
        ),
        "`expands_bento_path`, `bash_quote`, `normalize_line`, loop controls": (
            "bento/test_dockerfile.py::test_template_variables"
        ),
    },
    "bentoml build": {
        "`BUILD_CTX`": "bento/test_folder.py::test_a_bentofile_elsewhere, cli/test_cli.py::test_build_of_a_service",
        "`--bentofile`": (
            "bento/test_folder.py::test_a_bentofile_elsewhere, cli/test_cli.py::test_build_says_what_is_wrong"
        ),
        "`--name`": "[name_cli], cli/test_cli.py::test_build_options_win_over_the_bentofile",
        "`--version`": "cli/test_cli.py::test_build_options_win_over_the_bentofile",
        "`--label`": "[label_prec], cli/test_cli.py::test_build_options_win_over_the_bentofile, e2e/stamping.py",
        "`--arg`": "cli/test_cli.py::test_build_options_win_over_the_bentofile, differential",
        "`--arg-file`": (
            "bentofiles/test_bentofiles.py::test_attributes_say_the_same, "
            "cli/test_cli.py::test_build_options_win_over_the_bentofile"
        ),
        "`--output`": "cli/test_cli.py::test_build_keeps_a_bento_in_the_store",
        "`--containerize`": (
            "images/test_image_commands.py::test_what_runs_is_refused_with_the_way_out, "
            "distribution/test_containers.py::test_builders_are_called_as_bentoml_calls_them"
        ),
        "`--platform`": "bento/test_folder.py::test_refused",
        "`--push`, `--force`, `--threads`, `--context`": (
            "bento/test_folder.py::test_the_archive_is_whole, distribution/test_cloud.py::test_we_ask_what_bentoml_asks"
        ),
        "`--do-not-track`, `--verbose`, `--debug`, `--quiet`": "bento/test_folder.py::test_the_archive_is_whole",
    },
    "Push, pull, serve, containerize": {
        "`bentoml push`, `bentoml models push`": "distribution/test_cloud.py::test_we_ask_what_bentoml_asks",
        "`bentoml pull`, `bentoml models pull`": "distribution/test_cloud.py::test_what_bentoml_pushes_we_pull",
        "`bentoml cloud login` and contexts": "distribution/test_cloud.py::test_contexts_are_those_of_bentoml",
        "`bentoml serve TAG`": "distribution/test_serving.py::test_it_is_bentoml_that_serves_and_gets_signals",
        "`bentoml serve --reload`": "run/test_following.py::test_an_edit_answers_without_importing_packages_again",
        "`bentoml containerize`": "distribution/test_containers.py::test_builders_are_called_as_bentoml_calls_them",
    },
    "bento.yaml and the tree": {
        "`service`, `name`, `version`": "bentofiles/test_bentofiles.py::test_as_bentoml_makes_it",
        "`bentoml_version`": "bento/test_folder.py::test_requirements",
        "`creation_time`": (
            "bento/test_folder.py::test_the_same_bytes_as_the_actions, "
            "cli/test_cli.py::test_build_says_when_and_its_identity_does_not"
        ),
        "`labels`, `envs`, `args`, `models`": "bentofiles/test_bentofiles.py::test_as_bentoml_makes_it, differential",
        "`image`": "bentofiles/test_bentofiles.py::test_as_bentoml_makes_it, differential",
        "`docker`, `python`, `conda`, `runners`, `apis`": (
            "bentofiles/test_bentofiles.py::test_as_bentoml_makes_it, differential"
        ),
        "`spec`": "bento/test_folder.py::test_refused",
        "`bentoml.legacy.Service`: runners, APIs, models": (
            "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, differential"
        ),
        "the class of a runner": (
            "bento/test_folder.py::test_the_framework_of_a_model_decides_and_not_the_get_that_finds_it, "
            "bento/test_folder.py::test_a_model_that_a_runner_cannot_be_made_of_is_refused"
        ),
        "`bentoml.Service(…)` with runners, before 1.4": "service/test_service.py::test_attribute_is_no_service",
        "`services`, `entry_service`, dependencies, models of services": "service/test_service.py, differential",
        'a configuration value that BentoML rejects (`traffic = {"timeout": "5"}`)': (
            "service/test_configuration.py::test_bentoml_takes_what_is_taken, "
            "service/test_configuration.py::test_bentoml_refuses_what_is_refused"
        ),
        "sources that BentoML can't import (a route without a slash, an invalid env, a wrong argument of `Image`)": (
            "service/test_service.py::test_what_bentoml_cannot_import_is_refused, "
            "images/test_image.py::test_an_argument_that_image_does_not_take, "
            "service/test_configuration.py::test_nothing_but_empty_dicts_is_refused"
        ),
        "`schema`, `apis/openapi.yaml`, `apis/schema.json`": (
            "inspection/test_inspection.py::test_the_suite_of_static_reading, "
            "importing/test_imported_bento.py::test_a_bento_of_imported_facts_is_bentomls"
        ),
        "`README.md`": "[desc_readme], [desc], [minimal]",
        "`src/bentofile.yaml`": (
            "bento/test_bento.py::test_whole_bentos_as_bentoml_makes_them, "
            "differential/test_differential.py::test_the_record_of_options"
        ),
        "`env/python/version.txt`": "differential",
        "empty directories (`env/python/wheels`, `env/conda`)": "differential",
        "executable bits": "bento/test_bento.py::test_as_bentoml_makes_it",
        "absolute links, and links that lead nowhere": "[abs_symlink], [dangling_symlink]",
        "`src.pkg:Svc` with a src layout": "[src_layout_pathed]",
    },
    "Sources of service metadata": {
        "names of services, dependencies between them": (
            "service/test_service.py::test_unknown_is_exactly_what_the_case_says"
        ),
        "whether an attribute is a dependency or a model": (
            "service/test_service.py::test_unknown_is_exactly_what_the_case_says"
        ),
        "a service that other code wraps or creates": (
            "service/test_facts.py::test_a_conditional_decorator_is_rejected_with_the_import_first"
        ),
        "a key of a configuration": (
            "service/test_facts.py::test_computed_keys_of_a_configuration_are_stated_one_by_one"
        ),
        "`workers` of a service with a command": (
            "service/test_facts.py::test_workers_that_depend_on_the_machine_are_stated"
        ),
        "modules that `sys.path` changes affect": "service/test_service.py::test_unknown_is_exactly_what_the_case_says",
        "the tag of a model": (
            "service/test_facts.py::test_a_computed_tag_is_the_one_model_that_is_left_or_stated_by_name"
        ),
        "an alias of a model": "service/test_facts.py::test_an_alias_is_what_models_get_takes",
        "a `HuggingFaceModel`": "service/test_facts.py::test_what_nothing_states_is_to_be_stated_in_the_source",
        "its endpoint": (
            "differential/test_services.py::test_a_snapshot_of_a_hub_has_bentomls_tag, "
            "service/test_facts.py::test_a_source_that_may_set_the_hub_has_to_name_it_for_each_model"
        ),
        "a label, an env": "service/test_facts.py::test_one_declared_key_does_not_answer_for_another",
        "all labels, all envs, if their names are determined at run time": (
            "service/test_facts.py::test_a_computed_whole_is_answered_by_a_whole_alone"
        ),
        "label `openai_endpoint`, if paths are determined at run time": (
            "service/test_facts.py::test_a_path_that_may_make_the_label_of_an_openai_endpoint_is_asked_for"
        ),
        "image": "service/test_service.py::test_an_image_is_answered_by_its_attribute",
        "description": "bento/test_folder.py::test_what_the_source_computes_is_asked_for",
        "values of `bentoml.use_arguments()`": "service/test_facts.py::test_arguments_are_read_and_are_no_service",
        "`url`, `deployment`, `cluster` of a dependency; runners and APIs of a legacy service": (
            "service/test_facts.py::test_what_nothing_states_is_to_be_stated_in_the_source, "
            "service/test_service.py::test_unknowns_point_at_a_line_of_a_source"
        ),
    },
    "An imported service": {
        "name, services, dependencies, configuration, labels, envs, description, models, runners, APIs": (
            "importing/test_suite.py::test_what_bentoml_wrote"
        ),
        "the image": ("importing/test_importing.py::test_an_image_that_its_calls_do_not_make_is_rejected"),
        "`bentoml.use_arguments`, files next to the module, conditions": (
            "importing/test_importing.py::test_a_service_that_computes_its_decorator"
        ),
        "models that the import requests": "importing/test_importing.py::test_an_alias_of_a_model",
        "`HuggingFaceModel`": "importing/test_importing.py::test_a_service_that_computes_its_decorator",
        "packages for another platform or Python than the toolchain's": (
            "importing/test_imported_bento.py::test_packages_of_another_platform"
        ),
        "GPUs": "importing/test_importing.py::test_no_gpu_is_seen",
        "output, and threads": (
            "importing/test_importing.py::test_what_it_prints_is_no_fact, "
            "importing/test_importing.py::test_a_thread_that_goes_on"
        ),
        "errors, exits, crashes, or more than 15 minutes": (
            "importing/test_importing.py::test_what_an_import_may_not_do, "
            "importing/test_importing.py::test_one_that_crashes, "
            "importing/test_importing.py::test_one_that_does_not_end"
        ),
        "undeclared files, processes, networks in the service's code": (
            "importing/test_importing.py::test_what_is_refused_though_the_service_goes_on_without_it"
        ),
        "the same in a library that is being imported": (
            "importing/test_importing.py::test_libraries_may_look_around_while_they_are_imported"
        ),
        "values of clock, host, processors, paths, random numbers, order of a set": (
            "importing/test_importing.py::test_what_another_machine_or_day_would_tell, "
            "importing/test_importing.py::test_an_order_that_changes"
        ),
        "`workers` of a service with a command, if not set": "importing/test_suite.py::test_what_bentoml_wrote",
    },
    "The archive": {
        "`.bento`": "interoperation/test_iris.py::test_the_command_imports_lists_and_serves_it",
        "`.tar`, `.tar.gz`, `.zip`": "interoperation/test_archive_forms.py::test_bentoml_imports_the_other_files",
        "`folder`": "interoperation/test_archive_forms.py::test_bentoml_imports_the_folder",
        "models in the archive, or only in the store": (
            "models/test_unbundled.py::test_bentoml_serves_it_with_the_model_of_the_store"
        ),
        "`.bentomodel`": "models/test_unbundled.py::test_the_model_alone_is_what_a_bento_brings",
        "`.xz`, `.bz2`": "store/test_store.py",
    },
}
