"""The aws processor keeps an object in a bucket, against a moto server and against servers that fail."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer

from processors.aws import create
from runner.activity import ActivityContext, ActivityDetails, ProcessorEnvironment, ResultType
from runner.secrets.masking import SecretMasker

REGION = "eu-central-1"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG"
PUBLISHED = {"bucket": "sites", "key": "acme/did.json"}


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))


@pytest.fixture
def s3(endpoint):
    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    client.create_bucket(Bucket="sites", CreateBucketConfiguration={"LocationConstraint": REGION})
    yield client
    for kind in ("Versions", "DeleteMarkers"):
        for version in client.list_object_versions(Bucket="sites").get(kind, []):
            client.delete_object(Bucket="sites", Key=version["Key"], VersionId=version["VersionId"])
    client.delete_bucket(Bucket="sites")


@pytest.fixture
def processor(tmp_path):
    return create(ProcessorEnvironment(data_dir=tmp_path, modules=None, cipher=None, masker=SecretMasker()))


def activity(endpoint, discriminator="deploy", *, config=None, **inputs):
    settings = {"action": "object", "endpointUrl": endpoint, "region": REGION} if config is None else config
    details = ActivityDetails(
        oid="run-1", id="publish", type="aws.object", discriminator=discriminator, provider="aws", config=settings
    )
    return ActivityContext(details, inputs={**PUBLISHED, **inputs})


def test_deploy_writes_the_content_and_tells_where(processor, endpoint, s3):
    context = activity(endpoint, content={"b": 1, "a": ["ä"]}, contentType="application/did+json")
    assert processor.process(context).type == ResultType.COMPLETE
    there = s3.get_object(Bucket="sites", Key="acme/did.json")
    body = there["Body"].read()
    assert (json.loads(body), there["ContentType"]) == ({"b": 1, "a": ["ä"]}, "application/did+json")
    assert context.output_values() == {
        **PUBLISHED,
        "uri": "s3://sites/acme/did.json",
        "etag": there["ETag"].strip('"'),
        "sha256": hashlib.sha256(body).hexdigest(),
        "size": len(body),
    }


def test_text_is_written_as_it_is(processor, endpoint, s3):
    processor.process(activity(endpoint, content="grüß\n"))
    there = s3.get_object(Bucket="sites", Key="acme/did.json")
    assert (there["Body"].read().decode(), there["ContentType"]) == ("grüß\n", "text/plain; charset=utf-8")


def test_same_deploy_again_writes_no_second_version_and_answers_the_same(processor, endpoint, s3):
    s3.put_bucket_versioning(Bucket="sites", VersioningConfiguration={"Status": "Enabled"})
    first, again, changed = (activity(endpoint, content=text) for text in ("one", "one", "two"))
    results = [processor.process(context).type for context in (first, again, changed)]
    assert results == [ResultType.COMPLETE] * 3
    assert again.output_values() == first.output_values()
    assert changed.output_values()["versionId"] != first.output_values()["versionId"]
    assert len(s3.list_object_versions(Bucket="sites")["Versions"]) == 2


def test_changed_content_type_alone_is_written(processor, endpoint, s3):
    for kind in ("text/plain", "text/html"):
        processor.process(activity(endpoint, content="x", contentType=kind))
    assert s3.head_object(Bucket="sites", Key="acme/did.json")["ContentType"] == "text/html"


def test_dispose_twice_leaves_one_delete_marker_and_earlier_versions(processor, endpoint, s3):
    s3.put_bucket_versioning(Bucket="sites", VersioningConfiguration={"Status": "Enabled"})
    processor.process(activity(endpoint, content="one"))
    results = [processor.process(activity(endpoint, "dispose")).type for _ in range(2)]
    assert results == [ResultType.COMPLETE] * 2
    versions = s3.list_object_versions(Bucket="sites")
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (1, 1)


def test_dispose_of_what_never_was_completes(processor, endpoint, s3):
    context = activity(endpoint, "destroy")
    assert processor.process(context).type == ResultType.COMPLETE
    assert context.output_values() == {**PUBLISHED, "uri": "s3://sites/acme/did.json"}


def test_missing_bucket_is_fatal_and_says_what_to_do(processor, endpoint):
    result = processor.process(activity(endpoint, content="x", bucket="nowhere"))
    assert result.type == ResultType.FATAL_ERROR
    assert "deploy of activity 'publish' of orchestration 'run-1'" in result.error
    assert "NoSuchBucket" in result.error
    assert "make the bucket first" in result.error


@pytest.fixture
def answering():
    """Starts servers that answer everything with one status and S3 error code."""
    servers = []

    def start(status: int, code: str) -> str:
        body = f"<Error><Code>{code}</Code><Message>told you</Message></Error>".encode()

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # Answers "Expect: 100-continue", which boto3 otherwise waits a second for.

            def do_PUT(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_HEAD()
                self.wfile.write(body)

            def do_HEAD(self):
                self.send_response(status if self.command == "PUT" else 404)
                self.send_header("Content-Length", str(len(body) if self.command == "PUT" else 0))
                self.end_headers()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "SlowDown", ResultType.RETRY_ERROR),
        (500, "InternalError", ResultType.RETRY_ERROR),
        (429, "Anything", ResultType.RETRY_ERROR),
        (400, "RequestTimeout", ResultType.RETRY_ERROR),
        (403, "AccessDenied", ResultType.FATAL_ERROR),
        (403, "SignatureDoesNotMatch", ResultType.FATAL_ERROR),
        (400, "InvalidArgument", ResultType.FATAL_ERROR),
    ],
)
def test_answers_are_retried_or_fatal_by_what_they_mean(processor, answering, status, code, expected):
    result = processor.process(activity(answering(status, code), content="x"))
    assert result.type == expected
    assert f"{status} {code}: told you" in result.error
    assert SECRET_KEY not in result.error


def test_no_connection_is_a_retry_error(processor, answering):
    closed = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = closed.server_port
    closed.server_close()
    result = processor.process(activity(f"http://127.0.0.1:{port}", content="x"))
    assert result.type == ResultType.RETRY_ERROR
    assert "EndpointConnectionError" in result.error


def test_password_in_the_endpoint_of_the_environment_is_not_shown(processor, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://user:sesame@127.0.0.1:1")
    result = processor.process(activity(None, config={"action": "object", "region": REGION}, content="x"))
    assert result.type == ResultType.RETRY_ERROR
    assert "sesame" not in result.error


def test_no_credentials_are_fatal_and_say_which_are_meant(processor, endpoint, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = processor.process(activity(endpoint, content="x"))
    assert result.type == ResultType.FATAL_ERROR
    assert "AWS_ACCESS_KEY_ID" in result.error


@pytest.mark.parametrize(
    ("config", "inputs", "discriminator", "expected"),
    [
        ({}, {"content": "x"}, "deploy", "action: field required"),
        ({"action": "object", "regoin": "x"}, {"content": "x"}, "deploy", "regoin: extra inputs"),
        ({"action": "object", "endpointUrl": "http://a:b@c"}, {"content": "x"}, "deploy", "endpointUrl"),
        ({"action": "object"}, {}, "deploy", "content: field required"),
        ({"action": "object"}, {"key": ""}, "dispose", "key: string should have at least 1 character"),
        ({"action": "object"}, {"content": "x"}, "plan", "use deploy or dispose"),
    ],
)
def test_mistakes_in_definition_and_inputs_are_fatal_and_named(processor, config, inputs, discriminator, expected):
    result = processor.process(activity(None, discriminator, config=config, **inputs))
    assert result.type == ResultType.FATAL_ERROR
    assert expected in result.error


def test_masked_values_do_not_appear_in_errors(tmp_path, answering):
    masker = SecretMasker()
    masker.register("told you")
    processor = create(ProcessorEnvironment(data_dir=tmp_path, modules=None, cipher=None, masker=masker))
    assert "told you" not in processor.process(activity(answering(500, "X"), content="x")).error
