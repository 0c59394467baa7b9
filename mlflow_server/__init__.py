"""An MLflow app that keeps all of MLflow and adds the page of the searches: `mlflow server --app-name raysearch`."""
