"""The diamonds pipeline as Azure ML's tutorial writes it: three commands and a function that joins them."""

from pathlib import Path

from azure.ai.ml import Input, Output, command, dsl
from azure.ai.ml.entities import Environment

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = Environment(
    name="diamonds",
    image="mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:20250623.v1",
    conda_file=ROOT / "environment" / "conda.yml",
)

preprocess = command(
    name="preprocess",
    display_name="Clean and split",
    inputs={
        "raw": Input(type="uri_file"),
        "test_size": Input(type="number", default=0.2),
        "seed": Input(type="integer", default=7),
    },
    outputs={"train": Output(type="uri_file"), "test": Output(type="uri_file")},
    code=str(ROOT / "src"),
    command="python preprocess.py --raw ${{inputs.raw}} --test_size ${{inputs.test_size}} --seed ${{inputs.seed}} "
    "--train ${{outputs.train}} --test ${{outputs.test}}",
    environment=ENVIRONMENT,
)

train = command(
    name="train",
    display_name="Fit boosted trees",
    inputs={
        "data": Input(type="uri_file"),
        "learning_rate": Input(type="number"),
        "max_iter": Input(type="integer", default=300),
        "max_leaf_nodes": Input(type="integer", default=31),
    },
    outputs={"model": Output(type="custom_model")},
    code=str(ROOT / "src"),
    command="python train.py --data ${{inputs.data}} --learning_rate ${{inputs.learning_rate}} "
    "--max_iter ${{inputs.max_iter}} --max_leaf_nodes ${{inputs.max_leaf_nodes}} --model ${{outputs.model}}/model.pkl",
    environment=ENVIRONMENT,
)

evaluate = command(
    name="evaluate",
    display_name="Measure on the hold-out",
    inputs={"model": Input(type="custom_model"), "data": Input(type="uri_file")},
    outputs={"report": Output(type="uri_folder")},
    code=str(ROOT / "src"),
    command="python evaluate.py --model ${{inputs.model}}/model.pkl --data ${{inputs.data}} "
    "--metrics ${{outputs.report}}/metrics.json",
    environment=ENVIRONMENT,
)


@dsl.pipeline(compute="cpu-cluster", description="Diamond prices")
def diamonds(raw, learning_rate: float = 0.1):
    cleaned = preprocess(raw=raw)
    fitted = train(data=cleaned.outputs.train, learning_rate=learning_rate)
    measured = evaluate(model=fitted.outputs.model, data=cleaned.outputs.test)
    return {"model": fitted.outputs.model, "report": measured.outputs.report}


def diamonds_pipeline():
    """The pipeline with the data that lies beside it."""
    return diamonds(raw=Input(type="uri_file", path=str(ROOT / "data" / "diamonds.csv.gz")))
