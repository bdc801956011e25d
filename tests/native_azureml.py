"""Owns a small native pipeline of Azure ML, two numbers that are joined and checked, and a workshop that runs it on an emulator;
refuses to start one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.backends.azureml.native.converting import SandboxConverter
from service.adapters.backends.azureml.native.definitions import NativeDefinitions
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Execution
from tests import azureml
from tests.emulators.azureml.process import AzureML
from tests.flow.workshop import Workshop
from tests.origins import Files, Origin
from tests.sdks import azure_sdks

STEPS = ("left", "right", "both-join", "check")
MANIFEST = "version: 1\ntriggers: {push: ['**']}\npipelines:\n  sums:\n    uses: 'azureml:ml/pipeline.yml'\n    backend: azure\n"
PIPELINE = """
type: pipeline
experiment_name: sums
settings: {default_compute: azureml:cpu-cluster}
inputs:
  raw: {type: uri_file, path: ./data/n.txt}
  more: 2
outputs:
  total: {type: uri_folder}
jobs:
  left:
    type: command
    component: ./number.yml
    inputs: {raw: "${{parent.inputs.raw}}"}
  right:
    type: command
    component: ./number.yml
    inputs: {raw: "${{parent.inputs.raw}}", add: "${{parent.inputs.more}}"}
  both:
    type: pipeline
    component: ./both.yml
    inputs: {one: "${{parent.jobs.left.outputs.made}}", two: "${{parent.jobs.right.outputs.made}}"}
    outputs: {sum: "${{parent.outputs.total}}"}
  check:
    command: python check.py ${{inputs.sum}}
    code: ./src
    environment: {image: 'python:3.11'}
    inputs: {sum: "${{parent.jobs.both.outputs.sum}}"}
"""
NUMBER = """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
type: command
name: number
inputs: {raw: {type: uri_file}, add: {type: integer, default: 0}}
outputs: {made: {type: uri_folder}}
code: ./src
environment: {image: python:3.11, conda_file: ./conda.yml}
command: python number.py ${{inputs.raw}} ${{inputs.add}} ${{outputs.made}}
"""
BOTH = """
type: pipeline
inputs: {one: {type: uri_folder}, two: {type: uri_folder}}
outputs: {sum: {type: uri_folder}}
jobs:
  join:
    type: command
    inputs: {one: "${{parent.inputs.one}}", two: "${{parent.inputs.two}}"}
    outputs: {sum: "${{parent.outputs.sum}}"}
    component:
      type: command
      inputs: {one: {type: uri_folder}, two: {type: uri_folder}}
      outputs: {sum: {type: uri_folder}}
      code: ./src
      environment: {image: 'python:3.11'}
      command: python join.py ${{inputs.one}} ${{inputs.two}} ${{outputs.sum}}
"""
FILES: Files = {
    "refit.yaml": MANIFEST,
    "README.md": "sums\n",
    "ml/pipeline.yml": PIPELINE,
    "ml/number.yml": NUMBER,
    "ml/both.yml": BOTH,
    "ml/conda.yml": "dependencies: [python=3.11]\n",
    "ml/data/n.txt": "40",
    "ml/src/number.py": "import sys\nfrom pathlib import Path\nraw, add, made = sys.argv[1:]\n"
    "Path(made, 'n').write_text(str(int(Path(raw).read_text()) + int(add)))\n",
    "ml/src/join.py": "import sys\nfrom pathlib import Path\none, two, made = map(Path, sys.argv[1:])\n"
    "total = int((one / 'n').read_text()) + int((two / 'n').read_text())\n(made / 'n').write_text(str(total))\n",
    "ml/src/check.py": "import sys\nfrom pathlib import Path\nprint('total', (Path(sys.argv[1]) / 'n').read_text())\n",
}


def edited(path: str, old: str, new: str, files: Files = FILES) -> Files:
    """These files after an edit that must fit."""
    assert old in files[path]
    return {**files, path: files[path].replace(old, new)}


def workshop(
    cloud: AzureML, store: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, root: Path, prefix: str,
    **more: Any,
) -> Workshop:  # fmt: skip
    """A workshop whose pipelines may run on the emulator, what it keeps there below ``prefix``; ``more`` is declared of the
    backend."""
    definitions = NativeDefinitions(reader, SandboxConverter(azure_sdks().python, root / "native", unconfined=True))
    given = azureml.declared(cloud, prefix=prefix, **more)
    backend = AzureMLBackend(given, root / "azure", sdks=azure_sdks(), definitions=definitions, poll=(0.1, 0.3))
    return Workshop(store, pushed, hosts, reader, root, more={"azure": backend}, definitions=definitions)


def errors(execution: Execution) -> list[str]:
    """What went wrong in it."""
    return [attempt.error for step in execution.steps for attempt in step.attempts if attempt.error]


def printed(shop: Workshop, execution: Execution, step: str) -> list[str]:
    """What a step wrote to its log."""
    handle = execution.step(step).attempts[-1].handle
    assert handle is not None
    return [line.text for line in shop.scheduler.backends["azure"].logs(handle, 0, 50)]
