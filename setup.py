"""What pyproject.toml has no words for: folders at the top of the repository that lie inside the installed package."""

from setuptools import find_namespace_packages, setup

DOCUMENTS = {"raysearch.search_spaces": "search_spaces", "raysearch.encoders": "encoders"}
OURS = find_namespace_packages(
    include=["raysearch*", "mlflow_server*"], exclude=["*.__pycache__", "mlflow_server.deploy*"]
)

setup(
    packages=[*OURS, *DOCUMENTS],
    package_dir=DOCUMENTS,
    package_data={
        "raysearch": ["py.typed"],
        "raysearch.front": ["*.csv"],
        "raysearch.front.pages": ["*.html"],
        "mlflow_server.static": ["*"],
        "mlflow_server.static.vendor": ["*"],
        **{name: ["*.yaml", "schema.json"] for name in DOCUMENTS},
    },
)
