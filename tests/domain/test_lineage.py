"""The graph of what made what: complete, without repeats, and without edges into nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from service.domain.execution import Artifact
from service.domain.lineage import Edge, Graph, InputRecord, ModelVersion, Node, ResultRecord, graph
from tests import records

PREP = replace(
    records.record("prep-1", execution="exec-1", inputs=(InputRecord("raw", "git:data/d.csv", "sha256:raw", 9),)),
    outputs=(Artifact("train", "sha256:train", 1), Artifact("test", "sha256:test", 1)),
    metrics={},
)
TRAIN = replace(
    records.record("train-1", component="train", execution="exec-1"),
    inputs=(InputRecord("data", "result:prep-1#train", "sha256:train", 1), InputRecord("p", "uri:s3://b/k", "v1", 0)),
    outputs=(Artifact("model", "sha256:model", 1),),
    metrics={"rmse": 1.23456789, "a": 2.0},
)
MODEL = ModelVersion(
    "price", 3, "acme/diamonds", "train-1", "model", "sha256:model", "exec-1", records.SHA, "candidate", records.NOW
)


def edges(made: Graph) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.kind, edge.target) for edge in made.edges}


def nodes(made: Graph) -> dict[str, tuple[str, str]]:
    return {node.id: (node.label, node.detail) for node in made.nodes}


def test_everything_that_went_in_and_came_out_is_connected() -> None:
    made = graph([PREP, TRAIN], models=[MODEL])
    commit = f"commit:{records.SHA}"
    assert edges(made) == {
        (commit, "of", "result:prep-1"),
        ("file:data/d.csv@sha256:raw", "read", "result:prep-1"),
        ("result:prep-1", "made", "artifact:sha256:train"),
        ("result:prep-1", "made", "artifact:sha256:test"),
        (commit, "of", "result:train-1"),
        ("artifact:sha256:train", "read", "result:train-1"),
        ("file:s3://b/k@v1", "read", "result:train-1"),
        ("result:train-1", "made", "artifact:sha256:model"),
        ("result:train-1", "measured", "metric:train-1/a"),
        ("result:train-1", "measured", "metric:train-1/rmse"),
        ("artifact:sha256:model", "registered", "model:price/3"),
    }


def test_every_node_says_what_it_is() -> None:
    found = nodes(graph([PREP, TRAIN], models=[MODEL]))
    assert found[f"commit:{records.SHA}"] == (records.SHA[:10], "ada")
    assert found["result:train-1"] == ("diamonds/train", "exec-1")
    assert found["file:data/d.csv@sha256:raw"] == ("data/d.csv", "sha256:raw")
    assert found["artifact:sha256:train"] == ("train", "sha256:train")
    assert found["metric:train-1/rmse"] == ("rmse = 1.23457", "")
    assert found["model:price/3"] == ("price v3", "candidate")


def test_an_artifact_made_twice_is_one_node_with_two_makers() -> None:
    again = replace(PREP, id="prep-2", commit="b" * 40)
    made = graph([PREP, again])
    assert ("result:prep-1", "made", "artifact:sha256:train") in edges(made)
    assert ("result:prep-2", "made", "artifact:sha256:train") in edges(made)
    assert len([node for node in made.nodes if node.kind == "artifact"]) == 2


def test_a_file_that_changed_is_another_node() -> None:
    changed = replace(PREP, id="prep-2", inputs=(InputRecord("raw", "git:data/d.csv", "sha256:new", 9),))
    files = [node for node in graph([PREP, changed]).nodes if node.kind == "file"]
    assert [node.label for node in files] == ["data/d.csv", "data/d.csv"]


def test_a_promotion_leads_from_the_result_to_the_commit_it_satisfies() -> None:
    made = graph([PREP], [records.promotion("prep-1", commit="c" * 40)])
    assert ("result:prep-1", "promoted", f"commit:{'c' * 40}") in edges(made)


def test_an_edge_to_what_is_not_drawn_is_left_out() -> None:
    made = graph([PREP], [records.promotion("elsewhere", commit="c" * 40)])
    assert not [edge for edge in made.edges if edge.kind == "promoted"]
    ends = {end for edge in made.edges for end in (edge.source, edge.target)}
    assert ends <= {node.id for node in made.nodes}


def test_repeats_change_nothing() -> None:
    def drawn(results: Iterable[ResultRecord]) -> Graph:
        return graph(results, [records.promotion("prep-1")] * 2, [MODEL] * 2)

    assert drawn([PREP, TRAIN, PREP]) == drawn([PREP, TRAIN])


def test_the_order_is_stable() -> None:
    backwards = replace(TRAIN, metrics=dict(reversed(TRAIN.metrics.items())))
    assert graph([TRAIN]) == graph([backwards])


def test_an_empty_graph() -> None:
    assert graph([]) == Graph((), ())
    assert Node("commit:a", "commit", "a").detail == ""
    assert Edge("a", "b", "made") == Edge("a", "b", "made")
