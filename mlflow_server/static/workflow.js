// MLflow's own pages open an experiment on traces until their visitor has chosen "Model training" once. They keep the
// choice in this browser, and ignore the experiment's own tag. A search has runs and no traces, so whoever has not chosen
// yet is brought to the runs.

const CHOICE = "mlflow.workflowType_v1";

export function openOnRuns() {
  try {
    if (localStorage.getItem(CHOICE) === null) localStorage.setItem(CHOICE, JSON.stringify("machine_learning"));
  } catch {
    // A browser that keeps nothing shows traces first.
  }
}
