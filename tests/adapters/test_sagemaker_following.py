"""How often SageMaker is asked about what runs: one look for all steps of an execution, and no more looks a second than agreed,
however many executions are followed."""

from __future__ import annotations

import time

from service.adapters.backends.sagemaker.aws import Cloud
from service.adapters.backends.sagemaker.following import Executions
from tests.emulators.sagemaker.process import SageMaker
from tests.emulators.test_sagemaker import create, processing, start

SECONDS, RATE, FOLLOWED = 4.0, 3.0, 12


def asked(cloud: SageMaker) -> int:
    calls = cloud.calls()
    return calls.get("ListPipelineExecutionSteps", 0) + calls.get("DescribePipelineExecution", 0)


def test_many_executions_cost_no_more_calls_than_agreed(cloud: SageMaker) -> None:
    client = create(cloud, "sleeps", processing("sleep", "import time; time.sleep(120)"))
    arns = [start(client, "sleeps", ClientRequestToken=f"{number:032}") for number in range(FOLLOWED)]
    deadline = time.monotonic() + 60
    while any(
        not client.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"] for arn in arns
    ):
        assert time.monotonic() < deadline
    executions = Executions(Cloud(cloud.declared()), (0.01, 0.02), rate=RATE)
    before = asked(cloud)
    for arn in arns:
        executions.look(arn)
    first = asked(cloud) - before
    assert FOLLOWED <= first <= 2 * FOLLOWED, "each is looked at once"
    began = time.monotonic()
    looks = 0
    while time.monotonic() < began + SECONDS:
        for arn in arns:
            executions.look(arn)
            looks += 1
    took = time.monotonic() - began
    more = asked(cloud) - before - first
    assert looks > 100
    assert 0 < more <= 2 * (RATE * took + FOLLOWED), f"{more} calls for {looks} looks in {took:.1f} s"
    assert more < looks / 10
    for arn in arns:
        client.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=arn[-12:] * 3)
        executions.forget(arn)
    deadline = time.monotonic() + 60
    while not all(executions.look(arn).has_ended for arn in arns):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ended = asked(cloud)
    for arn in arns:
        executions.look(arn)
    assert asked(cloud) == ended, "what has ended is not asked about again"
