"""The example that keeps its state and an object in S3, against a server of moto."""

import hashlib
import json
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sandbox import Sandbox

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def s3():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="id", aws_secret_access_key="secret")  # fmt: skip
    for bucket in ("tierform-state", "sites"):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield url, client
    client.close()
    server.stop()


def test_a_tenants_document_is_published_and_withdrawn(tmp_path, s3):
    url, client = s3
    place = Sandbox(tmp_path)
    place.environment |= {
        "TIERFORM_PROJECT": str(PROJECT),
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "canary-of-the-environment",
    }
    key = "acme.example.com/.well-known/did.json"
    given = ("-i", "tenantId=acme", "-i", "bucket=sites", "-i", f"key={key}")
    try:
        ended = place.run("run", "tenant.publish", "-i", "domain=acme.example.com", *given, "-o", "json")
        assert ended.code == 0, ended
        body = client.get_object(Bucket="sites", Key=key)["Body"].read()
        assert json.loads(body)["id"] == "did:web:acme.example.com" == ended.json["outputData"]["did"]
        assert ended.json["outputData"]["sha256"] == hashlib.sha256(body).hexdigest()
        states = [one["Key"] for one in client.list_objects_v2(Bucket="tierform-state")["Contents"]]
        assert len(states) == 1
        assert not list(place.data.glob("workspaces/*/terraform.tfstate"))
        gone = place.run("run", "tenant.withdraw", *given)
        assert gone.code == 0, gone
        assert client.list_objects_v2(Bucket="sites")["KeyCount"] == 0
        assert not [path for path in place.data.rglob("*") if path.is_file() and b"canary-of" in path.read_bytes()]
        place.assert_nothing_left()
        place.assert_no_traceback_in_logs()
    finally:
        place.end()
