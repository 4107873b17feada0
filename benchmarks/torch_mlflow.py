"""What `train configs/hidden_layer.yaml` does, as one would write it by hand.

The same data, network and SGD; the loss and the gradient norm of every step, the metrics of
every epoch, the settings and the parameters go to MLflow.
"""

from __future__ import annotations

import mlflow
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch.nn.functional import binary_cross_entropy_with_logits as loss_of

SETTINGS = {
    "seed": 4440, "units": 16, "learning_rate": 0.1, "momentum": 0.9, "batch_size": 32,
    "epochs": 50,
}  # fmt: skip


def load() -> list[torch.Tensor]:
    """x and y of the training, the validation and the test rows in turn."""
    x, y = load_breast_cancer(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=114, stratify=y, random_state=0)
    x, x_val, y, y_val = train_test_split(x, y, test_size=114, stratify=y, random_state=0)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    parts = []
    for rows, targets in ((x, y), (x_val, y_val), (x_test, y_test)):
        parts.append(torch.tensor((rows - mean) / scale, dtype=torch.float32))
        parts.append(torch.tensor(targets, dtype=torch.float32)[:, None])
    return parts


@torch.no_grad()
def evaluate(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, part: str) -> dict:
    z = model(x)
    accuracy = ((z > 0) == (y > 0)).float().mean().item()
    return {f"{part}_loss": loss_of(z, y).item(), f"{part}_accuracy": accuracy}


def main() -> None:
    torch.manual_seed(SETTINGS["seed"])
    x, y, x_val, y_val, x_test, y_test = load()
    model = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], SETTINGS["units"]),
        torch.nn.Sigmoid(),
        torch.nn.Linear(SETTINGS["units"], 1),
    )
    optimizer = torch.optim.SGD(
        model.parameters(), lr=SETTINGS["learning_rate"], momentum=SETTINGS["momentum"]
    )
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("breast-cancer")
    with mlflow.start_run(run_name="by_hand"):
        mlflow.log_params(SETTINGS)
        step = 0
        for epoch in range(1, SETTINGS["epochs"] + 1):
            for rows in torch.randperm(len(x)).split(SETTINGS["batch_size"]):
                optimizer.zero_grad()
                loss = loss_of(model(x[rows]), y[rows])
                loss.backward()
                norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
                optimizer.step()
                step += 1
                values = {"train_loss_step": loss.item(), "grad_norm_step": norm.item()}
                mlflow.log_metrics(values, step=step)
            metrics = evaluate(model, x, y, "train") | evaluate(model, x_val, y_val, "val")
            mlflow.log_metrics(metrics, step=epoch)
        found = evaluate(model, x_test, y_test, "test")
        print(metrics | found, flush=True)
        mlflow.log_metrics(found)
        torch.save(model.state_dict(), "parameters.pt")
        mlflow.log_artifact("parameters.pt")


if __name__ == "__main__":
    main()
