"""State in S3, with its native lock file, against a moto server."""

import getpass
import json
import socket
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto.server import ThreadedMotoServer
from terraform_environment import Bench

from processors.terraform import create
from runner.activity import ResultType

MODULE = 'variable "name" {}\nresource "terraform_data" "it" { input = var.name }\noutput "it" { value = terraform_data.it.output }'
KEY = "tierform/run-1-web/terraform.tfstate"


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint, request):
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="s"
    )
    name = f"b{abs(hash(request.node.name))}"
    client.create_bucket(Bucket=name)
    yield name, client
    client.close()


@pytest.fixture
def backend(endpoint, bucket):
    return {
        "type": "s3",
        "bucket": bucket[0],
        "region": "us-east-1",
        "endpoints": {"s3": endpoint},
        "use_path_style": True,
        "skip_credentials_validation": True,
        "skip_metadata_api_check": True,
        "skip_requesting_account_id": True,
        "skip_region_validation": True,
    }


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    bench.module("demo", MODULE)
    return bench


@pytest.fixture
async def processor(bench):
    inherited = {"PATH": "/usr/bin:/bin", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "S3cr3t-Key"}
    made = create(bench.environment(single_host=False, inherited_environment=inherited))
    yield made
    await made.close()


def _state(bucket):
    return json.loads(bucket[1].get_object(Bucket=bucket[0], Key=KEY)["Body"].read())


def _lock(bucket, **changes):
    lock = {
        "ID": "5e0f7a7c-0000-4000-8000-000000000000", "Operation": "OperationTypeApply", "Info": "", "Version": "1.15.5",
        "Who": f"{getpass.getuser()}@{socket.gethostname()}", "Created": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "Path": f"{bucket[0]}/{KEY}",
    }  # fmt: skip
    body = json.dumps({**lock, **changes}).encode()
    bucket[1].put_object(Bucket=bucket[0], Key=f"{KEY}.tflock", Body=body)


async def test_deploy_and_dispose_with_state_in_a_bucket(bench, processor, backend, bucket):
    context = bench.activity(inputs={"name": "a"}, backend=backend)
    result = await processor.process(context)
    assert result.type is ResultType.COMPLETE, result.error
    assert context.output_values() == {"it": "a"}
    assert _state(bucket)["resources"]
    assert not (bench.workspace() / "terraform.tfstate").exists()
    assert not any(b"S3cr3t-Key" in path.read_bytes() for path in bench.data.rglob("*") if path.is_file())
    result = await processor.process(bench.activity(discriminator="dispose", backend=backend))
    assert result.type is ResultType.COMPLETE, result.error
    assert _state(bucket)["resources"] == []
    assert list((bench.data / "workspaces").iterdir()) == []


async def test_disposing_asks_the_bucket_though_this_host_knows_nothing(bench, processor, backend, bucket, tmp_path):
    await processor.process(bench.activity(inputs={"name": "a"}, backend=backend))
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Bench(tmp_path / "elsewhere")
    elsewhere.module("demo", MODULE)
    inherited = {"PATH": "/usr/bin:/bin", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    other = create(elsewhere.environment(single_host=False, inherited_environment=inherited))
    try:
        result = await other.process(elsewhere.activity(inputs={"name": "a"}, discriminator="dispose", backend=backend))
    finally:
        await other.close()
    assert result.type is ResultType.COMPLETE, result.error
    assert _state(bucket)["resources"] == []


async def test_local_state_is_refused_when_agents_are_on_other_hosts(bench, processor):
    result = await processor.process(bench.activity(inputs={"name": "a"}))
    assert result.type is ResultType.FATAL_ERROR
    assert "agents on other hosts" in result.error


async def test_somebody_elses_state_lock_is_respected_and_named(bench, processor, backend, bucket):
    _lock(bucket, Who="ann@laptop")
    result = await processor.process(bench.activity(inputs={"name": "a"}, backend=backend))
    assert result.type is ResultType.RETRY_ERROR
    assert "ann@laptop" in result.error


@pytest.mark.parametrize(
    ("age", "changes", "released"),
    [
        (timedelta(0), {}, True),
        (timedelta(hours=1), {}, False),
        (timedelta(0), {"Who": "ann@laptop"}, False),
        (timedelta(0), {"Operation": "OperationTypePlan"}, False),
    ],
)
async def test_only_a_dead_runs_own_state_lock_is_released(bench, processor, backend, bucket, age, changes, released):
    await processor.process(bench.activity(inputs={"name": "a"}, backend=backend))
    # As a run leaves it that was killed together with its worker in the middle of an apply.
    facts = bench.workspace() / "workspace.json"
    started = datetime.now(UTC)
    run = {"command": "apply", "started": started.isoformat(timespec="milliseconds")}
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "run": run}))
    _lock(bucket, Created=(started - age).isoformat().replace("+00:00", "Z"), **changes)
    result = await processor.process(bench.activity(inputs={"name": "b"}, backend=backend, attempt=2))
    assert result.type is (ResultType.COMPLETE if released else ResultType.RETRY_ERROR), result.error
