"""Owns the shape of ``refit.yaml`` and its JSON Schema; refuses what needs more than one place to judge."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
StepName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/") or not path.isprintable():
        raise ValueError("must be a path inside the repository")
    return path


RelativePath = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_inside)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Triggers(_Strict):
    """Branch patterns (`main`, `release/*`) that start executions; nothing listed means never."""

    push: list[str] = Field(default_factory=list, description="Branches whose pushes count.")
    pull_request: list[str] = Field(default_factory=list, description="Base branches whose pull requests count.")


class With(BaseModel):
    """How to run: `instance`, `timeout` and `retries` never change a result; every other entry does."""

    model_config = ConfigDict(extra="allow", frozen=True)

    instance: str | None = Field(None, description="The machine's type, in the backend's words.")
    timeout: str | int | None = Field(None, description="`90s`, `30m`, `2h`, `1d`, or seconds.")
    retries: int = Field(0, ge=0, le=10, description="Attempts after the first.")


class Component(_Strict):
    """One step: a script with what it reads and makes."""

    run: str = Field(
        min_length=1, max_length=4096, description="An entry script, or a command with ${{inputs.x}} and the like."
    )
    params: list[str] = Field(default_factory=list, description="Keys of params.yaml (or file.yaml:key) that it reads.")
    paths: list[str] = Field(default_factory=list, description="Extra files that count, as gitignore-style globs.")
    inputs: dict[Name, str] = Field(default_factory=dict, description="A path, a URI, or component.output.")
    outputs: list[Name] = Field(default_factory=list, description="What it makes, each passed as --name <path>.")
    metrics: RelativePath | None = Field(None, description="The metrics file it makes, passed as --metrics <path>.")
    with_: With = Field(default_factory=lambda: With(), alias="with")


class Register(_Strict):
    """Which output becomes a version of which model."""

    model: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*\.[A-Za-z][A-Za-z0-9_-]*$", description="component.output")
    as_: Name = Field(alias="as", description="The registered model's name.")


class Pipeline(_Strict):
    """A DAG of components on one backend."""

    backend: str = Field("local", description="`local`, or a name that the server defines.")
    components: dict[Name, Component] = Field(min_length=1)
    gates: list[str] = Field(default_factory=list, description="`rmse < 560`, `rmse <= baseline * 1.01`")
    register_: Register | None = Field(None, alias="register")


class Hint(_Strict):
    """What a native definition cannot say of one of its steps."""

    params: list[str] = Field(default_factory=list, description="Keys of params.yaml (or file.yaml:key) that it reads.")
    paths: list[str] = Field(default_factory=list, description="Extra files that count, as gitignore-style globs.")
    constant_inputs: list[str] = Field(
        default_factory=list, description="Inputs outside git whose content is the same as long as their URI is."
    )


class NativePipeline(_Strict):
    """A pipeline that the repository declares in the vendor's own terms."""

    uses: str = Field(
        pattern=r"^(sagemaker|azureml):[^/]",
        max_length=1024,
        description="`sagemaker:` and the file that has get_pipeline(); `azureml:` and a pipeline.yml, or module.py:function.",
    )
    backend: str = Field("", description="A backend of that vendor that the server defines.")
    with_: dict[str, JsonValue] = Field(
        default_factory=dict,
        alias="with",
        description="Arguments of get_pipeline() besides region, role and bucket; inputs of an Azure ML pipeline.",
    )
    components: dict[StepName, Hint] = Field(default_factory=dict, description="Hints, by the definition's step names.")
    gates: list[str] = Field(default_factory=list, description="`rmse < 560`, `rmse <= baseline * 1.01`")


NATIVE = "native pipeline"


def _form(value: Any) -> str:
    native = "uses" in value if isinstance(value, dict) else isinstance(value, NativePipeline)
    return NATIVE if native else "declared pipeline"


EitherPipeline = Annotated[
    Annotated[Pipeline, Tag("declared pipeline")] | Annotated[NativePipeline, Tag(NATIVE)], Discriminator(_form)
]


class Document(_Strict):
    """refit.yaml: which pipelines a repository has and what starts them."""

    version: Literal[1]
    triggers: Triggers = Field(default_factory=Triggers)
    ignore: list[str] = Field(default_factory=list, description="Globs that `paths` never match.")
    environment: RelativePath | list[RelativePath] = Field(
        default_factory=list, description="Files that define the environment."
    )
    pipelines: dict[Name, EitherPipeline] = Field(min_length=1)


def json_schema() -> dict[str, JsonValue]:
    """JSON Schema, draft 07, for editors and SchemaStore."""
    schema: dict[str, Any] = Document.model_json_schema(by_alias=True)
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "refit.yaml"}
    return head | _as_draft_07({key: value for key, value in schema.items() if key != "title"})  # type: ignore[no-any-return]


def _as_draft_07(value: Any) -> Any:
    """pydantic speaks 2020-12; the only difference that we use is the place of definitions. It also leaves a mapping with
    checked names open to others, which it then refuses itself."""
    if isinstance(value, dict):
        closed = {"additionalProperties": False} if "patternProperties" in value else {}
        return {
            "definitions" if key == "$defs" else key: _as_draft_07(inner)
            if key != "$ref"
            else inner.replace("#/$defs/", "#/definitions/")
            for key, inner in value.items()
        } | closed
    return [_as_draft_07(inner) for inner in value] if isinstance(value, list) else value
