"""Modules that only extend `__path__`, in usual spellings, by what extends it."""

SPELLINGS = {
    "pkgutil": (
        "from pkgutil import extend_path\n\n__path__ = extend_path(__path__, __name__)\n",
        '__path__ = __import__("pkgutil").extend_path(__path__, __name__)  # type: ignore',
        "# -*- coding: UTF-8 -*-\r\n'''A \"namespace\"\r\n'''  # see\r\n\r\n"
        "import pkgutil  # noqa\r\n__path__=pkgutil.extend_path( __path__ , __name__ )\r\n",
        "\ufeff# Müller\n__path__ = __import__('pkgutil').extend_path(__path__, __name__)",
    ),
    "pkg_resources": (
        "__import__('pkg_resources').declare_namespace(__name__)  # pragma: no cover\n",
        '"""Namespace."""\nfrom __future__ import absolute_import\n\n'
        "import pkg_resources\npkg_resources.declare_namespace(__name__)\n",
        "from pkg_resources import declare_namespace\ndeclare_namespace(__name__)\n",
    ),
    "pkg_resources-or-pkgutil": (
        "try:\n    import pkg_resources\n    pkg_resources.declare_namespace(__name__)\n"
        "except ImportError:\n    import pkgutil\n    __path__ = pkgutil.extend_path(__path__, __name__)\n",
        "# See PEP 420.\ntry:\n\t__import__('pkg_resources').declare_namespace(__name__)\n"
        "except ModuleNotFoundError:\n\n\t__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
    ),
}
