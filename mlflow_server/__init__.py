"""An MLflow app that keeps all of MLflow and adds a page of the searches: `mlflow server --app-name raysearch`."""
